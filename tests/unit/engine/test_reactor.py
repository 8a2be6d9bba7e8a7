"""A turn reads everything that is ready, then runs timers, then ends once; its clock leaves stalls out."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from farshore.engine.reactor import READABLE, STALL, WRITABLE, Reactor
from tests.unit.engine.turning import turn_until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_one_turn_reads_every_ready_descriptor_before_it_ends_once(reactor: Reactor) -> None:
    seen: list[str] = []

    def note_read(number: int, _ready: int) -> None:
        seen.append(f"read {number}")

    pipes = [os.pipe() for _ in range(3)]
    for number, (reading, writing) in enumerate(pipes):
        reactor.add(reading, partial(note_read, number))
        os.write(writing, b"x")
    reactor.after(0.0, lambda: seen.append("timer"))
    reactor.at_turn_start(lambda: seen.append("start"))
    reactor.at_turn_end(lambda: seen.append("end"))

    reactor.turn()

    assert seen[0] == "start"
    assert sorted(seen[1:4]) == ["read 0", "read 1", "read 2"]
    assert seen[4:] == ["timer", "end"]
    for reading, writing in pipes:
        reactor.remove(reading)
        os.close(reading)
        os.close(writing)


def test_a_descriptor_removed_by_an_earlier_callback_of_the_turn_is_not_called(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    called: list[socket.socket] = []

    def first_removes_other(mine: socket.socket, other: socket.socket) -> None:
        called.append(mine)
        reactor.remove(other.fileno())

    reactor.add(left.fileno(), lambda _ready: first_removes_other(left, right), WRITABLE)
    reactor.add(right.fileno(), lambda _ready: first_removes_other(right, left), WRITABLE)
    reactor.turn()
    assert len(called) == 1


def test_change_stops_and_resumes_reading(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    seen: list[bytes] = []
    reactor.add(left.fileno(), lambda _ready: seen.append(left.recv(10)))
    reactor.change(left.fileno(), 0)
    right.send(b"held")
    reactor.turn(0.0)
    assert seen == []
    reactor.change(left.fileno(), READABLE)
    reactor.turn()
    assert seen == [b"held"]


def test_timers_run_in_order_and_cancelled_ones_never(reactor: Reactor) -> None:
    seen: list[int] = []
    reactor.after(0.02, lambda: seen.append(2))
    reactor.after(0.01, lambda: seen.append(1))
    reactor.after(0.015, lambda: seen.append(99)).cancel()
    reactor.after(0.03, lambda: seen.append(3))
    turn_until(reactor, lambda: len(seen) == 3)
    assert seen == [1, 2, 3]


def test_posts_from_other_threads_wake_the_loop_and_none_is_lost(reactor: Reactor) -> None:
    seen: list[int] = []

    def post_many() -> None:
        for _ in range(2000):
            reactor.post(lambda: seen.append(1))

    threads = [threading.Thread(target=post_many) for _ in range(3)]
    for thread in threads:
        thread.start()
    turn_until(reactor, lambda: len(seen) == 6000)
    for thread in threads:
        thread.join()


def test_a_callback_for_soon_runs_in_the_next_turn_without_waiting(reactor: Reactor) -> None:
    seen: list[str] = []
    reactor.soon(lambda: reactor.soon(lambda: seen.append("second")))
    reactor.turn()
    assert seen == []
    reactor.turn()
    assert seen == ["second"]


class _Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.mark.parametrize("where", ["in a callback", "between turns"])
def test_the_time_in_which_we_stood_still_is_not_counted(where: str) -> None:
    clock = _Clock()
    reactor = Reactor(clock)

    def stand_still() -> None:
        clock.time += 30.0

    before = reactor.now
    if where == "in a callback":
        reactor.soon(stand_still)
        reactor.turn()
    else:
        stand_still()  # as a suspended machine does
    reactor.turn(0.0)
    assert reactor.now - before < STALL
    assert reactor.stalled == pytest.approx(30.0)
    assert reactor.stalls == 1
    reactor.close()


def test_waiting_for_long_without_events_is_no_stall(reactor: Reactor) -> None:
    before = reactor.now
    reactor.turn(STALL * 1.5)
    assert reactor.stalls == 0
    assert reactor.now - before >= STALL


def test_a_defect_in_a_callback_ends_the_loop(reactor: Reactor) -> None:
    def defective() -> None:
        raise ZeroDivisionError

    reactor.soon(defective)
    with pytest.raises(ZeroDivisionError):
        reactor.run()


def test_a_loop_that_is_needed_again_at_once_finds_the_next_event_without_sleeping(
    reactor: Reactor, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = pair
    came: list[bytes] = []
    reactor.add(left.fileno(), lambda _: came.append(left.recv(1)))
    right.send(b"1")
    while not came:
        reactor.turn()
    slept: list[float] = []
    sleep = reactor._sleep

    def counted(since: float, wait: float) -> list[tuple[int, int]]:
        slept.append(wait)
        return sleep(since, wait)

    monkeypatch.setattr(reactor, "_sleep", counted)
    monkeypatch.setattr(reactor, "_eager", True)
    looks = 0

    def give_way() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            right.send(b"2")

    monkeypatch.setattr(os, "sched_yield", give_way)
    reactor.turn()
    assert (came, slept, looks) == ([b"1", b"2"], [], 3)


def test_an_idle_loop_sleeps(reactor: Reactor) -> None:
    turns = 0

    def tick() -> None:
        nonlocal turns
        turns += 1
        reactor.after(0.02, tick)
        if turns == 20:
            reactor.stop()

    tick()
    before = time.process_time()
    reactor.run()
    assert time.process_time() - before < 0.1, "it looked for events all the time"
