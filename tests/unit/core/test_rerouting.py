"""A far copy that gets another feeder is brought up to date by what that one knows of it (rules A5, B8): a
scoreboard where it has one, a comparison where it has none, and never by copying everything."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkOptions, LinkState, ResyncKind
from tests.unit.core.pair import KIB, REGION
from tests.unit.core.rerouted import Rerouted


@pytest.fixture
def chain() -> Rerouted:
    made = Rerouted(LinkOptions())
    made.write(*range(0, 64 * KIB, REGION))
    made.in_order()
    return made


def resyncs(chain: Rerouted) -> list[object]:
    """The kinds of those that the primary began with the last copy."""
    return [
        each["reason"]
        for each in chain.near.noted("link-state")
        if each["state"] == "resyncing" and each["link"] == "hop"
    ]


def taken(chain: Rerouted, epoch: int) -> None:
    """By the primary, all the way."""
    chain.point_last(epoch)
    chain.near_takes(epoch)
    feeder = chain.direct_feeder
    assert feeder is not None
    chain.until(lambda: feeder.replicating)


def test_a_feeder_without_a_scoreboard_compares_and_copies_what_differs(chain: Rerouted) -> None:
    chain.cut()
    chain.cut_hop()
    chain.write(0, 8 * KIB)
    chain.turn(20)
    taken(chain, 2)
    assert resyncs(chain) == ["digest"]
    assert len(chain.direct.fills()) == 2
    assert any(isinstance(each, m.DigestQuery) for each in chain.direct.sent)
    assert chain.last.disk.seen == chain.near.disk.seen


def test_a_feeder_that_had_it_before_updates_what_changed_meanwhile(chain: Rerouted) -> None:
    taken(chain, 2)
    chain.near_rests()
    chain.point_last(3)
    chain.middle_is_told(epoch=3, resting=False)
    chain.write(12 * KIB)
    chain.in_order()
    chain.direct.sent.clear()
    chain.near_rests()
    taken(chain, 4)
    assert resyncs(chain) == ["digest", "update"]
    assert {each.offset for each in chain.direct.fills()} == {12 * KIB}
    assert not any(isinstance(each, m.DigestQuery) for each in chain.direct.sent)


def test_a_feeder_that_is_behind_the_far_copy_waits_until_it_has_caught_up(chain: Rerouted) -> None:
    taken(chain, 2)
    chain.middle_is_told(epoch=1, resting=True)
    chain.cut()
    chain.write(0, 4 * KIB)
    chain.turn(20)
    chain.near_rests()
    chain.point_last(3)
    chain.middle_is_told(epoch=3, resting=False)
    chain.turn(60)
    assert chain.hop_feeder.state is LinkState.LOGGING
    assert "catch up" in chain.hop_feeder.why
    assert chain.last.disk.seen == chain.near.disk.seen  # it has lost nothing of what it had
    chain.mend()
    chain.in_order()


def test_a_start_keeps_no_journal_for_a_copy_that_another_feeder_has(chain: Rerouted) -> None:
    """It would be given up when this copy is resynced itself, and the marks of what it held with it."""
    taken(chain, 2)
    chain.middle_is_told(epoch=1, resting=True)
    chain.near_rests()
    chain.write(0, 16 * KIB)
    chain.turn(20)
    chain.restart_middle(chain.middle.boot)
    chain.turn(20)
    assert chain.hop_feeder.state is LinkState.LOGGING
    assert chain.hop_feeder.board.dirty.count() == 2
    chain.cut()
    chain.write(32 * KIB)
    chain.near.run(chain.near.core.resync(chain.link, ResyncKind.DIGEST, False))
    chain.mend()
    chain.turn(100)
    chain.restart_middle(chain.middle.boot)
    chain.point_last(3)
    chain.middle_is_told(epoch=3, resting=False)
    chain.in_order()


def test_a_start_keeps_no_disk_queue_for_a_copy_that_another_feeder_has() -> None:
    """The primary died between writing down that its link rests and telling its engine of it."""
    chain = Rerouted(LinkOptions())
    chain.in_order()
    taken(chain, 2)
    chain.cut(chain.hop_id)
    chain.write(0, 8 * KIB)
    chain.turn(5)
    assert chain.direct_feeder is not None
    assert chain.direct_feeder.state is LinkState.QUEUING
    spec = chain.near_spec
    assert spec is not None
    chain.kill_near()
    chain.near.links = tuple(replace(e, resting=True) if e is spec else e for e in chain.near.links)
    chain.start_near("boot-1")
    chain.turn(20)
    assert chain.direct_feeder.state is LinkState.LOGGING
    assert chain.near.queues[chain.hop_id].image() is None
    chain.mend(chain.hop_id)
    chain.point_last(3)
    chain.middle_is_told(epoch=3, resting=False)
    chain.in_order()


def test_a_feeder_that_was_not_told_is_refused_and_keeps_nothing_from_anybody(chain: Rerouted) -> None:
    taken(chain, 2)
    chain.write(0)
    chain.turn(60)
    assert chain.hop_feeder.state is LinkState.LOGGING
    assert chain.hop_feeder.why
    assert chain.last.disk.seen == chain.near.disk.seen
    chain.last.hold.add(a.WriteHeader)
    chain.point_last(3)
    spec = replace(chain.hop.spec, epoch=3)
    chain.middle_is_told(epoch=spec.epoch, resting=False)
    chain.turn(30)
    assert not chain.hop_feeder.replicating  # nobody is met before the epoch is durable there
    chain.last.let_all()
    chain.near_rests()
    chain.in_order()
