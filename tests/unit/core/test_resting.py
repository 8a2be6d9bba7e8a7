"""A link whose far copy follows another feeder, or is about to, logs, knocks nowhere and holds nothing (B8,
C4, D5); when it feeds again it is as the operator, or a fault, had left it (C3)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.model.options import LinkOptions, LinkState, Mode, OnOutage, Reason, ResyncKind
from tests.unit.core.pair import ASYNC, KIB, SYNC, Pair, Wish


def rest(pair: Pair, *, resting: bool = True, epoch: int = 1) -> None:
    first, *others = pair.near.links
    pair.near.links = (replace(first, resting=resting, epoch=epoch), *others)
    pair.near.run(pair.near.core.change_link(pair.near.links[0]))


def set_options(pair: Pair, options: LinkOptions) -> None:
    pair.near.links = (replace(pair.feeder.spec, options=options),)
    pair.near.run(pair.near.core.change_link(pair.near.links[0]))


def resyncs(pair: Pair) -> list[object]:
    """The kinds of those that began."""
    return [each["reason"] for each in pair.near.noted("link-state") if each["state"] == "resyncing"]


@pytest.mark.parametrize("outage", list(OnOutage))
def test_writes_flow_without_it_once_it_is_recorded_that_the_copy_is_alone(outage: OnOutage) -> None:
    pair = Pair(Wish(links=(replace(SYNC, on_outage=outage),)))
    pair.replicating()
    pair.line.stops = lambda unit: isinstance(unit, a.Issue)
    (token,) = pair.write(0)
    pair.turn(3)
    pair.near.hold.add(a.WriteHeader)
    rest(pair)
    pair.turn(3)
    assert not pair.answered(token)
    pair.near.let_all()
    pair.turn(3)
    assert pair.answered(token)
    assert pair.near.header.links[0].alone_since is not None
    assert pair.feeder.state is LinkState.LOGGING


def test_it_knocks_nowhere_and_nothing_waits_for_it_at_a_start() -> None:
    pair = Pair()
    pair.replicating()
    rest(pair)
    pair.turn(300)
    connects = len(pair.near.carried(a.Connect))
    pair.stop_near()
    pair.start_near("boot-2")
    pair.turn(100)
    assert len(pair.near.carried(a.Connect)) == connects
    (token,) = pair.write(0)
    pair.turn(3)
    assert pair.answered(token)
    assert "logs" not in str(report.of_primary(pair.near.core, "g")["why"])


def test_pointed_here_again_it_goes_on_with_what_it_has_marked() -> None:
    pair = Pair()
    pair.replicating()
    rest(pair)
    pair.write(0)
    pair.turn(20)
    rest(pair, resting=False)
    pair.replicating()
    assert pair.equal()
    pair.until(lambda: pair.near.header.links[0].alone_since is None)
    assert resyncs(pair)[-1] == ResyncKind.UPDATE.value


def test_what_it_may_do_is_not_what_it_was_told_before_the_header_was_durable() -> None:
    """The far node refuses within milliseconds, while the record of being alone is still under way."""
    pair = Pair(Wish(links=(SYNC,)))
    pair.replicating()
    pair.near.hold.add(a.WriteHeader)
    rest(pair)
    rest(pair, resting=False)
    pair.near.let_all()
    assert not pair.feeder.spec.resting
    pair.replicating()
    pair.until(lambda: pair.near.header.links[0].alone_since is None)


def test_options_set_while_it_goes_to_rest_are_kept_and_let_nothing_pass() -> None:
    pair = Pair(Wish(links=(SYNC,)))
    pair.replicating()
    pair.line.stops = lambda unit: isinstance(unit, a.Issue)
    (token,) = pair.write(0)
    pair.turn(3)
    pair.near.hold.add(a.WriteHeader)
    rest(pair)
    set_options(pair, replace(SYNC, rpo=7.0))
    pair.turn(20)
    assert not pair.answered(token)  # nothing durable says yet that it is alone (C4)
    pair.near.let_all()
    pair.turn(3)
    assert pair.answered(token)
    assert (pair.feeder.spec.resting, pair.feeder.spec.options.rpo) == (True, 7.0)


@pytest.mark.parametrize("epoch", [1, 3])
def test_what_the_operator_paused_is_paused_when_it_feeds_again(epoch: int) -> None:
    pair = Pair(Wish(links=(ASYNC,)))
    pair.replicating()
    pair.near.run(pair.near.core.pause(pair.link, False, 1.0))
    pair.write(0)
    rest(pair)
    pair.turn(20)
    assert pair.feeder.standing.reason is Reason.REROUTED
    pair.far.run(pair.far.core.point_at(pair.link, epoch))
    rest(pair, resting=False, epoch=epoch)
    pair.turn(100)
    assert (pair.feeder.state, pair.feeder.standing.reason) == (LinkState.LOGGING, Reason.OPERATOR)
    assert not pair.equal()
    pair.near.run(pair.near.core.resync(pair.link, ResyncKind.UPDATE, False))
    pair.replicating()
    assert pair.equal()


@pytest.mark.parametrize("epoch", [1, 3])
def test_c3_a_fault_here_keeps_the_better_copy_there_from_being_overwritten(epoch: int) -> None:
    pair = Pair(Wish(links=(ASYNC,)))
    pair.replicating()
    pair.write(0)
    pair.turn(20)
    pair.near.errors[a.SyncVolumes] = [5]
    pair.flush()
    pair.turn(20)
    pair.checked = False  # what the disk lost is what this is about
    pair.kill_near(lose_cache=True)
    pair.start_near("boot-1")
    pair.turn(100)
    better = {volume: bytes(data) for volume, data in pair.far.disk.seen.items()}
    assert not pair.equal()
    rest(pair)
    pair.turn(20)
    pair.far.run(pair.far.core.point_at(pair.link, epoch))
    rest(pair, resting=False, epoch=epoch)
    pair.turn(300)
    assert pair.far.disk.seen == better
    assert "better data" in str(report.of_primary(pair.near.core, "g")["why"])


def test_a_pause_that_drains_ends_when_its_link_goes_to_rest() -> None:
    pair = Pair(Wish(links=(ASYNC,)))
    pair.replicating()
    pair.line.stops = lambda unit: isinstance(unit, a.Issue)
    pair.write(0)
    pair.turn(3)
    pair.near.run(pair.near.core.pause(pair.link, True, 30.0))
    rest(pair)
    (told,) = pair.near.noted("link-paused")
    assert not told["drained"]
    assert pair.feeder.record.paused


@pytest.mark.parametrize("fed", [True, False])
def test_without_autosync_it_goes_on_only_if_it_fed_before(fed: bool) -> None:
    pair = Pair(Wish(links=(replace(ASYNC, autosync=False),)))
    pair.near.run(pair.near.core.resync(pair.link, ResyncKind.UPDATE, False))
    pair.replicating()
    if not fed:
        pair.cut()
        pair.turn(3)
        pair.mend()
    pair.write(8 * KIB)
    rest(pair)
    pair.turn(20)
    rest(pair, resting=False)
    pair.turn(100)
    assert pair.feeder.replicating is fed


def test_a_start_says_that_it_rests_and_a_later_word_that_it_feeds() -> None:
    pair = Pair(Wish(links=(LinkOptions(mode=Mode.ASYNC, queue_disk=64 * KIB),)))
    pair.replicating()
    rest(pair)
    pair.write(0)
    pair.kill_near()
    pair.start_near("boot-1")
    assert pair.feeder.standing.reason is Reason.REROUTED
    pair.turn(20)
    rest(pair, resting=False)
    pair.replicating()
    assert pair.equal()


def test_a_word_to_the_whole_group_is_none_to_a_link_that_rests() -> None:
    pair = Pair(Wish(links=(ASYNC, SYNC)))
    pair.replicating()
    rest(pair)
    core = pair.near.core
    pair.near.run(core.pause(None, False, 1.0))
    assert [each.record.paused for each in core.feeders.values()] == [False, True]
    pair.near.run(core.resync(None, ResyncKind.FULL, False))
    rest(pair, resting=False)
    pair.replicating()
    full = [each["link"] for each in pair.near.noted("link-state") if each["reason"] == "full"]
    assert full.count("l0") == full.count("l1") - 1  # the other one was copied once more
