"""What a copy says of a peer is never better than the truth (rules B3, C4, B5, section G)."""

from dataclasses import replace

from farshore.core import actions as a
from farshore.core import report
from farshore.core.lag import of_link
from farshore.core.moments import moment
from farshore.model.options import LinkState, Mode, ResyncKind
from tests.unit.core.pair import ASYNC, KIB, Pair, Wish
from tests.unit.core.queue_scenes import queued, write_on


def lagging() -> tuple[Pair, dict[int, float]]:
    """A link whose peer is some writes behind, and when each sequence was written."""
    pair = queued(replace(ASYNC, queue_memory=20000, queue_disk=64 * KIB))
    pair.line.rate = 1
    written: dict[int, float] = {}
    for number in range(10):
        written[pair.near.core.sequence + 1] = pair.now
        write_on(pair, 1, number)
        pair.turn(20)
    return pair, written


def test_a_peer_that_lagged_when_the_line_broke_is_usable_as_of_what_it_has() -> None:
    pair, written = lagging()
    pair.cut()
    pair.turn(1)
    entry = report.of_feeder(pair.near.core, pair.feeder)
    first = moment(written[pair.feeder.acked.applied + 1])
    assert first is not None
    assert entry["peer_usable"] is True
    assert entry["peer_usable_as_of"] <= first


def test_after_a_start_the_age_of_what_waits_is_unknown_and_its_size_is_told() -> None:
    pair, _ = lagging()
    pair.cut()
    pair.turn(1)
    pair.stop_near()
    pair.start_near("boot-1")
    pair.turn(1)
    lag = of_link(pair.near.core.timeline, pair.near.core.outbox, pair.feeder)
    assert lag is not None
    assert lag.seconds is None
    assert lag.writes == pair.near.core.sequence - pair.feeder.acked.applied
    assert lag.size >= lag.writes * 512
    assert report.of_feeder(pair.near.core, pair.feeder)["peer_usable_as_of"] is None


def test_b3_a_peer_that_may_hold_writes_in_part_is_not_called_usable() -> None:
    pair = Pair(Wish(links=(replace(ASYNC, autosync=False),)))
    pair.near.run(pair.near.core.resync(pair.link, ResyncKind.UPDATE, False))
    pair.replicating()
    pair.turn(50)
    pair.far.hold.add(a.SyncVolumes)
    for number in range(5):
        pair.write(number * 512)
        pair.turn(1)
    pair.far.hold.clear()
    pair.checked = False  # what the link still counts as followed is not what is asked here
    pair.restart_far("boot-9")
    pair.turn(30)
    pair.stop_near()
    pair.start_near("boot-1")
    pair.turn(100)
    entry = report.of_feeder(pair.near.core, pair.feeder)
    assert pair.far.core.standing.doubtful
    assert (entry["peer_usable"], entry["peer_usable_as_of"]) == (False, None)
    pair.near.run(pair.near.core.resync(pair.link, ResyncKind.UPDATE, False))
    pair.replicating()
    assert report.of_feeder(pair.near.core, pair.feeder)["peer_usable"] is True


def test_c4_a_link_that_becomes_sync_while_its_peer_lags_is_alone_until_the_peer_has_it_all() -> None:
    pair = queued()
    pair.line.rate = 60
    write_on(pair, 30)
    pair.turn(3)
    spec = replace(pair.feeder.spec, options=replace(pair.feeder.spec.options, mode=Mode.SYNC))
    pair.near.run(pair.near.core.change_link(spec))
    pair.turn(2)
    assert pair.feeder.acked.applied < pair.near.core.sequence
    since = pair.near.header.links[0].alone_since
    assert since is not None
    assert since.sequence <= pair.feeder.acked.durable
    pair.line.rate = None
    pair.until(lambda: pair.near.header.links[0].alone_since is None)
    assert pair.feeder.acked.durable == pair.near.core.sequence


def test_b5_a_pause_while_a_queue_is_drained_reports_how_far_it_had_come() -> None:
    pair = queued()
    pair.cut()
    write_on(pair, 40)
    pair.turn(5)
    pair.mend()
    pair.line.rate = 700
    pair.until(lambda: pair.feeder.live and pair.feeder.acked.durable > 6)
    assert pair.feeder.state is LinkState.QUEUING
    pair.near.run(pair.near.core.pause(pair.link, True, 30.0))
    pair.turn(3)
    (told,) = pair.near.noted("link-paused")
    sequence = told["sequence"]
    assert isinstance(sequence, int)
    assert 6 < sequence <= pair.near.core.sequence
    assert told["drained"] is False
    assert pair.feeder.record.stopped_at is not None
    assert pair.feeder.record.stopped_at.sequence == sequence


def test_what_a_peer_has_that_was_not_met_since_the_start_is_what_the_scoreboard_knows() -> None:
    pair, _ = lagging()
    pair.cut()
    pair.turn(1)
    pair.near.run(pair.near.core.pause(pair.link, False, 0.0))
    pair.stop_near()
    pair.mend()
    pair.start_near("boot-1")
    pair.turn(30)
    entry = report.of_feeder(pair.near.core, pair.feeder)
    assert entry["sequence"]["applied"] is None
    assert entry["peer_usable_as_of"] is None
