"""Units arrive whole and in order whatever their size; a held stream waits; an end is told once."""

import os
import time
from collections.abc import Iterator

import pytest

from farshore.engine.channel import PlainChannel
from farshore.engine.link_connection import KEPT, LINGER, LinkConnection
from farshore.engine.reactor import Reactor
from farshore.errors import ProtocolError
from farshore.model.messages import Fill, Heartbeat, Refusal, SyncNow
from farshore.wire import session
from tests.unit.engine.ends import Owner, connected
from tests.unit.engine.turning import turn_until

WINDOW = 64 << 10


class _Clock:
    """The machine's, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def reactor(clock: _Clock) -> Iterator[Reactor]:
    made = Reactor(clock)
    yield made
    made.close()


class _Pair:
    """Two connected ends over loopback TCP."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        near, far = connected()
        self.near_owner, self.far_owner = Owner(), Owner()
        self.near = LinkConnection(reactor, PlainChannel(near), self.near_owner, WINDOW)
        self.far = LinkConnection(reactor, PlainChannel(far), self.far_owner, WINDOW)

    def deliver(self, body: bytes) -> None:
        count = len(self.far_owner.units) + 1
        self.near.send_frame(session.frame_prefix(len(body)), body)
        turn_until(self.reactor, lambda: len(self.far_owner.units) == count)

    def close(self) -> None:
        self.near.abort()
        self.far.abort()


@pytest.fixture
def pair(reactor: Reactor) -> Iterator[_Pair]:
    made = _Pair(reactor)
    yield made
    made.close()


def _unit(size: int) -> bytes:
    return os.urandom(size)


def test_units_of_all_sizes_arrive_in_order_and_the_buffer_shrinks_again(pair: _Pair, clock: _Clock) -> None:
    sent = [_unit(size) for size in (1, WINDOW - 9, WINDOW, WINDOW + 1, 3 << 20, 10, 100, 70_000, 1)]
    for body in sent:
        pair.near.send_frame(session.frame_prefix(len(body)), body)
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == len(sent))
    assert pair.far_owner.units == [(session.FRAME, body) for body in sent]
    assert pair.far.buffered > 3 << 20
    for _ in range(20):  # a longer step would be taken for a stall, which does not count
        clock.ahead += KEPT / 10
        pair.reactor.turn(0.0)
    pair.near.send(SyncNow(1))
    pair.near.flush()
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == len(sent) + 1)
    assert pair.far.buffered == WINDOW
    assert pair.far_owner.heard_count > 0


def test_large_units_that_follow_one_another_share_one_buffer(pair: _Pair) -> None:
    sent = [_unit(size) for size in (1 << 20, 1 << 20, 500_000, 1 << 20, 9, WINDOW, 1 << 20)]
    buffers: set[int] = set()
    for body in sent:
        pair.deliver(body)
        buffers.add(pair.far.buffered)
    assert [body for _, body in pair.far_owner.units] == sent
    assert buffers == {session.PREFIX_BYTES + (1 << 20)}


def test_messages_and_frames_keep_their_order(pair: _Pair) -> None:
    for number in range(300):
        pair.near.send(Heartbeat(number, 0))
        pair.near.send_frame(session.frame_prefix(8), number.to_bytes(8, "little"))
    pair.near.flush()
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == 600)
    frames = [int.from_bytes(body, "little") for kind, body in pair.far_owner.units if kind == session.FRAME]
    assert frames == list(range(300))
    assert [kind == session.FRAME for kind, _ in pair.far_owner.units] == [False, True] * 300


def test_a_held_stream_is_not_handed_on_and_goes_on_where_it_stopped(pair: _Pair) -> None:
    pair.far_owner.hold_after = 3
    for number in range(10):
        body = bytes([number]) * 300_000
        pair.near.send_frame(session.frame_prefix(len(body)), body)
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == 3)
    for _ in range(20):
        pair.reactor.turn(0.001)
    assert len(pair.far_owner.units) == 3
    pair.far.resume()  # still held
    assert len(pair.far_owner.units) == 3
    pair.far_owner.hold_after = None
    pair.far_owner.holding = False
    pair.far.resume()
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == 10)
    assert [body[0] for _, body in pair.far_owner.units] == list(range(10))


