"""A volume grows: secondaries first, durably before anything behind it, and never the other way."""

import errno
from collections.abc import Callable

import pytest

from farshore.core import actions as a
from farshore.core import greeting, growing
from farshore.core.resize_actions import MakeRoom
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.header import VolumeRoom
from farshore.model.options import Apply, LinkOptions, LinkState
from farshore.model.volumes import RESIZE
from tests.unit.core.far import Far
from tests.unit.core.pair import ASYNC, KIB, REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT, running
from tests.unit.core.shells import Near
from tests.unit.core.undo_scenes import apart, open_resync

OLD, NEW = 64 * KIB, 90 * KIB
JOURNAL = LinkOptions(apply=Apply.JOURNAL)


def room(shell: Far | Near, size: int = NEW) -> None:
    rooms = shell.core.room if isinstance(shell, Far) else shell.core.resizing.room
    shell.run(rooms.make(1, size))


def resize(pair: Pair, size: int = NEW) -> None:
    pair.near.run(pair.near.core.resizing.resize(1, size))


def sizes(pair: Pair) -> tuple[int, int]:
    """At the primary and its first peer, now."""
    return pair.near.core.geometry.sizes[1], pair.far.core.geometry.sizes[1]


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(FarshoreError) as caught:
        ask()
    return caught.value.code.name


# -- in the stream --------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [SYNC, ASYNC, JOURNAL])
def test_a_volume_grows_without_a_break_in_the_stream(link: LinkOptions) -> None:
    pair = running(link)
    room(pair.far)
    room(pair.near)
    assert sizes(pair) == (OLD, OLD)
    states = len(pair.near.noted("link-state"))
    token = pair.write(512)
    resize(pair)
    tokens = [*token, *pair.write(NEW - 512, OLD - 512, OLD)]
    pair.turn(60)
    assert pair.answered(*tokens)
    assert sizes(pair) == (NEW, NEW)
    assert pair.equal()
    assert bytes(pair.far.disk.seen[1][NEW - 512 :]) == tokens[1].to_bytes(4, "big") * 128
    assert pair.far.header.rooms == pair.near.header.rooms == (VolumeRoom(1, NEW, NEW),)
    assert len(pair.near.noted("link-state")) == states, "the link has not been interrupted"
    assert [n["size"] for n in pair.near.noted("resized")] == [NEW]


