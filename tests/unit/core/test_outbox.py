"""What is written one after another: the header, and the volumes' fdatasyncs (rules C3, C4)."""

from typing import Any

import pytest

from farshore.core import actions as a
from farshore.core.outbox import GroupSync, HeaderKeeper, Outbox
from farshore.model.header import Header
from farshore.model.options import Role


def header(ceiling: int) -> Header:
    return Header(b"g" * 16, b"c" * 16, Role.PRIMARY, ceiling=ceiling)


class Keeper:
    """A header keeper and what it has emitted."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.failures: list[int] = []
        self.ran: list[str] = []
        self.keeper = HeaderKeeper(self.outbox, header(0), self.failures.append)

    def put(self, ceiling: int, name: str) -> None:
        self.keeper.put(header(ceiling), lambda: self.ran.append(name))

    def writing(self) -> a.WriteHeader:
        (action,) = self.outbox.take()
        assert isinstance(action, a.WriteHeader)
        return action


def test_a_header_is_current_at_once_and_durable_later() -> None:
    world = Keeper()
    world.put(1, "one")
    assert (world.keeper.header.ceiling, world.keeper.idle, world.ran) == (1, False, [])
    world.outbox.settle(world.writing().ticket, 0)
    assert (world.keeper.idle, world.ran) == (True, ["one"])


def test_headers_are_written_one_after_another_and_the_newest_stands_for_all_that_wait() -> None:
    world = Keeper()
    for number, name in ((1, "one"), (2, "two"), (3, "three")):
        world.put(number, name)
    first = world.writing()
    assert first.header.ceiling == 1
    world.outbox.settle(first.ticket, 0)
    assert world.ran == ["one"]
    second = world.writing()
    assert second.header.ceiling == 3
    world.outbox.settle(second.ticket, 0)
    assert world.ran == ["one", "two", "three"]


def test_c3_nothing_that_waited_for_a_header_runs_when_it_could_not_be_written() -> None:
    world = Keeper()
    world.put(1, "one")
    world.put(2, "two")
    world.outbox.settle(world.writing().ticket, 28)
    assert (world.ran, world.failures) == ([], [28])
    assert world.outbox.take() == []


def test_whoever_asks_during_a_sync_waits_for_the_next_one() -> None:
    outbox = Outbox()
    sync = GroupSync(outbox)
    ended: list[tuple[str, int]] = []

    def ask(name: str) -> None:
        sync.request(lambda errno: ended.append((name, errno)))

    def running() -> a.SyncVolumes:
        (action,) = outbox.take()
        assert isinstance(action, a.SyncVolumes)
        return action

    for name in ("one", "two", "three"):
        ask(name)
    outbox.settle(running().ticket, 0)
    assert ended == [("one", 0)]
    outbox.settle(running().ticket, 0)
    assert ended == [("one", 0), ("two", 0), ("three", 0)]
    assert sync.idle


def test_a_report_of_an_unknown_action_is_our_own_defect() -> None:
    with pytest.raises(KeyError):
        Outbox().settle(7, 0)


def test_a_forgotten_ticket_is_reported_in_vain() -> None:
    outbox = Outbox()
    seen: list[Any] = []
    ticket = outbox.ticket(seen.append)
    outbox.forget(ticket)
    outbox.settle(ticket, 0)
    assert seen == []
