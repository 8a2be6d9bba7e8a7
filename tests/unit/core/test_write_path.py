"""The primary's write path: rules A2, B1, C1 and C3, batch by batch."""

from collections.abc import Sequence

import pytest

from farshore.core import actions as a
from farshore.core.activity import ActivityLog
from farshore.core.outbox import GroupSync, Outbox
from farshore.core.write_path import FLUSH_RECORD, Batch, Destinations, Gate, WritePath
from farshore.model.positions import Position
from farshore.model.volumes import WRITE, Operation

EXTENT = 1 << 12
EIO = 5
GENERATION = b"g" * 16


class Path:
    """A write path whose disk answers when it is told to."""

    def __init__(self, *hot: int, capacity: int = 8, ceiling: int = 1000) -> None:
        self.outbox = Outbox()
        self.activity = ActivityLog(capacity, 12)
        self.sync = GroupSync(self.outbox)
        self.path = WritePath(self.outbox, self.activity, self.sync)
        self.path.fanout = self
        self.path.on_fault = self.path.on_sync_fault = self._fault
        self.path.on_write_error = lambda operations, errno: self.failed.extend(operations)
        self.path.generation, self.path.ceiling, self.path.held = GENERATION, ceiling, False
        self.failed: list[Operation] = []
        self.logged: list[int] = []
        """Last sequences that the links were told of."""
        self.activity.hot.update({1 << 44 | index: 0 for index in hot})

    def issued(self, operations: list[Operation], last: int, size: int) -> Destinations:
        self.logged.append(last)
        return (b"link",), ()

    def _fault(self, errno: int) -> None:
        self.path.fail(errno)

    def submit(
        self, *extents: int, durable: Sequence[int] = (), flush: str = "", token: str = "w"
    ) -> list[a.Action]:
        """One batch with a write at the start of each extent."""
        batch = Batch(durable=list(durable), flushes=[flush] if flush else [])
        for place, extent in enumerate(extents):
            batch.operations.append((1, WRITE, extent * EXTENT, 512))
            batch.payloads.append(bytearray([extent]) * 512)
            batch.tokens.append(f"{token}{place}")
        self.path.submit(batch)
        return self.outbox.take()

    def done(self, ticket: int, errors: dict[int, int] | None = None) -> list[a.Action]:
        self.path.local_write_done(ticket, errors or {})
        return self.outbox.take()

    def settle(self, action: a.Action, errno: int = 0) -> list[a.Action]:
        assert isinstance(action, a.SyncVolumes | a.WriteActivity)
        self.outbox.settle(action.ticket, errno)
        return self.outbox.take()


def replies(actions: list[a.Action]) -> list[tuple[list[object], int]]:
    return [(list(each.tokens), each.errno) for each in actions if isinstance(each, a.Reply)]


def issues(actions: list[a.Action]) -> list[a.Issue]:
    return [each for each in actions if isinstance(each, a.Issue)]


def sync_of(actions: list[a.Action]) -> a.SyncVolumes:
    (found,) = [each for each in actions if isinstance(each, a.SyncVolumes)]
    return found


def only(actions: list[a.Action]) -> a.Action:
    assert len(actions) == 1, actions
    return actions[0]