def test_small_units_behind_a_hold_are_not_lost_when_nothing_more_arrives(pair: _Pair) -> None:
    pair.far_owner.hold_after = 1
    for number in range(3):
        pair.near.send(Heartbeat(number, 0))
    pair.near.flush()
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == 1)
    pair.far_owner.holding = False
    pair.far.resume()
    turn_until(pair.reactor, lambda: len(pair.far_owner.units) == 3)


def test_a_peer_that_goes_while_its_stream_is_held_costs_no_turns(pair: _Pair) -> None:
    pair.far_owner.hold_after = 1
    pair.near.send_frame(session.frame_prefix(1), b"1")
    pair.near.send_frame(session.frame_prefix(1), b"2")
    turn_until(pair.reactor, lambda: pair.far_owner.holding)
    pair.near.channel.close()  # with an RST, as a killed process may
    pair.near._fd = -1
    turns = 0
    deadline = pair.reactor.now + 0.2

    def count() -> bool:
        nonlocal turns
        turns += 1
        return pair.reactor.now > deadline

    turn_until(pair.reactor, count)
    assert turns < 20
    pair.far_owner.holding = False
    pair.far.resume()
    turn_until(pair.reactor, lambda: pair.far_owner.ends)
    assert pair.far_owner.units[-1] == (session.FRAME, b"2")


def test_the_end_of_the_peer_is_told_once(pair: _Pair) -> None:
    pair.near.abort()
    turn_until(pair.reactor, lambda: pair.far_owner.ends)
    for _ in range(5):
        pair.reactor.turn(0.001)
    assert pair.far_owner.ends == ["the peer closed the connection"]
    assert pair.near_owner.ends == []


def test_a_close_delivers_messages_but_not_the_frames_that_wait(pair: _Pair) -> None:
    pair.far_owner.holding = True  # so that much is left unsent
    body = _unit(1 << 20)
    for _ in range(16):
        pair.near.send_frame(session.frame_prefix(len(body)), body)
    assert pair.near.channel.waits_to_send
    pair.near.send(Refusal("protocol", "enough"))
    pair.near.close()
    pair.far_owner.holding = False
    pair.far.resume()
    turn_until(pair.reactor, lambda: pair.far_owner.ends)
    kinds = [kind for kind, _ in pair.far_owner.units]
    assert kinds[:-1] == [session.FRAME] * (len(kinds) - 1)
    assert len(kinds) < 16
    last = session.decode(kinds[-1], memoryview(pair.far_owner.units[-1][1]))
    assert last == Refusal("protocol", "enough")


def test_a_close_that_the_peer_never_reads_ends_by_itself(pair: _Pair) -> None:
    pair.far_owner.holding = True
    data = bytes(1 << 20)
    for number in range(12):
        pair.near.send(Fill(1, number, 1, 1, 0, len(data), data))
    pair.near.flush()
    pair.near.close()
    turn_until(pair.reactor, lambda: pair.near._fd < 0, timeout=LINGER + 5)
    assert pair.near_owner.ends == []


@pytest.mark.parametrize(
    ("garbage", "complaint"),
    [(b"\xff" * 64, "unknown unit"), ((1 << 31).to_bytes(4, "little") + bytes(4), "too long")],
)
def test_garbage_is_refused_with_a_reason_and_told_once(pair: _Pair, garbage: bytes, complaint: str) -> None:
    pair.near.channel.outbound.append(garbage)
    pair.near.flush()
    turn_until(pair.reactor, lambda: pair.far_owner.ends and pair.near_owner.units)
    assert complaint in pair.far_owner.ends[0]
    kind, body = pair.near_owner.units[0]
    refusal = session.decode(kind, memoryview(body))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "protocol"


def test_an_owner_may_refuse_a_unit(pair: _Pair) -> None:
    pair.far_owner.refuse = lambda: ProtocolError("not like this")
    pair.near.send(SyncNow(1))
    pair.near.flush()
    turn_until(pair.reactor, lambda: pair.far_owner.ends and pair.near_owner.ends)
    assert pair.far_owner.ends == ["not like this"]
