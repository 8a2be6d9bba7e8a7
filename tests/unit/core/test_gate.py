"""The gate of a sync link: what may be acknowledged while its peer counts, and before it is done without
(rules C2, C4, D5)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from farshore.core.activity import ActivityLog
from farshore.core.gate import Acknowledged, LinkGate
from farshore.core.outbox import GroupSync, Outbox
from farshore.core.write_path import NO_LIMIT, Gate, WritePath
from farshore.model.header import LinkRecord
from farshore.model.options import AckLevel, LinkOptions, Mode, OnOutage
from farshore.model.positions import Position

LINK = b"l" * 16
SYNC = LinkOptions(mode=Mode.SYNC)
FREEZE = replace(SYNC, on_outage=OnOutage.FREEZE)


class World:
    """A gate, with what it asks to be remembered."""

    def __init__(self, options: LinkOptions = SYNC, *, ever: bool = False) -> None:
        self.options = options
        self.record = LinkRecord(LINK, 1, ever_replicated=ever)
        self.acked = Acknowledged(20, 12, 11, 10)
        self.asked: list[tuple[Position, Callable[[], None]]] = []
        outbox = Outbox()
        self.path = WritePath(outbox, ActivityLog(4, 12), GroupSync(outbox))
        self.path.generation, self.path.sequence, self.path.held = b"g" * 16, 20, False
        self.gate = LinkGate(
            LINK,
            self.path,
            lambda: (self.record, self.options, self.acked),
            lambda since, then: self.asked.append((since, then)),
        )

    @property
    def limits(self) -> Gate | None:
        return self.path.gates.get(LINK)


def test_an_async_link_never_limits_anything() -> None:
    world = World(LinkOptions())
    world.gate.open_unless_closed()
    world.gate.close(replicating=True)
    assert world.limits is None
    assert world.asked == []


def test_d5_a_sync_link_lets_nothing_pass_before_its_peer_was_asked() -> None:
    assert World().limits == Gate(0, 0)


@pytest.mark.parametrize(
    ("level", "write"), [(AckLevel.RECEIVED, 12), (AckLevel.APPLIED, 11), (AckLevel.DURABLE, 10)]
)
def test_c2_a_closed_gate_follows_the_level_that_was_chosen_and_flushes_follow_durability(
    level: AckLevel, write: int
) -> None:
    world = World(replace(SYNC, ack=level))
    world.gate.close(replicating=True)
    assert world.limits == Gate(write, 10)


def test_c4_a_gate_opens_only_after_alone_since_is_durable() -> None:
    world = World()
    world.gate.close(replicating=True)
    world.gate.open()
    assert world.limits == Gate(11, 10)
    ((since, durable),) = world.asked
    assert since == Position(b"g" * 16, 10)
    durable()
    assert world.limits == Gate(NO_LIMIT, NO_LIMIT)


def test_c4_a_peer_that_came_back_and_went_again_opens_only_for_the_newer_record() -> None:
    """Both records may reach the disk as one, in which the copy was not alone in between."""
    world = World()
    world.gate.close(replicating=True)
    world.gate.open()
    world.gate.close(replicating=True)
    world.gate.open()
    (_, first), (_, second) = world.asked
    first()
    assert world.limits == Gate(11, 10)
    second()
    assert world.limits == Gate(NO_LIMIT, NO_LIMIT)


def test_c4_a_peer_that_came_back_meanwhile_keeps_the_gate_closed() -> None:
    world = World()
    world.gate.open()
    world.gate.close(replicating=True)
    for _, durable in world.asked:
        durable()
    assert world.limits == Gate(11, 10)


def test_c4_a_second_outage_keeps_the_first_ones_mark() -> None:
    world = World()
    world.record = replace(world.record, alone_since=Position(b"o" * 16, 3))
    world.gate.open()
    assert [since for since, _ in world.asked] == [Position(b"o" * 16, 3)]


def test_c4_the_mark_may_fall_only_when_all_that_was_acknowledged_alone_is_durable() -> None:
    world = World()
    world.gate.open()
    world.asked[0][1]()
    assert not world.gate.settled(1000)
    world.gate.close()
    assert not world.gate.settled(19)
    assert world.gate.settled(20)


def test_c4_a_freeze_link_that_has_replicated_never_opens() -> None:
    world = World(FREEZE, ever=True)
    world.gate.close(replicating=True)
    world.gate.open()
    assert world.limits == Gate(11, 10)
    assert world.asked == []


def test_c4_a_freeze_link_whose_record_says_that_it_replicated_holds_although_its_gate_stood_open() -> None:
    world = World(FREEZE)
    world.gate.open()
    world.asked[0][1]()
    world.record = replace(world.record, ever_replicated=True)  # the line breaks right behind the record
    world.gate.open()
    assert world.limits == Gate(0, 0)


def test_c4_a_freeze_link_that_never_replicated_is_done_without() -> None:
    world = World(FREEZE)
    world.gate.open()
    world.asked[0][1]()
    assert world.limits == Gate(NO_LIMIT, NO_LIMIT)


def test_c4_a_link_that_became_freeze_while_it_was_being_recorded_does_not_open() -> None:
    world = World()
    world.gate.close(replicating=True)
    world.gate.open()
    world.options, world.record = FREEZE, replace(world.record, ever_replicated=True)
    world.asked[0][1]()
    assert world.limits == Gate(11, 10)


def test_c4_until_alone_since_is_durable_a_new_session_moves_nothing() -> None:
    """A stream that only begins counts what lies before it as acknowledged, which it is not."""
    world = World()
    world.gate.close(replicating=True)
    world.gate.open()
    world.acked = Acknowledged(20, 20, 20, 20)
    world.gate.open()
    assert world.limits == Gate(11, 10)


def test_d5_while_writes_are_held_nobody_is_declared_alone() -> None:
    world = World()
    world.path.held = True
    world.gate.open()
    assert world.asked == []
    assert world.limits == Gate(0, 0)
