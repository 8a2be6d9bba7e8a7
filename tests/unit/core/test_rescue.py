"""Reads that the primary's disk refuses are answered by a peer that has the same, and by no other."""

import errno
from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.core.rescue import PATIENCE
from farshore.model import messages as m
from farshore.model.options import Apply, LinkOptions, Mode
from tests.unit.core.pair import ASYNC, REGION, SYNC, Pair
from tests.unit.core.scenes import CONTENT, running

EIO = errno.EIO
JOURNAL = replace(SYNC, apply=Apply.JOURNAL)
SPAN = (1, 0, REGION)


def ask(pair: Pair, *spans: tuple[int, int, int], token: object = "r") -> None:
    """The disk refuses these ranges of a read."""
    pair.near.run(pair.near.core.rescue.read_failed(token, spans or [SPAN], EIO))


@pytest.mark.parametrize("options", [SYNC, ASYNC, JOURNAL], ids=["direct", "async", "journal"])
def test_c3_it_shows_every_write_that_was_acknowledged_before(options: LinkOptions) -> None:
    pair = running(options)
    for _ in range(20):
        (token,) = pair.write(512)
        pair.turn()
    pair.until(lambda: pair.answered(token))
    ask(pair)
    pair.until(lambda: "r" in pair.near.reads, 100)
    assert pair.near.reads["r"] == bytes(pair.near.disk.seen[1][:REGION])


def test_c3_frames_that_are_on_their_way_go_first() -> None:
    pair = running(ASYNC)
    pair.line.room = 0
    pair.write(0, fill=b"n")
    ask(pair)
    pair.turn(5)
    assert "r" not in pair.near.reads
    pair.line.room = None
    pair.turn(3)
    assert pair.near.reads["r"] == b"n" * 512 + CONTENT[512:REGION]


def test_c3_with_a_journal_nothing_is_read_before_the_volumes_show_it() -> None:
    pair = running(JOURNAL)
    pair.far.hold.add(a.ApplyFrames)
    pair.write(0, fill=b"n")
    pair.turn(3)
    ask(pair)
    pair.turn(20)
    assert not pair.far.carried(a.ReadRange)
    pair.far.let_all()
    pair.turn(5)
    assert pair.near.reads["r"] == b"n" * 512 + CONTENT[512:REGION]


def test_b4_what_a_question_made_durable_is_acknowledged() -> None:
    pair = running(JOURNAL)
    pair.write(0)
    ask(pair)
    pair.until(lambda: "r" in pair.near.reads, 100)
    pair.until(lambda: pair.feeder.acked.durable == pair.near.core.sequence, 100)


def test_c3_without_a_peer_that_replicates_the_request_gets_its_error() -> None:
    pair = running()
    pair.cut()
    ask(pair)
    assert pair.near.reads["r"] == EIO


def test_c3_a_peer_that_is_being_resynced_is_not_asked() -> None:
    pair = running()
    pair.cut()
    pair.write(0)
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncDone)
    pair.mend()
    pair.turn(20)
    assert not pair.feeder.replicating
    ask(pair)
    assert pair.near.reads["r"] == EIO


def test_c3_the_next_peer_is_asked_where_one_cannot_read_it_either() -> None:
    pair = running(SYNC, ASYNC)
    first, second = pair.fars.values()
    pair.write(0, fill=b"n")
    pair.turn(5)
    first.errors[a.ReadRange] = [EIO]
    ask(pair)
    pair.turn(5)
    assert first.noted("read-error")
    assert second.carried(a.ReadRange)
    assert pair.near.reads["r"] == b"n" * 512 + CONTENT[512:REGION]