def test_what_a_volume_gains_is_dirty_for_nobody() -> None:
    pair = running(SYNC, ASYNC)
    for far in pair.fars.values():
        room(far)
    room(pair.near)
    other = list(pair.lines)[1]
    pair.cut(other)
    pair.turn(2)
    resize(pair)
    pair.turn(20)
    for link in pair.lines:
        assert pair.marked(link) == set()
    pair.write(NEW - 512)
    pair.turn(20)
    assert pair.marked(other) == {(1, (NEW - 1) // REGION)}
    pair.mend(other)
    pair.replicating()
    assert pair.equal()


def held() -> Pair:
    """A record has come, and the follower's header is not written yet."""
    pair = running(SYNC)
    room(pair.far)
    room(pair.near)
    pair.far.hold.add(a.WriteHeader)
    resize(pair)
    pair.write(NEW - 512, OLD)
    pair.turn(10)
    return pair


def holds_nothing_behind_its_size(pair: Pair) -> None:
    size = max([OLD, *[each.size for each in pair.far.header.rooms]])
    assert not any(pair.far.disk.seen[1][size:])


def test_nothing_behind_a_new_size_is_taken_before_that_is_durable() -> None:
    pair = held()
    holds_nothing_behind_its_size(pair)
    assert pair.far.core.applied < pair.near.core.sequence
    pair.restart_far("boot-1")  # it dies just then, and knows nothing of it
    assert pair.far.core.geometry.sizes[1] == OLD
    pair.replicating()
    assert pair.equal()
    assert sizes(pair) == (NEW, NEW)


def test_a_record_that_is_taken_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "unsettled", lambda copy, head, frame: False)
    pair = held()
    with pytest.raises(AssertionError):
        holds_nothing_behind_its_size(pair)


def test_a_record_that_comes_again_changes_nothing() -> None:
    pair = running(JOURNAL)
    for size in (OLD + 4 * KIB, NEW):
        room(pair.far, size)
        room(pair.near, size)
        resize(pair, size)
        pair.turn(5)
    pair.restart_far("boot-2")  # the journal has both records
    pair.replicating()
    assert sizes(pair) == (NEW, NEW)
    assert pair.equal()


# -- by a greeting --------------------------------------------------------------------------------


def logging() -> Pair:
    """Grown, and written to, while the line was cut."""
    pair = running(SYNC)
    room(pair.far)
    room(pair.near)
    pair.cut()
    pair.turn(5)
    resize(pair)
    pair.write(NEW - 512)
    pair.turn(5)
    assert sizes(pair) == (NEW, OLD)
    return pair


def test_a_copy_that_has_missed_the_record_learns_it_from_its_feeders_greeting() -> None:
    pair = logging()
    pair.far.hold.add(a.WriteHeader)
    pair.mend()
    pair.turn(50)
    holds_nothing_behind_its_size(pair)
    pair.far.let_all()
    pair.replicating()
    assert sizes(pair) == (NEW, NEW)
    assert pair.equal()


def test_a_greeting_that_is_answered_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = greeting.greet
    monkeypatch.setattr(greeting, "greet", lambda copy, session, settled: real(copy, session, True))
    pair = logging()
    pair.far.hold.add(a.WriteHeader)
    pair.mend()
    pair.turn(50)
    welcomed = [unit for unit in pair.line.heard if type(unit).__name__ == "Welcome"]
    assert len(welcomed) > 1, "it was answered while the header did not know of the size"


def test_a_greeting_waits_for_the_header() -> None:
    pair = logging()
    pair.far.hold.add(a.WriteHeader)
    pair.mend()
    pair.turn(50)
    assert len([unit for unit in pair.line.heard if type(unit).__name__ == "Welcome"]) == 1


def test_a_peer_that_was_greeted_with_the_old_size_is_met_anew() -> None:
    pair = running(SYNC)
    room(pair.far)
    room(pair.near)
    pair.cut()
    pair.line.stops = lambda unit: type(unit).__name__ == "Welcome"
    pair.mend()
    pair.turn(200)
    pair.until(lambda: pair.feeder.session.greeting)
    resize(pair)
    assert not pair.feeder.session.greeting
    pair.line.stops = lambda _: False
    pair.replicating()
    assert sizes(pair) == (NEW, NEW)


# -- without room ---------------------------------------------------------------------------------


def test_a_copy_without_room_takes_nothing_until_it_has_some() -> None:
    pair = running(ASYNC)
    room(pair.near)
    resize(pair)
    pair.write(NEW - 512)
    pair.turn(300)
    assert pair.feeder.state is LinkState.LOGGING
    assert "no room for" in pair.feeder.why
    assert sizes(pair) == (NEW, OLD)
    room(pair.far)
    pair.turn(100)
    pair.near.run(pair.near.core.peer_back(pair.link))
    pair.replicating()
    assert pair.equal()


def test_a_copy_that_is_larger_than_its_feeder_is_fed_once_that_has_grown() -> None:
    """As after a failover, where the record had not reached the promoted copy."""
    pair = running(SYNC)
    pair.cut()
    pair.far.header = growing.with_room(pair.far.header, VolumeRoom(1, NEW, NEW))
    pair.far.disk.make_room(1, OLD, NEW)
    pair.restart_far("boot-1")
    pair.turn(200)
    assert pair.feeder.state is LinkState.LOGGING
    assert "no volume becomes smaller" in pair.feeder.why
    room(pair.near)
    resize(pair)
    pair.near.run(pair.near.core.peer_back(pair.link))
    pair.replicating()
    assert sizes(pair) == (NEW, NEW)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_room_that_cannot_be_made_changes_nothing(code: int) -> None:
    pair = running(SYNC)
    pair.far.errors[MakeRoom] = [code]
    room(pair.far)
    assert [n["errno"] for n in pair.far.noted("room-failed")] == [code]
    assert growing.room_for(pair.far.header, 1, OLD) == OLD
    room(pair.near)
    assert sizes(pair) == (OLD, OLD)
    assert pair.feeder.replicating
    room(pair.far)  # the same again, once there is room
    resize(pair)
    pair.turn(20)
    assert sizes(pair) == (NEW, NEW)


def test_room_that_is_there_is_not_made_again() -> None:
    pair = running(SYNC)
    room(pair.far)
    room(pair.far)
    assert len(pair.far.carried(MakeRoom)) == 1
    assert len(pair.far.noted("room-made")) == 2


def test_a_process_that_dies_while_it_makes_room_finds_its_volume_as_it_was() -> None:
    pair = running(SYNC)
    pair.far.hold.add(MakeRoom)
    room(pair.far)
    assert pair.far.header.rooms == (VolumeRoom(1, OLD, OLD),), (
        "a longer file is no surprise to its next start"
    )
    pair.far.disk.seen[1].extend(b"\xee" * 512)
    pair.restart_far("boot-1")
    pair.replicating()
    room(pair.far)
    assert bytes(pair.far.disk.seen[1][OLD:]) == bytes(NEW - OLD)


# -- refusals -------------------------------------------------------------------------------------


def test_no_volume_becomes_smaller_and_none_grows_without_room() -> None:
    pair = running(SYNC)
    resizing = pair.near.core.resizing
    assert refused(lambda: resizing.resize(1, OLD - 512)) == "size-mismatch"
    assert refused(lambda: resizing.room.make(1, OLD - 512)) == "size-mismatch"
    assert refused(lambda: resizing.resize(7, NEW)) == "not-found"
    assert refused(lambda: pair.far.core.room.make(7, NEW)) == "not-found"
    assert refused(lambda: resizing.resize(1, NEW)) == "wrong-state"
    pair.far.hold.add(MakeRoom)
    room(pair.far)
    assert refused(lambda: pair.far.core.room.make(1, NEW + 512)) == "wrong-state"
    resize(pair, OLD)
    assert [n["size"] for n in pair.near.noted("resized")] == [OLD]
    assert sizes(pair) == (OLD, OLD)


def test_no_volume_grows_while_writes_do_not_flow() -> None:
    pair = running(SYNC)
    room(pair.far)
    room(pair.near)
    pair.near.run(pair.near.core.drain(1.0))
    assert refused(lambda: pair.near.core.resizing.resize(1, NEW)) == "wrong-state"
    pair.near.run(pair.near.core.resume())
    resize(pair)
    pair.turn(10)
    assert sizes(pair) == (NEW, NEW)


# -- the primary dies -----------------------------------------------------------------------------


def test_a_primary_that_dies_before_the_record_has_grown_all_the_same() -> None:
    pair = running(SYNC)
    room(pair.far)
    room(pair.near)
    pair.near.run(pair.near.core.drain(1.0))
    pair.near.run(pair.near.core.resume())
    pair.near.hold.add(a.WriteHeader)
    resize(pair)
    assert sizes(pair) == (OLD, OLD), "nobody can write there before the header knows"
    pair.near.core.path.held = True  # nothing gets a sequence just when the header is written
    pair.near.let_all()
    assert not [each for each in pair.near.carried(a.Issue) if each.operations[0][1] == RESIZE]
    pair.kill_near()
    pair.start_near("boot-1")
    pair.replicating()
    assert sizes(pair) == (NEW, NEW)
    pair.write(NEW - 512)
    pair.turn(20)
    assert pair.equal()


def test_a_record_that_has_to_wait_is_issued_before_any_write_behind_it() -> None:
    pair = running(SYNC)
    room(pair.far)
    room(pair.near)
    pair.near.hold.add(a.WriteHeader)
    resize(pair)
    pair.near.core.path.held = True
    pair.near.let_all()
    pair.turn(3)
    assert sizes(pair) == (OLD, OLD)
    pair.near.core.path.held = False
    pair.turn(10)
    assert sizes(pair) == (NEW, NEW)


# -- and the undo of a resync ---------------------------------------------------------------------


def test_e3_a_copy_that_goes_back_to_before_it_grew_holds_zeroes_in_what_it_has_gained() -> None:
    pair = apart(wish=Wish(links=(SYNC,), content=CONTENT))
    before = bytes(pair.far.disk.seen[1])
    open_resync(pair, 4)
    pair.line.stops = lambda unit: isinstance(unit, m.ResyncEnd)
    room(pair.far)
    room(pair.near)
    resize(pair)
    pair.write(NEW - 512, OLD - 512)
    pair.turn(10)
    assert any(pair.far.disk.seen[1][OLD:])
    pair.kill_near()
    pair.restart_far("boot-1", roll_back=True)
    assert bytes(pair.far.disk.seen[1]) == before + bytes(NEW - OLD)
    assert pair.far.core.consistent
    pair.line.stops = lambda _: False
    pair.start_near("boot-1")
    pair.replicating()
    assert pair.equal()
