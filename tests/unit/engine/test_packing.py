"""What a packed direction carries comes out as it went in, in order, whatever its size and content."""

import os
import random
import threading
from collections.abc import Iterator

import pytest

from farshore.engine.channel import PlainChannel
from farshore.engine.link_connection import LinkConnection
from farshore.engine.pace import Pace, PacedChannel
from farshore.engine.packing import PackingChannel, UnpackingChannel
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.model.messages import Heartbeat, Refusal
from farshore.wire import compression, session
from tests.unit.engine.ends import Owner, connected
from tests.unit.engine.turning import turn_until

KIB, MIB = 1 << 10, 1 << 20
LINE = b"update accounts set balance = balance + 10 where id = 4711;\n"


class _Ends:
    """A packing end and an unpacking one."""

    def __init__(self, rate: int = 0) -> None:
        self.reactor = Reactor()
        self.pool = Pool(self.reactor, "packing", 1)
        near, far = connected()
        self.raw = far
        self.channel = PackingChannel(PlainChannel(near), self.pool)
        self.owner, self.far_owner = Owner(), Owner()
        self.near = LinkConnection(self.reactor, self.channel, self.owner, 64 * KIB)
        self.channel.when_ready = self.near.flush
        if rate:
            paced = PacedChannel(self.channel.inner, Pace(rate), self.reactor)
            paced.when_ready = self.near.flush
            self.channel.inner = paced
        self.far = LinkConnection(
            self.reactor, UnpackingChannel(PlainChannel(far)), self.far_owner, 256 * KIB
        )

    def send(self, *bodies: bytes) -> None:
        for body in bodies:
            self.near.send_frame(session.frame_prefix(len(body)), body)

    def arrive(self, *bodies: bytes) -> None:
        turn_until(self.reactor, lambda: len(self.far_owner.units) == len(bodies))
        assert [body for _, body in self.far_owner.units] == list(bodies)

    def close(self) -> None:
        self.near.abort()
        self.far.abort()
        self.pool.close()
        self.reactor.close()


@pytest.fixture
def ends() -> Iterator[_Ends]:
    made = _Ends()
    yield made
    made.close()


def _text(size: int) -> bytes:
    return (LINE * (size // len(LINE) + 1))[:size]


def test_units_of_all_sizes_and_kinds_arrive_in_order(ends: _Ends) -> None:
    chosen = random.Random(7)
    sizes = [1, 4096, 8 * KIB, 8 * KIB + 1, 128 * KIB, 128 * KIB + 1, 3 * MIB, 100, 70_000]
    bodies = [_text(size) if chosen.random() < 0.5 else chosen.randbytes(size) for size in sizes * 3]
    ends.send(*bodies)
    ends.arrive(*bodies)
    assert ends.channel.backlog == 0


def test_text_takes_a_fraction_of_its_bytes_on_the_line(ends: _Ends) -> None:
    ends.send(*[_text(4096)] * 300)
    turn_until(ends.reactor, lambda: len(ends.far_owner.units) == 300)
    assert ends.channel.sent_total < 300 * 4096 / 5
    assert ends.channel.sent_total == ends.channel.packed_total
    assert ends.channel.raw_total == 300 * (4096 + session.PREFIX_BYTES)
    assert ends.far.channel.received_total == ends.channel.sent_total


def test_what_does_not_shrink_costs_next_to_nothing(ends: _Ends) -> None:
    body = os.urandom(4 * MIB)
    ends.send(body)
    ends.arrive(body)
    assert ends.channel.sent_total <= 1.001 * len(body)


def test_text_behind_noise_is_packed_again_soon(ends: _Ends) -> None:
    noise, text = os.urandom(4 * MIB), _text(16 * MIB)
    ends.send(noise)
    turn_until(ends.reactor, lambda: len(ends.far_owner.units) == 1)
    before = ends.channel.sent_total
    ends.send(text)
    turn_until(ends.reactor, lambda: len(ends.far_owner.units) == 2)
    assert ends.channel.sent_total - before < len(text)


def test_what_comes_while_a_block_is_packed_shares_the_next_one(ends: _Ends) -> None:
    go_on = threading.Event()
    ends.pool.submit("before", go_on.wait, lambda _: None)
    first, small = _text(100 * KIB), [_text(4096)] * 64
    ends.send(first, *small)
    assert ends.channel.backlog > len(first) + 64 * 4096  # seen by the core, so that its queue is bounded
    go_on.set()
    ends.arrive(first, *small)
    assert ends.channel.packed_total < 64 * 50  # alone, each would take 90


def test_a_held_stream_goes_on_where_it_stopped(ends: _Ends) -> None:
    ends.far_owner.hold_after = 3
    bodies = [bytes([number]) * 50_000 for number in range(20)]
    ends.send(*bodies)
    turn_until(ends.reactor, lambda: len(ends.far_owner.units) == 3)
    for _ in range(20):
        ends.reactor.turn(0.001)
    assert len(ends.far_owner.units) == 3
    ends.far_owner.hold_after = None
    ends.far_owner.holding = False
    ends.far.resume()
    ends.arrive(*bodies)


def test_answers_travel_bare(ends: _Ends) -> None:
    ends.far.send(Heartbeat(7, 9))
    ends.far.flush()
    turn_until(ends.reactor, lambda: ends.owner.units)
    kind, body = ends.owner.units[0]
    assert session.decode(kind, memoryview(body)) == Heartbeat(7, 9)


def test_last_words_come_behind_what_is_being_packed(ends: _Ends) -> None:
    ends.send(_text(MIB))  # the first block is on its way to the thread when the end comes
    ends.near.send(Refusal("protocol", "enough"))
    ends.near.close()
    turn_until(ends.reactor, lambda: ends.far_owner.ends)
    kind, body = ends.far_owner.units[-1]
    assert session.decode(kind, memoryview(body)) == Refusal("protocol", "enough")


def test_a_paced_link_is_paced_by_what_is_packed() -> None:
    ends = _Ends(rate=256 * KIB)
    body = _text(2 * MIB)  # unpacked, it would take eight seconds
    ends.send(body)
    turn_until(ends.reactor, lambda: ends.far_owner.units, timeout=5.0)
    assert ends.far_owner.units == [(session.FRAME, body)]
    ends.close()


def test_a_damaged_block_ends_the_connection(ends: _Ends) -> None:
    below = ends.channel.inner.outbound
    below.append(compression.header(compression.ZSTD, 4096, 20) + os.urandom(20))
    ends.channel.inner.flush()
    turn_until(ends.reactor, lambda: ends.far_owner.ends)
    assert "packed" in ends.far_owner.ends[0]
    assert ends.far_owner.units == []
