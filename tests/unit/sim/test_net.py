"""Simulated lines keep the order within a connection and break everything else on request."""

import pytest

from sim.net import WINDOW, End, Line, Net
from sim.world import Life, World

KEY = b"k" * 16


class Holder:
    """A process that notes what happens to its end; it reads at once unless `holding`."""

    def __init__(self, *, holding: bool = False) -> None:
        self.heard = bytearray()
        self.ends: list[End] = []
        self.farewells: list[str] = []
        self.room = 0
        self.holding = holding

    def opened(self, end: End) -> None:
        self.ends.append(end)

    def accept(self, end: End) -> "Holder":
        self.ends.append(end)
        return self

    def arrived(self, end: End) -> None:
        if not self.holding:
            self.heard += end.inbox
            end.used(len(end.inbox))
            end.inbox.clear()

    def lost(self, end: End, why: str) -> None:
        self.farewells.append(why)

    def roomy(self, end: End) -> None:
        self.room += 1


class Pair:
    """A world with one line and a process at each end of it."""

    def __init__(self, seed: int, *, holding: bool = False) -> None:
        self.world = World(seed)
        self.net = Net(self.world, 0.01)
        self.net.lines[KEY] = Line(KEY)
        self.feeder, self.follower = Holder(), Holder(holding=holding)
        self.feeder_life, self.follower_life = Life("feeder"), Life("follower")
        self.net.listeners[KEY] = (self.follower_life, self.follower)

    def settle(self) -> None:
        for _ in range(10_000):
            if not self.world.step():
                return
        pytest.fail("the world does not come to rest")

    def connected(self) -> End:
        self.net.connect(KEY, self.feeder_life, self.feeder)
        self.settle()
        return self.feeder.ends[-1]


@pytest.mark.parametrize("seed", range(10))
def test_bytes_arrive_in_order_and_whole(seed: int) -> None:
    pair = Pair(seed)
    end = pair.connected()
    sent = b"".join(bytes((number,)) * (number + 1) for number in range(100))
    at = 0
    for number in range(100):
        end.send(sent[at : at + number + 1])
        at += number + 1
    pair.settle()
    assert pair.follower.heard == sent


def test_a_reader_that_holds_stops_its_sender_until_it_reads() -> None:
    pair = Pair(1, holding=True)
    end = pair.connected()
    end.send(bytes(WINDOW))
    pair.settle()
    assert end.room() == 0
    other = pair.follower.ends[0]
    other.used(1000)
    pair.settle()
    assert end.room() == 1000
    assert pair.feeder.room == 1


def test_a_closed_connection_is_noticed_after_everything_that_was_sent() -> None:
    pair = Pair(2)
    end = pair.connected()
    end.send(b"last words")
    end.close()
    pair.settle()
    assert pair.follower.heard == b"last words"
    assert len(pair.follower.farewells) == 1


def test_nobody_listens_and_the_attempt_fails() -> None:
    pair = Pair(3)
    pair.follower_life.alive = False
    pair.net.connect(KEY, pair.feeder_life, pair.feeder)
    pair.settle()
    assert pair.feeder.farewells == ["no connection"]


def test_a_cut_line_swallows_what_is_under_way_and_refuses_what_is_new() -> None:
    pair = Pair(4)
    end = pair.connected()
    end.send(b"lost")
    pair.net.cut(KEY)
    pair.settle()
    assert pair.follower.heard == b""
    pair.net.connect(KEY, pair.feeder_life, pair.feeder)
    pair.settle()
    assert pair.feeder.farewells[-1] == "no connection"
    pair.net.heal(KEY)
    assert pair.connected() is not end


def test_a_half_open_connection_tells_nobody() -> None:
    for seed in range(20):
        pair = Pair(seed)
        end = pair.connected()
        assert pair.net.half_open(KEY)
        end.send(b"ping")
        pair.follower.ends[0].send(b"pong")
        pair.settle()
        assert not (pair.follower.heard and pair.feeder.heard)
        assert pair.feeder.farewells == pair.follower.farewells == []


def test_held_bytes_of_an_old_connection_arrive_while_a_new_one_is_up() -> None:
    arrived = []
    for seed in range(30):
        pair = Pair(seed)
        old = pair.connected()
        pair.net.hold(KEY, 5.0)
        old.send(b"old")
        if pair.net.lines[KEY].held_until:
            continue
        pair.net.connect(KEY, pair.feeder_life, pair.feeder)
        while len(pair.feeder.ends) < 2:
            assert pair.world.step()
        pair.feeder.ends[1].send(b"new")
        pair.settle()
        arrived.append(bytes(pair.follower.heard))
    assert arrived
    assert set(arrived) == {b"newold"}


def test_a_replay_says_again_what_the_feeder_said() -> None:
    for seed in range(10):
        pair = Pair(seed)
        pair.connected().send(b"hello, it is me")
        pair.settle()
        assert pair.net.replay(KEY)
        pair.settle()
        again = bytes(pair.follower.heard).removeprefix(b"hello, it is me")
        assert again
        assert b"hello, it is me".startswith(again)


def test_a_killed_process_closes_its_connections_and_a_dead_machine_does_not() -> None:
    pair = Pair(5)
    pair.connected()
    pair.net.machine_gone(pair.feeder_life)
    pair.settle()
    assert pair.follower.farewells == []
    pair = Pair(5)
    pair.connected()
    pair.net.process_gone(pair.feeder_life)
    pair.settle()
    assert len(pair.follower.farewells) == 1