@pytest.mark.parametrize("silent", [False, True], ids=["leaves", "is silent"])
def test_c3_a_peer_that_does_not_answer_gives_way(silent: bool) -> None:
    pair = running()
    if silent:
        pair.line.stops = lambda unit: isinstance(unit, m.ReadReply)
    else:
        pair.line.room = 0
    ask(pair)
    pair.turn(2)
    assert "r" not in pair.near.reads
    if silent:
        pair.turn(int(PATIENCE * 10) + 1, 0.1)
    else:
        pair.cut()
        pair.turn(3)
    assert pair.near.reads["r"] == EIO


def test_b7_an_answer_of_another_session_or_to_another_question_changes_nothing() -> None:
    pair = running()
    pair.line.stops = lambda unit: isinstance(unit, m.ReadReply)
    ask(pair)
    pair.turn(3)
    nonce = pair.feeder.session.nonce
    for reply in (m.ReadReply(nonce + 1, 1, 0, bytes(REGION)), m.ReadReply(nonce, 7, 0, bytes(REGION))):
        pair.near.run(pair.near.core.received(pair.link, reply))
        assert "r" not in pair.near.reads
    pair.near.run(pair.near.core.received(pair.link, m.ReadReply(nonce, 1, 0, bytes(REGION - 1))))
    assert pair.near.reads["r"] == EIO, "an answer that is too short is none"


def test_a_long_read_is_asked_in_pieces() -> None:
    pair = running()
    pair.write(0, 60 * 1024, fill=b"n")
    pair.turn(5)
    ask(pair, (1, 0, 8192), (1, 56 * 1024, 8192))
    pair.turn(5)
    seen = bytes(pair.near.disk.seen[1])
    assert pair.near.reads["r"] == seen[:8192] + seen[56 * 1024 :]


@pytest.mark.parametrize("span", [(1, 0, 0), (1, 60 * 1024, 8192), (9, 0, 512)])
def test_a_question_outside_of_the_volumes_ends_the_session(span: tuple[int, int, int]) -> None:
    pair = running()
    pair.near.run([a.Send(pair.link, m.ReadQuery(pair.feeder.session.nonce, 1, *span))])
    pair.turn(2)
    assert not pair.far.carried(a.ReadRange)
    assert not pair.feeder.replicating


def test_c3_what_could_not_be_read_is_remembered_and_shown() -> None:
    pair = running()
    ask(pair, (1, REGION, 2 * REGION))
    shown = report.of_primary(pair.near.core, "g")
    assert shown["health"] == "failed"
    assert shown["fault"] == "read error EIO: 2 regions, the first in volume 1 at byte 4096"
    assert (shown["writes"], shown["unreadable_bytes"]) == ("flowing", 2 * REGION)
    (token,) = pair.write(0)
    pair.turn(5)
    assert pair.answered(token)
    assert pair.feeder.replicating


# -- repair -------------------------------------------------------------------------------------------


def broken(pair: Pair, *errors: int) -> None:
    """Region 0 could not be read, and further reads of it end with these."""
    ask(pair)
    pair.turn(3)
    pair.near.errors[a.ReadRegion] = list(errors)
    pair.near.run(pair.near.core.faulting.repair())


def test_c3_a_repair_writes_what_the_peer_has_and_syncs_it() -> None:
    pair = running()
    pair.write(0, fill=b"n")
    pair.turn(3)
    pair.near.disk.seen[1][:REGION] = b"?" * REGION
    pair.checked = False
    broken(pair, EIO)
    pair.turn(10)
    assert pair.near.noted("mended") == [{"mended": 1, "left": 0}]
    assert pair.near.disk.safe[1][:REGION] == b"n" * 512 + CONTENT[512:REGION]
    assert pair.equal()
    assert report.of_primary(pair.near.core, "g")["fault"] is None


def test_what_can_be_read_again_is_only_forgotten() -> None:
    pair = running()
    broken(pair, 0)
    pair.turn(10)
    assert pair.near.noted("mended") == [{"mended": 1, "left": 0}]
    assert not pair.near.carried(a.MendRegion)


