"""A paced link never sends faster than its rate for long, keeps its order, and loses nothing."""

import os
from collections.abc import Iterator

import pytest

from farshore.engine.channel import PlainChannel
from farshore.engine.link_connection import LinkConnection
from farshore.engine.pace import UNBOUND, Pace, PacedChannel
from farshore.engine.reactor import Reactor
from farshore.model.messages import Refusal
from farshore.wire import session
from tests.unit.engine.ends import Owner, connected
from tests.unit.engine.turning import turn_until

KIB = 1024


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class _Ends:
    """A paced end and the plain one that it sends to; time stands still unless it is moved."""

    def __init__(self, rate: int) -> None:
        self.clock = _Clock()
        self.reactor = Reactor(self.clock)
        near, far = connected()
        self.pace = Pace(rate)
        self.channel = PacedChannel(PlainChannel(near), self.pace, self.reactor)
        self.owner, self.far_owner = Owner(), Owner()
        self.near = LinkConnection(self.reactor, self.channel, self.owner, 64 * KIB)
        self.channel.when_ready = self.near.flush
        self.far = LinkConnection(self.reactor, PlainChannel(far), self.far_owner, 64 * KIB)

    def send(self, *bodies: bytes) -> None:
        for body in bodies:
            self.near.send_frame(session.frame_prefix(len(body)), body)

    def pass_time(self, seconds: float) -> None:
        """In turns of a hundredth of a second."""
        for _ in range(round(seconds * 100)):
            self.clock.now += 0.01
            self.reactor.turn(0.0)

    @property
    def sent(self) -> int:
        return self.channel.sent_total


@pytest.fixture
def ends(request: pytest.FixtureRequest) -> Iterator[_Ends]:
    made = _Ends(request.param)
    yield made
    made.near.abort()
    made.far.abort()
    made.reactor.close()


@pytest.mark.parametrize("ends", [1 << 20], indirect=True)
def test_what_is_sent_keeps_to_the_rate_and_arrives_in_order(ends: _Ends) -> None:
    bodies = [os.urandom(4096) for _ in range(512)]
    ends.send(*bodies)
    first = ends.sent
    assert 0 < first <= 64 * KIB
    ends.pass_time(1.0)
    assert 0.9 * (1 << 20) <= ends.sent - first <= 1.1 * (1 << 20)
    assert ends.channel.backlog > 0
    ends.pass_time(1.5)
    turn_until(ends.reactor, lambda: len(ends.far_owner.units) == len(bodies))
    assert [body for _, body in ends.far_owner.units] == bodies


@pytest.mark.parametrize("ends", [1 << 20], indirect=True)
def test_nothing_is_polled_for_while_the_pace_holds_everything_back(ends: _Ends) -> None:
    ends.send(bytes(1 << 20))
    assert ends.channel.outbound
    assert not ends.channel.waits_to_send


@pytest.mark.parametrize("ends", [1 << 20], indirect=True)
def test_an_idle_link_saves_up_little(ends: _Ends) -> None:
    ends.pass_time(10.0)
    ends.send(bytes(4 << 20))
    assert ends.sent <= 64 * KIB


@pytest.mark.parametrize("ends", [64 * KIB], indirect=True)
def test_last_words_leave_although_the_rest_may_not(ends: _Ends) -> None:
    ends.send(*[bytes(4096)] * 100)
    ends.near.send(Refusal("protocol", "enough"))
    ends.near.close()
    ends.pass_time(1.0)
    turn_until(ends.reactor, lambda: ends.far_owner.ends)
    assert session.decode(ends.far_owner.units[-1][0], memoryview(ends.far_owner.units[-1][1])) == Refusal(
        "protocol", "enough"
    )


@pytest.mark.parametrize("ends", [64 * KIB], indirect=True)
def test_a_new_rate_holds_at_once(ends: _Ends) -> None:
    ends.send(bytes(8 << 20))
    ends.pass_time(0.5)
    slow = ends.sent
    ends.pace.own = 0
    ends.pass_time(0.5)
    turn_until(ends.reactor, lambda: ends.sent == (8 << 20) + session.PREFIX_BYTES)
    assert slow <= 128 * KIB


def test_the_smaller_of_own_bound_and_share_counts() -> None:
    pace = Pace()
    assert (pace.rate, pace.allowance(1.0)) == (0, UNBOUND)
    pace.share = 500
    assert pace.rate == 500
    pace.own = 200
    assert pace.rate == 200
    pace.own = 900
    assert pace.rate == 500
