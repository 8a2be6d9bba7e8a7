"""A secondary starts without a preserve store that cannot be opened; what that costs is said (E1, E2)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import replaying, report, resynced, stream, undoing
from farshore.core.turning import check_promotable
from farshore.core.undoing import reach
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.copy_config import UNPROTECTED, TurnIntent
from farshore.model.header import Header
from farshore.model.layers import EVERY_LAYER, Layer, LayerKind
from farshore.model.options import LinkOptions, LinkState, Reason, ResyncKind
from tests.unit.core.pair import REGION, SYNC, Pair
from tests.unit.core.scenes import running
from tests.unit.core.snapshot_scenes import BOTH, JOURNAL, keeps, settle, take, taken
from tests.unit.core.turners import Turners
from tests.unit.core.undo_scenes import apart, broken, of, open_resync


def restart(pair: Pair, why: str, boot: str = "boot-1") -> None:
    """The next process can, or cannot, open the store."""
    pair.far.store.unusable = why
    pair.restart_far(boot)


def refused(pair: Pair) -> None:
    """The feeder waits for an operator, and nothing is overwritten."""
    before = bytes(pair.far.disk.seen[1])
    pair.until(lambda: pair.feeder.standing.reason is Reason.STORE_FULL)
    pair.turn(50)
    assert (pair.feeder.state, pair.feeder.standing.reason) == (LinkState.LOGGING, Reason.STORE_FULL)
    assert bytes(pair.far.disk.seen[1]) == before


def resync(pair: Pair, unprotected: bool) -> None:
    pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False, unprotected))


@BOTH
def test_a_copy_follows_without_it_and_its_layers_are_broken(options: LinkOptions) -> None:
    pair = running(options)
    rescue = taken(take(pair, "mine", LayerKind.RESCUE))
    snapshot = taken(take(pair))
    pair.write(0)
    settle(pair)
    restart(pair, "a damaged list")
    pair.replicating()
    assert pair.far.noted("preserve-unusable")
    assert pair.far.header.broken_layers == (EVERY_LAYER,)
    pair.write(0, 3 * REGION)
    pair.turn(20)
    assert pair.equal()
    assert keeps(pair) == [rescue.id, snapshot.id]
    restart(pair, "")
    pair.replicating()
    assert keeps(pair) == [rescue.id], "what is broken goes, but for what an operator has to know of"
    pair.write(9 * REGION)
    pair.turn(20)
    (told,) = take(pair, "two")
    assert isinstance(told, Layer)
    assert [pair.far.header.broken(each) for each in keeps(pair)] == [True, False]


def test_e2_nothing_is_overwritten_before_that_is_durable() -> None:
    pair = running(JOURNAL)
    taken(take(pair, "mine", LayerKind.RESCUE))
    settle(pair)
    _with_frames_to_replay(pair)
    before = bytes(pair.far.disk.seen[1])
    _begin_to_start(pair)
    assert bytes(pair.far.disk.seen[1]) == before
    pair.far.let_all()
    assert bytes(pair.far.disk.seen[1]) != before
    pair.mend()
    pair.replicating()
    assert pair.equal()


def test_a_replay_that_overwrites_before_it_says_what_is_broken_is_caught() -> None:
    pair = running(JOURNAL)
    taken(take(pair, "mine", LayerKind.RESCUE))
    settle(pair)
    _with_frames_to_replay(pair)
    with broken(replaying, "overwriting", lambda _: _says_nothing):
        _begin_to_start(pair)
    with pytest.raises(AssertionError, match="the rescue shows something else"):
        pair.far.store.check(pair.far.header.broken_layers)


@BOTH
def test_so_is_a_session_that_does(options: LinkOptions) -> None:
    pair = running(options)
    pair.write(7 * REGION)
    settle(pair)
    taken(take(pair, "mine", LayerKind.RESCUE))
    settle(pair)
    with (
        broken(stream, "overwriting", lambda _: _says_nothing),
        pytest.raises(AssertionError, match="the rescue shows something else"),
    ):
        restart(pair, "a damaged list")
        pair.replicating()
        pair.write(0, 3 * REGION)
        pair.turn(20)


def test_so_is_a_resync_that_does() -> None:
    pair = apart()
    taken(take(pair, "mine", LayerKind.RESCUE))
    with (
        broken(resynced, "overwriting", lambda _: _says_nothing),
        broken(undoing, "marked", lambda _: lambda header, image: header),
        pytest.raises(AssertionError, match="the rescue shows something else"),
    ):
        restart(pair, "a damaged list")
        resync(pair, unprotected=True)
        pair.replicating()


def _says_nothing(copy: object, header: Header) -> Header:
    return header


@BOTH
def test_e2_a_start_that_overwrites_nothing_breaks_nothing(options: LinkOptions) -> None:
    pair = running(options)
    rescue = taken(take(pair, "mine", LayerKind.RESCUE))
    snapshot = taken(take(pair))
    settle(pair)
    pair.stop_near()
    for why in ("EMFILE", "EMFILE once more"):
        restart(pair, why)
        pair.turn(50)
        assert pair.far.core.started
        assert pair.far.header.broken_layers == ()
    restart(pair, "")
    pair.start_near("boot-1")
    pair.replicating()
    assert keeps(pair) == [rescue.id, snapshot.id]
    pair.write(0)
    pair.turn(20)
    assert pair.far.header.broken_layers == ()


def test_e2_a_resync_that_waits_for_an_operator_has_broken_nothing() -> None:
    pair = apart()
    rescue = taken(take(pair, "mine", LayerKind.RESCUE))
    restart(pair, "EACCES")
    refused(pair)
    assert pair.far.header.broken_layers == ()
    restart(pair, "")
    resync(pair, unprotected=False)
    pair.replicating()
    assert keeps(pair) == [rescue.id]
    assert not pair.far.header.broken(rescue.id)


def _with_frames_to_replay(pair: Pair) -> None:
    """They are in the journal, and not in the volumes."""
    pair.far.hold.add(a.SaveRegions)
    pair.write(0, 3 * REGION)
    pair.turn(20)
    pair.far.hold.clear()


def _begin_to_start(pair: Pair) -> None:
    """The next process has no store, and its first header does not become durable yet."""
    far = pair.far
    pair.cut(silent=True)
    far.forget()
    far.store.unusable = "a damaged list"
    far.start("boot-1")
    far.core.clock(*pair.clock("far"))
    far.hold.add(a.WriteHeader)
    far.run(far.core.start())


def test_e1_a_resync_without_an_undo_is_for_an_operator_to_accept() -> None:
    pair = apart()
    restart(pair, "a damaged list")
    refused(pair)
    assert "--unprotected" in pair.feeder.next_step
    assert "cannot be used" in pair.feeder.why
    assert "a damaged list" in pair.feeder.why
    resync(pair, unprotected=True)
    pair.until(lambda: bool(pair.far.noted("resync-unprotected")))
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    pair.turn(5)
    assert of(pair)["peer_usable"] is not True
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


def opened() -> Pair:
    """A resync stands still; the next process cannot open the store."""
    pair = apart()
    open_resync(pair, 3)
    restart(pair, "a damaged list")
    pair.line.stops = lambda _: False
    return pair


def test_e2_an_undo_that_cannot_be_reached_stays_until_somebody_gives_it_up() -> None:
    pair = opened()
    undo = pair.far.header.undo
    refused(pair)
    assert of(pair)["peer_usable"] is False
    assert (pair.far.header.undo, pair.far.header.broken_layers) == (undo, ())
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    restart(pair, "")
    resync(pair, unprotected=False)
    pair.until(lambda: pair.is_in(LinkState.RESYNCING))
    pair.turn(30)
    assert (pair.far.header.undo, of(pair)["peer_usable"]) == (undo, True)
    before = pair.far.store.images[undo][1]
    pair.restart_far("boot-1", roll_back=True)
    assert bytes(pair.far.disk.seen[1]) == before
    pair.line.stops = lambda _: False
    pair.replicating()
    assert pair.equal()


def test_e2_it_is_given_up_durably_before_anything_more_is_overwritten() -> None:
    pair = opened()
    refused(pair)
    before = bytes(pair.far.disk.seen[1])
    pair.far.hold.add(a.WriteHeader)
    resync(pair, unprotected=True)
    pair.until(lambda: pair.far.held(a.WriteHeader) > 0 and bool(pair.far.noted("resync-unprotected")))
    pair.turn(20)
    assert bytes(pair.far.disk.seen[1]) == before
    pair.far.let(a.WriteHeader)
    assert (pair.far.header.undo, pair.far.header.broken_layers) == (b"", (EVERY_LAYER,))
    pair.far.let_all()
    pair.replicating()
    assert pair.equal()
    restart(pair, "")
    pair.replicating()
    assert pair.far.store.layers == []


def test_d7_a_rescue_that_was_promised_nobody_does_without() -> None:
    turners = Turners(SYNC)
    turners.pair.replicating()
    turners.pair.turn(20)
    turners.pair.cut()
    turners.pair.write(REGION, 7 * REGION)
    turners.pair.turn(5)
    turners.pair.kill_near()
    turners.promote()
    turners.pair.write(2 * REGION)
    turners.pair.turn(5)
    turners.bring_back()
    pair = turners.pair
    pair.until(lambda: pair.feeder.state is LinkState.DIVERGED)
    restart(pair, "a damaged list", pair.far.boot)
    pair.until(lambda: pair.feeder.state is LinkState.DIVERGED)
    turners.consent("mine")
    for unprotected in (False, True):
        resync(pair, unprotected)
        refused(pair)
    restart(pair, "", pair.far.boot)
    resync(pair, unprotected=False)
    pair.replicating()
    assert pair.equal()
    assert [each.name for each in pair.far.store.layers] == ["mine"]


def test_e3_a_copy_that_cannot_reach_its_undo_is_promoted_by_a_plan_only() -> None:
    pair = opened()
    refused(pair)
    pair.kill_near(lose_cache=True)
    shown = report.of_secondary(pair.far.core, "a")
    assert (shown["promotable"], shown["promotable_risk"], shown["usable_position"]) == (
        False,
        UNPROTECTED,
        None,
    )
    turn = TurnIntent(b"t" * 16)
    with pytest.raises(FarshoreError, match="no undo of that can be read"):
        check_promotable(pair.far.header, turn, reach(pair.far.core))
    check_promotable(pair.far.header, replace(turn, accepts=(UNPROTECTED,)), reach(pair.far.core))
    pair.checked = False
    pair.restart_far("boot-1", roll_back=True)
    assert (pair.far.header.undo, bool(pair.far.noted("undo-lost"))) == (b"", True)
    assert pair.far.header.resync is not None