def test_c3_writes_to_the_region_wait_for_its_repair_and_are_never_undone_by_it() -> None:
    pair = running()
    pair.line.stops = lambda unit: isinstance(unit, m.ReadReply)
    pair.near.hold.add(a.Issue)
    pair.write(0, fill=b"1")  # not in the local volume yet
    pair.near.core.rescue.remember(SPAN, EIO)
    pair.near.errors[a.ReadRegion] = [EIO]
    pair.near.run(pair.near.core.faulting.repair())
    pair.turn(3)
    assert not pair.near.core.rescue._asked, "a write to it is under way"
    pair.near.let_all()
    pair.turn(3)
    (held,) = pair.write(512, fill=b"2")
    pair.write(REGION, fill=b"3")
    pair.turn(5)
    assert pair.near.disk.seen[1][REGION : REGION + 512] == b"3" * 512
    assert pair.near.disk.seen[1][512:1024] == CONTENT[512:1024]
    pair.line.stops = lambda _: False
    pair.turn(10)
    assert pair.answered(held)
    assert pair.near.disk.seen[1][: 2 * 512] == b"1" * 512 + b"2" * 512
    assert pair.equal()


def test_a_region_that_no_peer_can_give_or_the_disk_refuses_stays_bad() -> None:
    pair = running()
    pair.cut()
    broken(pair, EIO)
    pair.turn(5)
    assert pair.near.noted("mended") == [{"mended": 0, "left": 1}]
    pair.mend()
    pair.replicating()
    pair.near.errors[a.ReadRegion], pair.near.errors[a.MendRegion] = [EIO], [EIO]
    pair.near.run(pair.near.core.faulting.repair())
    pair.turn(10)
    assert pair.near.noted("mended")[-1] == {"mended": 0, "left": 1}
    assert not pair.near.core.path.barriers
    (token,) = pair.write(0)
    pair.turn(5)
    assert pair.answered(token)


def test_c3_a_sync_that_fails_behind_a_repair_is_a_fault() -> None:
    pair = running()
    pair.near.errors[a.SyncVolumes] = [EIO]
    broken(pair, EIO)
    pair.turn(10)
    assert pair.near.header.fault
    assert pair.near.core.rescue.bad


def test_a_region_that_a_resync_cannot_read_is_remembered() -> None:
    pair = running()
    pair.cut()
    pair.write(3 * REGION)
    pair.near.errors[a.ReadRegion] = [EIO]
    pair.mend()
    pair.until(lambda: (1, 3) in pair.near.core.rescue.bad)
    pair.replicating()
    assert pair.near.noted("read-error") == [
        {"volume": 1, "offset": 3 * REGION, "length": REGION, "why": "EIO"}
    ]


def test_the_modes_matter_only_for_who_is_asked_first() -> None:
    pair = running(ASYNC, SYNC)
    sync = next(each for each in pair.near.core.feeders.values() if each.spec.options.mode is Mode.SYNC)
    ask(pair)
    pair.turn(3)
    assert pair.fars[sync.id].carried(a.ReadRange)


def test_e7_a_peer_that_is_known_to_differ_there_is_not_asked() -> None:
    pair = running(SYNC, SYNC)
    first, second = (pair.near.core.feeders[link] for link in pair.lines)
    pair.fars[first.id].disk.seen[1][0] ^= 0xFF
    first.board.found.set(1, 0, 1, 1)
    ask(pair)
    pair.until(lambda: "r" in pair.near.reads, 100)
    assert pair.near.reads["r"] == bytes(pair.near.disk.seen[1][:REGION])
    second.board.found.set(1, 0, 1, 1)
    ask(pair, token="s")
    ask(pair, (1, REGION, REGION), token="t")
    pair.until(lambda: {"s", "t"} <= pair.near.reads.keys(), 100)
    assert pair.near.reads["s"] == EIO
    assert pair.near.reads["t"] == bytes(pair.near.disk.seen[1][REGION : 2 * REGION])
