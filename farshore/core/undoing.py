"""The undo of a resync: what is kept to take it back, from before its first fill to behind its end (E1, E3).

It begins once everything is in the volumes and synced, and before the header says that a resync is open; it
goes when the header durably says that none is. A copy whose resync was cut off keeps the undo it has, through
any number of further attempts: it leads back to the last state that was whole. A copy that was blank, or that
was never whole since, has nothing to go back to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from farshore.core import rescuing
from farshore.core.actions import RollBack
from farshore.core.broken_layers import marked
from farshore.core.preserve import FULL, PreserveImage
from farshore.core.turning import Undo
from farshore.model import messages as m
from farshore.model.layers import Layer, LayerKind

if TYPE_CHECKING:
    from farshore.core.follower import Follower
    from farshore.core.secondary import Secondary

FOREVER = (1 << 63) - 1
"""No sequence comes so far: a doubt that only a resync ends."""
NO_ROOM = "the preserve store has no room for what the resync would overwrite"
NO_STORE = "its preserve store cannot be used, so that nothing of what the resync overwrites can be kept"


def protect(
    copy: Follower, message: m.ResyncBegin, over: Callable[[], bool], then: Callable[[bytes], None]
) -> None:
    """See to it that the resync can be taken back; `then` is told by which layer, or b"" where it cannot.
    Without room the session ends, unless the operator has accepted that. `over`: nobody wants it any more."""
    header = copy.keeper.header
    if copy.preserve.unusable:
        _do_without(copy, message, over, then)
        return
    if header.resync is not None:
        rescuing.keep_open(copy, message, over, then)
        return
    if header.history.blank or not (copy.preserve.available or message.rescue):
        then(header.undo)
        return
    if not copy.preserve.available:
        copy.end_session("store-full", rescuing.NO_STORE)
        return
    found = rescuing.begun_before(copy, message.rescue) if message.rescue else None
    if found is not None:
        then(found.id)
        return
    name = rescuing.title(copy, message.rescue) if message.rescue else ""
    kind = LayerKind.RESCUE if message.rescue else LayerKind.UNDO
    sizes = tuple(sorted(copy.geometry.sizes.items()))
    layer = Layer(copy.new_id(), kind, sizes, name, copy.history().head, copy.outbox.wall)

    def begun(errno: int) -> None:
        if over():
            if not errno:
                copy.preserve.drop(layer.id)
        elif not errno:
            then(layer.id)
        elif errno not in FULL:
            copy.fail(errno)
        elif message.rescue:
            copy.end_session("store-full", rescuing.NO_ROOM)
        elif message.unprotected:
            copy.outbox.note("resync-unprotected", why=NO_ROOM)
            then(b"")
        else:
            copy.end_session("store-full", NO_ROOM)

    copy.preserve.begin(layer, message.marked, begun)


def _do_without(
    copy: Follower, message: m.ResyncBegin, over: Callable[[], bool], then: Callable[[bytes], None]
) -> None:
    """The store cannot be used: what the resync overwrites is kept nowhere, and an undo that may be there is
    given up, durably, before anything more is overwritten. That is for an operator to accept, but for a copy
    of which nothing could be taken back; a rescue that was promised nobody does without."""
    header, preserve = copy.keeper.header, copy.preserve
    why = f"{NO_STORE} ({preserve.unusable})"
    if header.history.blank or (header.resync is not None and not header.undo):
        then(b"")
    elif message.rescue:
        copy.end_session("store-full", f"{rescuing.NO_STORE} ({preserve.unusable})")
    elif not message.unprotected:
        copy.end_session("store-full", why)
    else:
        copy.outbox.note("resync-unprotected", why=why)
        bare = marked(replace(header, undo=b""), PreserveImage(unusable=preserve.unusable))
        copy.keeper.put(bare, lambda: None if over() else then(b""))


def attend(copy: Secondary) -> None:
    """What happens to a copy whose store cannot keep what has to be kept, or could not once."""
    copy.preserve.broken.update(copy.setup.header.broken_layers)
    copy.preserve.full = partial(_full, copy)
    copy.preserve.lacking = partial(_lacking, copy)


def _full(copy: Secondary) -> None:
    """What may not be given up leaves no room for what is to be saved: nothing more is overwritten (rule E2).
    An operator who has accepted a resync that cannot be taken back is taken at the word."""
    terms = copy.session.terms if copy.session is not None else None
    layer = copy.preserve.layer(copy.keeper.header.undo)
    if terms is not None and terms.unprotected and layer is not None and _may_go(terms, layer):
        _give_up(copy, layer)
        return
    copy.end_session("store-full", NO_ROOM)
    if copy.journal.active or copy.replaying:
        copy.out_of_room()


def _lacking(copy: Secondary) -> None:
    """Some region could not be read, and is not in the layers. An undo leads back all the same, but for that:
    whoever relies on it is told at once, and a promotion from it has to accept that."""
    session = copy.session
    if session is not None and session.ready and copy.keeper.header.undo:
        session.send(m.Ready(session.nonce, whole(copy)))


def reach(copy: Follower) -> Undo:
    """How far the open resync can be taken back."""
    return reached(copy.keeper.header.undo, copy.preserve.layers, copy.preserve.incomplete)


def reached(undo: bytes, layers: Iterable[Layer], incomplete: Collection[bytes]) -> Undo:
    """The same, of what a store has."""
    if all(each.id != undo for each in layers):
        return Undo.NONE
    return Undo.PART if undo in incomplete else Undo.ALL


def whole(copy: Follower) -> bool:
    """Whether the open resync can be taken back to exactly what was before it."""
    return reach(copy) is Undo.ALL


def _may_go(terms: m.ResyncBegin | None, layer: Layer) -> bool:
    """An undo may; a rescue only if the resync that goes on does without one."""
    return layer.kind is LayerKind.UNDO or (terms is not None and not terms.rescue)


def _give_up(copy: Secondary, layer: Layer) -> None:
    """Nothing is kept, and the resync goes on once its feeder has heard that, with its next greeting."""
    header = copy.keeper.header
    copy.outbox.note("undo-lost", why=NO_ROOM, layer=layer.id.hex())
    copy.end_session("", NO_ROOM)
    copy.keeper.put(replace(header, undo=b""), lambda: copy.preserve.drop(layer.id))


def release(copy: Follower, undo: bytes) -> None:
    """The completion cut is durable. What an operator wanted to be kept stays."""
    layer = copy.preserve.layer(undo)
    if layer is not None and layer.kind is LayerKind.UNDO:
        copy.preserve.drop(undo)


def roll_back(copy: Secondary) -> None:
    """In place of the start of a copy that is to be what it was before its open resync (rule E3). It ends,
    some actions later, with `has_started`, and may be cut off at any point and begun again.

    First nobody can prove that resync to be open any more, so that a feeder that comes back counts everything
    that it had copied as missing again; then every region counts as suspect for this copy's own links.
    """
    header, setup = copy.keeper.header, copy.setup
    undo, resync, head = header.undo, header.resync, header.history.head
    assert resync is not None
    assert head is not None
    copy.standing.move_to(head, head.sequence)
    broken = replace(resync, id=copy.new_id())

    def proof_gone() -> None:
        copy.outbox.emit(RollBack(copy.outbox.ticket(restored), undo, head))

    def restored(errno: int) -> None:
        if errno:
            copy.fail(errno)
            return
        exact = whole(copy)
        copy.outbox.note("rolled-back", sequence=head.sequence, exact=exact)
        fresh = replace(
            copy.keeper.header, resync=None, undo=b"", fault=copy.fault_record.fault, boot=setup.boot
        )
        if not exact:  # what the disk had refused shows what the resync has written there
            fresh = replace(fresh, doubtful_until=FOREVER)
        copy.keeper.put(fresh, done)

    def done() -> None:
        copy.preserve.drop(undo)
        copy.has_started()

    copy.keeper.put(replace(header, resync=broken, clean=False), lambda: copy.relay.restore(True, proof_gone))
