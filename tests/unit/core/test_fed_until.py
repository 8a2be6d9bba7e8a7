"""A copy far down a chain is never called newer than it is, whatever the lines and the clocks do."""

from dataclasses import replace
from datetime import datetime

import pytest

from farshore.core import report
from farshore.core.fed_until import MOST_MARKS, FedUntil
from farshore.model.options import Apply, LinkOptions, LinkState, Mode, ResyncKind
from tests.unit.core.chain import HOP, Chain
from tests.unit.core.pair import KIB
from tests.unit.core.shells import TIMING

ASYNC = LinkOptions(mode=Mode.ASYNC, apply=Apply.JOURNAL)
A_BEAT = TIMING.beat + 0.1
CLOCKS = [{}, {"near": 86_400.0, "far": -90.0, "last": 3_600.0}, {"near": -90.0, "far": 7_200.0}]


class Story:
    """A chain, and when which sequence was written, by the test's clock."""

    def __init__(self, upstream: LinkOptions = ASYNC, hop: LinkOptions = HOP, **ahead: float) -> None:
        self.chain = Chain(upstream, hop)
        self.chain.ahead = ahead
        self.written: dict[int, float] = {}
        self.told = 0
        """How often there was a figure."""

    def write(self, *places: int) -> None:
        newest = self.chain.near.core.sequence
        self.chain.write(*places)
        for sequence in range(newest + 1, self.chain.near.core.sequence + 1):
            self.written[sequence] = self.chain.now

    def turn(self, times: int = 1) -> None:
        """Time passes, and no figure is ever better than the truth."""
        for _ in range(times):
            self.chain.turn()
            self.honest()

    def honest(self) -> None:
        applied = self.chain.last.core.applied
        oldest = next((when for sequence, when in self.written.items() if sequence > applied), self.chain.now)
        for figure in (self.of_peer(), self.of_itself()):
            if figure is not None:
                self.told += 1
                assert figure <= oldest + 0.001

    def of_peer(self) -> float | None:
        """As of when the middle calls the last copy, by the test's clock."""
        entry = report.of_feeder(self.chain.middle.core.relay, self.chain.hop_feeder)
        return self._seconds(entry["peer_usable_as_of"], "far")

    def of_itself(self) -> float | None:
        """As of when the last copy calls itself."""
        return self._seconds(report.of_secondary(self.chain.last.core, "b")["usable_as_of"], "last")

    def _seconds(self, moment: str | None, of: str) -> float | None:
        if moment is None:
            return None
        return datetime.fromisoformat(moment).timestamp() - self.chain.ahead.get(of, 0.0)

    def current(self) -> None:
        """In order, and told to be so."""
        self.chain.in_order(2000)
        self.turn(150)
        for figure, hops in ((self.of_peer(), 1), (self.of_itself(), 2)):
            assert figure is not None
            assert figure > self.chain.now - hops * A_BEAT


@pytest.fixture(params=CLOCKS, ids=["one clock", "clocks apart", "clocks apart the other way"])
def story(request: pytest.FixtureRequest) -> Story:
    story = Story(**request.param)
    story.current()
    return story


def test_a_copy_ages_while_the_one_that_feeds_it_is_not_fed(story: Story) -> None:
    story.write(0)
    story.turn(20)
    story.chain.cut()
    cut = story.chain.now
    story.write(512)
    story.turn(1000)
    assert story.chain.hop_feeder.replicating
    for figure in (story.of_peer(), story.of_itself()):
        assert figure is not None
        assert cut - 2 * A_BEAT < figure <= cut
    story.chain.mend()
    story.current()


def test_a_copy_ages_while_the_one_that_feeds_it_is_written_only_in_part() -> None:
    """The first link has overflowed and only logs; its session lives on, and so does the hop's."""
    story = Story(replace(ASYNC, queue_memory=8 * KIB, autosync=False))
    chain = story.chain
    chain.near.run(chain.near.core.resync(None, ResyncKind.UPDATE, False))
    story.current()
    chain.line.room = 0
    while chain.feeder.state is not LinkState.LOGGING:
        story.write(512 * len(story.written))
        story.turn()
    stopped = chain.now
    chain.line.room = None
    story.write(512)
    story.turn(500)
    assert chain.feeder.state is LinkState.LOGGING
    assert chain.hop_feeder.replicating
    for figure in (story.of_peer(), story.of_itself()):
        assert figure is not None
        assert figure <= stopped


def test_ages_add_up_over_lines_that_both_lag(story: Story) -> None:
    chain = story.chain
    chain.line.rate, chain.hop.rate = 400, 300
    chain.line.credit = chain.hop.credit = 0
    for number in range(300):
        story.write(number % 100 * 512)
        story.turn()
    behind = story.of_peer()
    assert behind is not None
    assert behind < chain.now - 1.0
    chain.line.rate = chain.hop.rate = None
    story.current()


def test_a_resync_in_the_middle_makes_nobody_younger(story: Story) -> None:
    chain = story.chain
    chain.cut()
    for number in range(50):
        story.write(number * 512)
        story.turn()
    chain.mend()
    story.current()
    before = story.told
    chain.near.run(chain.near.core.resync(None, ResyncKind.DIGEST, False))
    for number in range(100):
        story.write(number * 512)
        story.turn()
    story.current()
    assert story.told > before


def test_a_hop_that_stopped_is_as_old_as_its_feeder_was_by_then(story: Story) -> None:
    story.chain.cut()
    cut = story.chain.now
    story.write(0)
    story.turn(300)
    story.chain.cut_hop()
    story.turn(100)
    assert not story.chain.hop_feeder.replicating
    figure = story.of_peer()
    assert figure is not None
    assert figure <= cut


def test_a_middle_that_was_started_anew_does_not_know_before_it_has_asked(story: Story) -> None:
    story.chain.cut()
    story.write(0)
    story.turn(50)
    story.chain.restart_middle("boot-1")
    story.chain.lines[story.chain.link].up = False
    story.turn(300)
    assert story.of_peer() is None
    story.chain.mend()
    story.current()


def test_a_mark_that_says_less_than_an_earlier_one_counts_for_nothing() -> None:
    fed = FedUntil()
    assert fed.at(1 << 60) is None
    fed.told(10, 5.0)
    fed.told(20, 4.0)
    fed.told(8, 9.0)
    assert (fed.at(9), fed.at(10), fed.at(30)) == (None, 5.0, 5.0)
    fed.told(10, 6.0)
    fed.told(15, 7.0)
    assert (fed.at(14), fed.at(15)) == (6.0, 7.0)
    fed.forget()
    assert fed.at(15) is None


def test_marks_are_bounded_and_what_is_left_of_them_is_never_too_young() -> None:
    fed, most = FedUntil(), 3 * MOST_MARKS
    for number in range(1, most):
        fed.told(number, float(number))
    for number in range(1, most, 97):
        found = fed.at(number)
        assert found is not None
        assert found <= number
    assert fed.at(most) == most - 1
    assert len(fed._moments) <= MOST_MARKS
