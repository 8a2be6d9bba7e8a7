"""How a secondary begins: from what is durable to a position that it may name (rules B2, B3, C3, D2).

Without a journal that is the last certain position, and, after a loss of power, a doubt about what lies
beyond. With one the volumes first get what it holds behind the mark; then they are a prefix, whatever has
happened, unless entries that had been durable are missing from the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from farshore.core import turning, undoing
from farshore.core.durability import reaching
from farshore.core.journaling import FULL
from farshore.core.replaying import Replay
from farshore.core.undoing import FOREVER
from farshore.model.header import Header
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary


def start(copy: Secondary) -> None:
    """The first input of a secondary. It ends, some actions later, with `has_started`."""
    if copy.preserve.unusable:
        copy.outbox.note("preserve-unusable", why=copy.preserve.unusable)
    setup = copy.setup
    header, elsewhere = _adopted(copy, setup.header)
    # What cannot be reached now may be again; but a copy that turns has gone without it, as a plan accepts.
    awaited = copy.preserve.unusable and not setup.roll_back
    if header.undo and not awaited and copy.preserve.layer(header.undo) is None:
        copy.outbox.note("undo-lost", why="the preserve store does not have it")
        header = replace(header, undo=b"")
    copy.keeper.header = header
    if setup.roll_back and header.resync is not None and header.undo:
        undoing.roll_back(copy)
        return
    history, doubtful = header.history, header.doubtful_until
    if header.journaling and header.resync is None and history.head is not None:
        _replay(copy, history.head)
        return
    if header.resync is None:
        # After a failed fsync what was written since is not believed, whatever the page cache says (C3).
        certain = setup.durable if header.fault else setup.applied or setup.durable
        history = reaching(history, certain)
        same_boot = header.boot == setup.boot and certain is setup.applied
        if not header.clean and not same_boot and history.head is not None:
            doubtful = max(doubtful, history.head.sequence + 1, header.highest_seen)
    head = history.head
    if head is not None:
        durable = setup.durable
        known = durable is not None and durable.generation == head.generation
        copy.standing.move_to(head, durable.sequence if durable is not None and known else 0)
    # Frames are written, and then counted: the last one of a process that died may be there in part.
    loose = header.loose_until
    if header.resync is None and head is not None and not header.clean:
        loose = max(loose, head.sequence + 1)
    if elsewhere:
        doubtful = max(doubtful, loose)  # the feeder that had sent that frame is not the one to come
    # Said from now on, also while what follows takes its time.
    copy.keeper.header = replace(header, doubtful_until=doubtful)
    # Without a clean stop nobody knows what was changed outside of a journal, for the hops.
    lost = bool(header.fault) or not header.clean

    def restored() -> None:
        fault = copy.fault_record.fault  # of this start, if there is one: that of before ends with it
        fresh = replace(copy.keeper.header, clean=False, boot=setup.boot, fault=fault, loose_until=loose)
        copy.keeper.put(replace(fresh, doubtful_until=doubtful), copy.has_started)

    def restore() -> None:
        copy.relay.restore(
            lost, partial(_forget, copy, bool(header.fault) and header.resync is None, restored)
        )

    if setup.links and header.resync is None and head is not None:
        copy.standing.make_durable(restore)  # a hop is never ahead of what is certain here (rule B6)
    else:
        restore()


def _adopted(copy: Secondary, header: Header) -> tuple[Header, bool]:
    """Rule B8: the header of a copy that was pointed elsewhere while no process ran, and whether it was. It
    becomes durable with the start; until then no feeder is told anything that hangs on it."""
    upstream, known = copy.setup.upstream, header.upstream
    if upstream is None or (known is not None and upstream.epoch <= known.epoch):
        return header, False
    copy.pointing = upstream.epoch
    return turning.pointed(header, upstream), True


def _replay(copy: Secondary, head: Position) -> None:
    """Rule B2: the volumes get what the journal holds behind the mark, before anybody looks at them."""
    journal, durable, standing = copy.setup.journal, copy.setup.durable, copy.standing
    mark = durable if durable is not None and durable.generation == head.generation else head
    standing.move_to(mark, mark.sequence)
    copy.replaying = True
    lost = journal.lost_before(mark)

    def replayed(position: Position, errno: int) -> None:
        if errno in FULL:
            copy.journal.wait_for_room()  # nobody is met meanwhile, and `again` is called then
            copy.out_of_room()
            return
        if errno:
            copy.fail(errno, "the journal cannot be applied")
            return
        standing.move_to(position, mark.sequence)
        short = position.sequence < head.sequence
        found = lost or journal.damaged or ("the journal ends too early" if short else "")
        distrusted = bool(found or copy.setup.header.fault)
        if copy.setup.header.clean and not short:
            found = ""  # a clean stop has left nothing in it that could be missing now
        standing.sync_volumes(lambda: standing.record(position, lambda: _replayed(copy, found, distrusted)))

    if lost:
        replayed(mark, 0)
    else:
        Replay(copy, mark, replayed).go_on()


def again(copy: Secondary) -> None:
    """The volumes were full when the journal was replayed: there may be room now."""
    head = copy.keeper.header.history.head
    assert head is not None
    _replay(copy, head)


def _replayed(copy: Secondary, damage: str, distrusted: bool) -> None:
    """The image is a prefix, unless there was damage; a `distrusted` journal tells the hops nothing."""
    standing = copy.standing
    copy.replaying = False
    standing.durable = standing.applied
    doubtful = copy.keeper.header.doubtful_until
    if damage:
        # What had been applied of it may be in the volumes, and nobody knows how far it went.
        doubtful = FOREVER
        copy.snapping.distrust()
        copy.outbox.note("journal-damaged", why=damage, sequence=standing.applied)
    # The journal goes on saying that there is nothing beyond, should this process die before a session.
    kept = not distrusted and copy.setup.journal.start is not None

    def restored() -> None:
        header = copy.keeper.header
        history = reaching(header.history, standing.position)
        fault = copy.fault_record.fault
        fresh = replace(header, history=history, clean=False, boot=copy.setup.boot, fault=fault)
        copy.keeper.put(replace(fresh, doubtful_until=doubtful, journaling=kept), copy.has_started)

    copy.relay.restore(distrusted, partial(_forget, copy, distrusted, restored))


def _forget(copy: Secondary, distrusted: bool, then: Callable[[], None]) -> None:
    """Before the header forgets a fault, what was applied beyond the position that is believed has to be
    forgotten: the start after this one, in the same boot, would take it for applied (rule C3)."""
    if distrusted and copy.standing.generation:
        copy.standing.forget_beyond(copy.standing.position, then)
    else:
        then()