class TestSequences:
    """Rule B1."""

    def test_a_batch_becomes_one_frame_with_consecutive_sequences(self) -> None:
        path = Path(0, 1, 2)
        first = only(path.submit(0, 1))
        second = only(path.submit(2))
        assert isinstance(first, a.Issue)
        assert isinstance(second, a.Issue)
        assert (first.first, first.ticket, first.follows) == (1, 2, Position(GENERATION, 0))
        assert (second.first, second.ticket, second.follows) == (3, 3, Position(GENERATION, 2))
        assert first.links == (b"link",)

    def test_links_are_told_of_a_frame_before_it_is_handed_out(self) -> None:
        path = Path(0)
        path.submit(0)
        assert path.logged == [1]

    def test_nothing_gets_a_sequence_beyond_the_reserved_ones(self) -> None:
        path = Path(0, 1, 2, ceiling=3)
        issued = only(path.submit(0, 1, 2))
        assert isinstance(issued, a.Issue)
        assert issued.ticket <= 3
        path.path.ceiling = 100
        path.path.release_parked()
        assert len(issues(path.outbox.take())) == 1
        assert path.path.waiting == 0

    def test_what_waits_while_writes_are_held_is_issued_in_its_order(self) -> None:
        path = Path(0, 1, 2)
        path.path.held = True
        assert path.submit(0, token="a") == []
        assert path.submit(1, 2, flush="f", token="b") == []
        path.path.held = False
        path.path.release_parked()
        issued = only(path.outbox.take())
        assert isinstance(issued, a.Issue)
        assert [each[2] // EXTENT for each in issued.operations] == [0, 1, 2, 0]
        assert issued.operations[-1] == FLUSH_RECORD

    def test_a_payload_that_waits_is_kept_though_its_buffer_is_used_again(self) -> None:
        path = Path(0)
        path.path.held = True
        batch = Batch([(1, WRITE, 0, 4)], [memoryview(buffer := bytearray(b"good"))], ["w"])
        path.path.submit(batch)
        buffer[:] = b"evil"
        path.path.held = False
        path.path.release_parked()
        issued = only(path.outbox.take())
        assert isinstance(issued, a.Issue)
        assert [bytes(each or b"") for each in issued.payloads] == [b"good"]


class TestColdWrites:
    """Rule A2."""

    def test_a_cold_write_waits_for_the_log_and_hot_ones_beside_it_do_not(self) -> None:
        path = Path(0)
        actions = path.submit(0, 1)
        issued, logging = actions
        assert isinstance(issued, a.Issue)
        assert isinstance(logging, a.WriteActivity)
        assert [each[2] // EXTENT for each in issued.operations] == [0]
        assert logging.extents == ((1, 0), (1, 1))
        later = issues(path.settle(logging))
        assert [(each.first, each.operations[0][2] // EXTENT) for each in later] == [(2, 1)]

    def test_one_transaction_covers_all_that_wait(self) -> None:
        path = Path()
        logging = only(path.submit(0))
        assert path.submit(1) == []
        assert path.submit(2) == []
        assert isinstance(logging, a.WriteActivity)
        following = [each for each in path.settle(logging) if isinstance(each, a.WriteActivity)]
        assert [each.extents for each in following] == [((1, 0), (1, 1), (1, 2))]
        assert len(issues(path.settle(following[0]))) == 1
        assert path.path.waiting == 0

    def test_without_sequences_no_extent_is_asked_to_cool(self) -> None:
        path = Path(0, 1, capacity=2)
        path.path.ceiling = path.path.sequence + 1
        path.submit(2)
        assert path.path.waiting
        assert not path.path.starved

    def test_a_cold_write_waits_for_room(self) -> None:
        path = Path(0, 1, capacity=2)
        assert path.submit(2) == []
        assert path.path.starved
        path.activity.begin_cooling(0)
        path.activity.finish_cooling(0)
        path.path.admit_cold()
        logging = only(path.outbox.take())
        assert len(issues(path.settle(logging))) == 1

    def test_c3_a_log_that_cannot_be_written_answers_everything_with_the_error(self) -> None:
        path = Path()
        logging = only(path.submit(0, flush=""))
        assert replies(path.settle(logging, EIO)) == [(["w0"], EIO)]
        assert replies(path.submit(0, flush="f")) == [(["w0", "f"], EIO)]


class TestAcknowledgements:
    """Rules C1 and C2."""

    def test_a_write_is_answered_after_the_local_write_and_every_gate(self) -> None:
        path = Path(0)
        path.path.gates = {b"one": Gate(0, 0), b"two": Gate(0, 0)}
        path.submit(0)
        assert path.done(1) == []
        path.path.gates[b"one"] = Gate(1, 0)
        path.path.release()
        assert path.outbox.take() == []
        path.path.gates[b"two"] = Gate(1, 0)
        path.path.release()
        assert replies(path.outbox.take()) == [(["w0"], 0)]

    def test_the_peer_alone_is_not_enough(self) -> None:
        path = Path(0)
        path.path.gates = {b"one": Gate(5, 5)}
        path.submit(0)
        path.path.release()
        assert path.outbox.take() == []
        assert replies(path.done(1)) == [(["w0"], 0)]

    def test_c1_a_flush_waits_for_a_sync_that_began_after_the_writes_before_it(self) -> None:
        path = Path(0, 1)
        path.submit(0, flush="early", token="a")
        actions = path.done(2)
        assert replies(actions) == [(["a0"], 0)]
        running = sync_of(actions)
        path.submit(1, flush="late", token="b")
        assert replies(path.done(4)) == [(["b0"], 0)]
        actions = path.settle(running)
        assert replies(actions) == [(["early"], 0)]
        assert replies(path.settle(sync_of(actions))) == [(["late"], 0)]

    def test_c1_a_flush_waits_for_the_peers_durability_not_for_its_write_level(self) -> None:
        path = Path(0)
        path.path.gates = {b"one": Gate(9, 0)}
        path.submit(0, flush="f")
        actions = path.done(2)
        assert replies(actions) == [(["w0"], 0)]
        assert path.settle(sync_of(actions)) == []
        path.path.gates[b"one"] = Gate(9, 2)
        path.path.release()
        assert replies(path.outbox.take()) == [(["f"], 0)]

    def test_c1_a_write_with_fua_is_answered_like_a_flush(self) -> None:
        path = Path(0, 1)
        issued = only(path.submit(0, 1, durable=[0]))
        assert isinstance(issued, a.Issue)
        assert issued.operations[-1] == FLUSH_RECORD
        actions = path.done(3)
        assert replies(actions) == [(["w1"], 0)]
        assert replies(path.settle(sync_of(actions))) == [(["w0"], 0)]

    def test_a_flush_alone_is_a_frame_of_its_own(self) -> None:
        path = Path()
        issued = only(path.submit(flush="f"))
        assert isinstance(issued, a.Issue)
        assert issued.operations == [FLUSH_RECORD]


class TestFailures:
    """Rule C3."""

    def test_only_the_write_that_failed_is_refused_and_it_is_never_acknowledged(self) -> None:
        path = Path(0, 1, 2)
        path.submit(0, 1, 2)
        assert replies(path.done(3, {1: EIO})) == [(["w1"], EIO), (["w0", "w2"], 0)]
        assert [each[2] // EXTENT for each in path.failed] == [1]

    def test_a_failed_write_with_fua_is_not_answered_again_by_its_flush(self) -> None:
        path = Path(0)
        path.submit(0, durable=[0], flush="f")
        actions = path.done(2, {0: EIO})
        sync = next(each for each in actions if isinstance(each, a.SyncVolumes))
        assert replies(actions) == [(["w0"], EIO)]
        assert replies(path.settle(sync)) == [(["f"], 0)]

    def test_after_a_failed_sync_everything_is_refused_once_and_for_ever(self) -> None:
        path = Path(0, 1)
        path.submit(0, flush="f")
        sync = sync_of(path.done(2))
        path.submit(1, flush="g", token="v")
        refused = replies(path.settle(sync, EIO))
        tokens = [token for found, errno in refused if errno == EIO for token in found]
        assert sorted(map(str, tokens)) == ["f", "g", "v0"]
        assert replies(path.done(4, {0: EIO})) == []
        assert replies(path.submit(0, flush="h")) == [(["w0", "h"], EIO)]

    def test_a_sync_that_waited_behind_a_failed_one_is_not_believed(self) -> None:
        """The kernel reports an error once: the next fdatasync would succeed and say nothing."""
        path = Path(0)
        told: list[int] = []
        path.sync.request(told.append)
        path.sync.request(told.append)
        first = only(path.outbox.take())
        assert path.settle(first, EIO) == []
        path.sync.request(told.append)
        assert told == [EIO, EIO, EIO]
        assert path.outbox.take() == []

    def test_a_batch_reported_out_of_order_is_our_own_defect(self) -> None:
        path = Path(0)
        path.submit(0)
        path.submit(0)
        with pytest.raises(ValueError, match="out of order"):
            path.path.local_write_done(2, {})


class TestBarriers:
    """Rule E4: writes to a region that a resync reads wait for that read only."""

    def test_a_write_into_a_held_range_waits_and_others_pass(self) -> None:
        path = Path(0, 1)
        path.path.barriers.append((1, 0, 4096))
        issued = only(path.submit(0, 1))
        assert isinstance(issued, a.Issue)
        assert [each[2] // EXTENT for each in issued.operations] == [1]
        path.path.barriers.clear()
        path.path.release_parked()
        assert len(issues(path.outbox.take())) == 1

    def test_a_flush_does_not_wait_for_a_write_that_is_held(self) -> None:
        """It covers the writes that were completed before it, and this one was not."""
        path = Path(0)
        path.path.barriers.append((1, 0, 4096))
        issued = only(path.submit(0, flush="f"))
        assert isinstance(issued, a.Issue)
        assert issued.operations == [FLUSH_RECORD]
