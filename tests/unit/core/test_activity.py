"""The activity log: what is not hot does not pass, and there are never more hot extents than room (A2)."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from farshore.core.activity import ActivityLog, extent_of, key_of
from farshore.model.volumes import WRITE, Operation

SHIFT = 12
EXTENT = 1 << SHIFT


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    first = draw(st.integers(0, 12))
    length = draw(st.sampled_from((1, 512, EXTENT, EXTENT + 1, 2 * EXTENT)))
    return (draw(st.sampled_from((1, 2))), WRITE, first * EXTENT + draw(st.sampled_from((0, 100))), length)


def extents(*written: Operation) -> set[tuple[int, int]]:
    return {
        (volume, index)
        for volume, _, offset, length in written
        for index in range(offset // EXTENT, (offset + length - 1) // EXTENT + 1)
    }


class LogLife(RuleBasedStateMachine):
    """Writes come and go; the log on disk is what the last finished transaction wrote."""

    @initialize(capacity=st.integers(4, 8))
    def begin(self, capacity: int) -> None:
        self.log = ActivityLog(capacity, SHIFT)
        self.disk: set[tuple[int, int]] = set()
        self.writing: set[tuple[int, int]] = set()
        self.sequence = 0
        self.last: dict[tuple[int, int], int] = {}
        """extent -> last sequence that was really given to a write in it."""

    @rule(batch=st.lists(operations(), min_size=1, max_size=3))
    def writes_pass_only_where_the_log_is_durable(self, batch: list[Operation]) -> None:
        passed = self.log.admit(batch, self.sequence + len(batch))
        assert passed == (extents(*batch) <= self.hot)
        assert all(self.log.is_hot(each) == (extents(each) <= self.hot) for each in batch)
        if passed:
            assert extents(*batch) <= self.disk
            self.sequence += len(batch)
            self.last |= dict.fromkeys(extents(*batch), self.sequence)

    @rule(waiting=st.lists(operations(), min_size=1, max_size=4))
    def a_transaction_begins(self, waiting: list[Operation]) -> None:
        if self.writing:
            return
        keys = self.log.fit(waiting)
        added = {extent_of(key) for key in keys}
        assert added <= extents(*waiting) - self.hot
        if keys:
            self.writing = set(self.log.begin(keys))
            assert self.writing == self.hot | added

    @rule()
    def the_transaction_is_durable(self) -> None:
        if self.writing:
            self.disk, self.writing = self.writing, set()
            self.log.added()

    @rule(behind=st.integers(0, 2))
    def extents_cool(self, behind: int) -> None:
        if self.log.cooling:
            return
        self.log.begin_cooling(self.sequence)
        settled = self.sequence - behind
        before = self.hot
        chosen = {extent_of(key) for key in self.log.cooling}
        dropped = self.log.finish_cooling(settled)
        gone = before - self.hot
        assert len(gone) == dropped
        assert gone <= chosen
        assert all(self.last.get(each, 0) <= settled for each in gone)

    @property
    def hot(self) -> set[tuple[int, int]]:
        return {extent_of(key) for key in self.log.hot}

    @invariant()
    def there_is_room_for_all_that_is_hot(self) -> None:
        assert len(self.log.hot) + len(self.log.adding) <= self.log.capacity

    @invariant()
    def everything_hot_is_on_disk(self) -> None:
        assert self.hot <= self.disk


LogLife.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLogLife = LogLife.TestCase


@given(st.integers(0, (1 << 16) - 1), st.integers(0, (1 << 40) - 1))
def test_an_extents_key_names_its_volume_and_index(volume: int, index: int) -> None:
    assert extent_of(key_of(volume, index)) == (volume, index)


def test_what_was_touched_longest_ago_cools_first() -> None:
    log = ActivityLog(8, SHIFT)
    log.begin(log.fit([(1, WRITE, n * EXTENT, 1) for n in range(8)]))
    log.added()
    for last, index in enumerate((5, 3, 1, 7, 0, 2, 6, 4), start=1):
        assert log.admit([(1, WRITE, index * EXTENT, 1)], last)
    log.begin_cooling(8)
    assert log.finish_cooling(8) == 2
    assert {extent_of(key)[1] for key in log.hot} == {0, 1, 2, 4, 6, 7}


def test_a_write_during_the_cooling_keeps_its_extent_hot() -> None:
    log = ActivityLog(4, SHIFT)
    log.begin(log.fit([(1, WRITE, n * EXTENT, 1) for n in range(4)]))
    log.added()
    log.begin_cooling(4)
    assert log.admit([(1, WRITE, 0, EXTENT)], 5)
    assert log.finish_cooling(4) == 0
    assert log.is_hot((1, WRITE, 0, 1))


def test_an_abandoned_cooling_leaves_everything_hot() -> None:
    log = ActivityLog(4, SHIFT)
    log.begin(log.fit([(1, WRITE, n * EXTENT, 1) for n in range(4)]))
    log.added()
    log.begin_cooling(0)
    log.abandon_cooling()
    assert log.finish_cooling(100) == 0
    assert len(log.hot) == 4
