"""Rules E1 and E2 at a secondary: what a resync overwrites is kept first, within bounds."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import report, undoing
from farshore.core.moments import moment
from farshore.core.turning import Promoted, Undo, check_promotable, promoted
from farshore.core.undoing import reach
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.copy_config import DOUBTFUL, TurnIntent
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import LinkState, Reason, ResyncKind
from tests.unit.core.pair import KIB, REGION, Pair
from tests.unit.core.scenes import EIO, running
from tests.unit.core.undo_scenes import REGIONS, apart, broken, of, open_resync

ENOSPC = 28


def test_e1_the_undo_and_the_mark_are_durable_before_the_first_fill_is_written() -> None:
    pair = apart()
    before = bytes(pair.far.disk.seen[1])
    pair.far.hold.update({a.BeginLayer, a.SaveRegions, a.WriteHeader})
    pair.mend()
    pair.turn(30)
    assert pair.far.carried(a.BeginLayer)
    for kind in (a.BeginLayer, a.WriteHeader, a.SaveRegions):
        assert bytes(pair.far.disk.seen[1]) == before
        pair.turn(10)
        pair.far.let(kind)
        pair.turn(5)
    pair.far.let_all()
    pair.replicating()
    assert pair.equal()


def test_e1_the_follower_is_told_how_much_will_be_overwritten() -> None:
    pair = apart(0, 3, 4)
    pair.mend()
    pair.replicating()
    assert pair.far.carried(a.BeginLayer)[-1].reserve == 3 * REGION


def test_e1_the_undo_goes_with_the_completion_cut_and_not_before() -> None:
    pair = apart()
    open_resync(pair, 4)
    assert pair.far.header.undo == pair.far.store.layers[-1].id
    assert pair.far.store.layers[-1].kind is LayerKind.UNDO
    pair.line.stops = lambda _: False
    pair.far.hold.add(a.WriteHeader)
    pair.until(lambda: pair.far.held(a.WriteHeader) > 0)
    pair.turn(5)
    assert pair.far.store.layers
    pair.far.let_all()
    pair.replicating()
    assert (pair.far.header.undo, pair.far.store.layers) == (b"", [])


def test_e1_a_first_copy_to_a_blank_volume_keeps_none() -> None:
    assert running().far.store.dropped == []


def test_e1_every_fill_and_live_write_waits_until_what_it_overwrites_is_saved() -> None:
    pair = apart()
    open_resync(pair, 1)
    pair.far.hold.add(a.SaveRegions)
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    before = pair.far.core.session
    assert before is not None
    applied = before.fills_applied
    pair.write(*[place * REGION for place in range(1, REGIONS, 2)])
    pair.turn(20)
    assert before.fills_applied == applied
    assert before.guard.waiting
    pair.far.let_all()
    pair.turn(30)
    assert before.fills_applied > applied
    assert not before.guard.waiting
    kept = pair.far.store.kept[pair.far.header.undo]
    assert {region for _, region in kept} >= set(range(1, REGIONS, 2))
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


def test_e1_many_regions_share_a_save() -> None:
    pair = apart(*range(REGIONS))
    pair.mend()
    pair.replicating()
    assert len(pair.far.carried(a.SaveRegions)) <= REGIONS // 2


def test_a_resync_that_is_cut_off_and_goes_on_keeps_its_first_undo() -> None:
    pair = apart()
    open_resync(pair, 3)
    undo = pair.far.header.undo
    for boot in ("boot-1", "boot-2"):
        pair.write(5 * REGION)
        pair.restart_far(boot)
        open_resync(pair, 1)
        assert pair.far.header.undo == undo
    assert len(pair.far.store.layers) == 1
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


def test_without_room_the_resync_is_refused_and_waits_for_the_operator() -> None:
    pair = apart()
    before = bytes(pair.far.disk.seen[1])
    pair.far.errors[a.BeginLayer] = [ENOSPC, ENOSPC]
    pair.mend()
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    begun = len(pair.far.carried(a.BeginLayer))
    pair.turn(100)
    assert len(pair.far.carried(a.BeginLayer)) == begun
    assert (pair.feeder.state, pair.feeder.standing.reason) == (LinkState.LOGGING, Reason.STORE_FULL)
    assert "--unprotected" in pair.feeder.next_step
    assert pair.far.core.consistent
    assert bytes(pair.far.disk.seen[1]) == before
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    assert (pair.feeder.standing.reason, pair.feeder.next_step) == (Reason.STORE_FULL, ""), "it was done"
    pair.until(lambda: bool(pair.far.noted("resync-unprotected")))
    pair.replicating()
    assert pair.equal()


def test_an_operator_who_has_made_room_goes_on() -> None:
    pair = apart()
    pair.far.errors[a.BeginLayer] = [ENOSPC]
    pair.mend()
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
    pair.replicating()
    assert pair.equal()


def test_e2_a_store_that_runs_full_stops_the_resync_and_keeps_the_undo() -> None:
    pair = apart()
    open_resync(pair, 2)
    pair.far.errors[a.SaveRegions] = [ENOSPC]
    pair.line.stops = lambda _: False
    pair.write(1 * REGION, 3 * REGION)
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    pair.turn(50)
    assert pair.far.header.undo
    assert pair.far.store.layers
    assert of(pair)["peer_usable"] is True
    pair.restart_far("boot-1", roll_back=True)
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
    pair.replicating()
    assert pair.equal()


def test_e2_an_undo_is_given_up_durably_before_anything_more_is_overwritten() -> None:
    pair = apart()
    open_resync(pair, 2)
    pair.far.errors[a.SaveRegions] = [ENOSPC] * 2
    pair.line.stops = lambda _: False
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    assert "--unprotected" in pair.feeder.next_step
    undo, before = pair.far.header.undo, bytes(pair.far.disk.seen[1])
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    pair.far.hold.add(a.WriteHeader)
    for _ in range(100):
        if pair.far.noted("undo-lost"):
            break
        pair.far.let(a.WriteHeader, pair.far.held(a.WriteHeader))
        pair.turn()
    pair.turn(30)
    assert pair.far.noted("undo-lost")
    assert (pair.far.header.undo, bytes(pair.far.disk.seen[1])) == (undo, before)
    assert [each.id for each in pair.far.store.layers] == [undo]
    pair.far.let_all()
    pair.replicating()
    assert (pair.far.header.undo, pair.far.store.layers) == (b"", [])
    assert pair.equal()


def test_e1_with_room_an_accepted_risk_costs_no_undo() -> None:
    pair = apart()
    open_resync(pair, 2)
    pair.cut()
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, True))
    pair.mend()
    pair.until(lambda: pair.is_in(LinkState.RESYNCING))
    pair.turn(50)
    assert pair.far.header.undo
    assert of(pair)["peer_usable"] is True


def test_e2_a_snapshot_gives_way_to_an_undo() -> None:
    pair = apart()
    snapshot = Layer(b"s" * 16, LayerKind.SNAPSHOT, ((1, 64 * KIB),), "nightly")
    pair.restart_far("boot-1")
    pair.far.store.begin(snapshot)
    pair.restart_far("boot-1")
    pair.far.errors[a.SaveRegions] = [ENOSPC]
    pair.replicating()
    assert [each.name for each in pair.far.store.dropped if each.kind is LayerKind.SNAPSHOT] == ["nightly"]
    assert pair.equal()


@pytest.mark.parametrize("kind", [a.BeginLayer, a.SaveRegions])
def test_c3_a_store_that_cannot_be_written_is_a_fault(kind: type[a.Action]) -> None:
    pair = apart()
    before = bytes(pair.far.disk.seen[1])
    pair.far.errors[kind] = [EIO]
    pair.mend()
    pair.until(lambda: bool(pair.far.core.fault))
    assert bytes(pair.far.disk.seen[1]) == before


def test_a_peer_that_keeps_an_undo_is_usable_as_of_before() -> None:
    pair = apart()
    stopped = pair.now
    open_resync(pair, 3)
    pair.turn(30)
    shown = of(pair)
    assert shown["peer_usable"] is True
    assert shown["peer_usable_as_of"] <= moment(stopped)
    pair.cut()
    pair.turn(10)
    assert of(pair)["peer_usable"] is True
    pair.mend()
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.feeder.record.open_resync is None


def test_an_undo_that_is_gone_is_told_and_the_resync_goes_on_without() -> None:
    pair = apart()
    open_resync(pair, 3)
    pair.far.store.layers.clear()
    pair.restart_far("boot-1")
    assert pair.far.noted("undo-lost")
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


def test_an_undo_that_no_resync_has_goes_at_the_next_start() -> None:
    pair = apart()
    pair.far.store.begin(Layer(b"o" * 16, LayerKind.UNDO, ((1, 64 * KIB),)))
    pair.restart_far("boot-1")
    pair.turn(5)
    assert [each.id for each in pair.far.store.layers] != [b"o" * 16]
    pair.replicating()
    assert pair.far.store.layers == []


LOST = 4


def lacking() -> Pair:
    """A resync stands still; one region could not be read before it was overwritten."""
    pair = apart()
    pair.far.store.bad.add((1, LOST))
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.mend()
    pair.until(lambda: pair.is_in(LinkState.RESYNCING) and bool(pair.far.noted("layer-incomplete")))
    pair.turn(30)
    return pair


def test_e1_a_region_that_cannot_be_read_does_not_end_the_undo() -> None:
    pair = lacking()
    assert [each.id for each in pair.far.store.layers] == [pair.far.header.undo]
    assert not pair.far.core.fault
    assert of(pair)["peer_usable"] is False, "it cannot be taken back exactly"
    shown = report.of_secondary(pair.far.core, "a")
    assert (shown["usable_position"], shown["undo"]["whole"]) == (None, False)
    pair.far.store.check()
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()
    assert (pair.far.header.undo, pair.far.store.layers) == (b"", [])


def rolled_back(pair: Pair) -> Promoted:
    """As a turn that accepts the risk does it, after the primary has died."""
    accepted = TurnIntent(b"t" * 16, (DOUBTFUL,))
    pair.kill_near(lose_cache=True)
    check_promotable(pair.far.header, accepted, reach(pair.far.core))
    pair.checked = False
    pair.restart_far("boot-1", roll_back=True)
    pair.far.run(pair.far.core.stop())
    return promoted(pair.far.header, accepted, [(replace(pair.feeder.spec, id=b"n" * 16), None)])


@pytest.mark.parametrize("restarted", [False, True])
def test_e3_such_an_undo_leads_back_only_by_a_plan_that_says_so(restarted: bool) -> None:
    pair = lacking()
    before = pair.far.store.images[pair.far.header.undo][1]
    if restarted:
        pair.restart_far("boot-1")
    shown = report.of_secondary(pair.far.core, "a")
    assert (shown["promotable"], shown["promotable_risk"]) == (False, DOUBTFUL)
    with pytest.raises(FarshoreError, match="missing in the undo"):
        check_promotable(pair.far.header, TurnIntent(b"t" * 16), reach(pair.far.core))
    new = rolled_back(pair)
    content, part = bytes(pair.far.disk.seen[1]), slice(LOST * REGION, (LOST + 1) * REGION)
    assert content[part] != before[part]
    assert content[: part.start] + content[part.stop :] == before[: part.start] + before[part.stop :]
    with pytest.raises(FarshoreError, match="cannot become the primary"):
        check_promotable(pair.far.header, TurnIntent(b"t" * 16), Undo.ALL)
    assert new.boards == {b"n" * 16: None}, "a peer that stands at the same position may differ there"


def test_a_roll_back_that_takes_such_an_undo_for_whole_is_caught() -> None:
    pair = lacking()
    with broken(undoing, "whole", lambda _: lambda copy: True):
        new = rolled_back(pair)
    assert None not in new.boards.values(), "nobody would compare what the undo lacks"


def test_what_is_asked_behind_frames_that_wait_for_a_save_waits_with_them() -> None:
    """A read for the primary's application, and how old this copy is (rule F3)."""
    pair = apart(0, 3)
    open_resync(pair, 1)
    pair.far.hold.add(a.SaveRegions)
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.write(9 * REGION)
    pair.until(lambda: pair.far.held(a.SaveRegions) > 0)
    session, asked = pair.far.core.session, []
    assert session is not None
    assert session.guard.waiting
    session.in_turn(lambda: asked.append(bytes(pair.far.disk.seen[1][9 * REGION : 9 * REGION + 4])))
    pair.turn(5)
    assert asked == []
    pair.far.let_all()
    pair.turn(30)
    assert asked == [bytes(pair.near.disk.seen[1][9 * REGION : 9 * REGION + 4])]
