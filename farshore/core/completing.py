"""How a resync of one link begins and how it counts as complete (rules A4, A5, E1, F2).

Nothing tells of a resync, neither the header nor the line, before the marks that it works through
are durable: a crash of ours may forget that it had begun, never what it had to look at. It is
complete once its cut is durable at the peer, which the peer says, or shows at the next meeting.
What travels in between is the business of `filling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import pausing
from farshore.core.filling import Filling
from farshore.core.handshake import Course, kind_for
from farshore.core.history import at_or_after
from farshore.core.link import LinkEvent
from farshore.model import messages as m
from farshore.model.header import OpenResync
from farshore.model.options import ResyncKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from farshore.core.feeder import Feeder


def require(feeder: Feeder, kind: ResyncKind, then: Callable[[], None]) -> None:
    """The operator wants all to be copied, or compared: marked at once, and `then` durably, since the peer
    may be met long after, by another process of ours, which only knows the marks."""
    if kind is ResyncKind.UPDATE:
        then()
    else:
        feeder.board.require(kind)
        feeder.shared.persist(feeder.id, then)


def begin(feeder: Feeder, course: Course) -> None:
    """Open a resync, or go on with the one that the peer proved to be open (rule A4)."""
    session, nonce = feeder.session, feeder.session.nonce
    kind = kind_for(course, feeder.wanted, feeder.spec.options.first)
    feeder.unanswered_cut = None
    feeder.unlogged.resync_begins()
    feeder.disk.abandon("the disk queue does not reach from where the peer stands")
    if course is not Course.CONTINUE:
        feeder.board.or_back()
    residue, session.residue = session.residue, None  # once: what it tells of is durably suspect then
    told = residue is not None and course in (Course.REJOIN, Course.UPDATE)
    if told and residue is not None:
        feeder.board.suspect_ranges(residue.ranges)
    feeder.board.prepare(kind)
    feeder.board.open = True

    def marked() -> None:
        if session.greeting and session.nonce == nonce and not feeder.retired:
            _open(feeder, course, kind)

    if kind is ResyncKind.UPDATE and not told:
        _open(feeder, course, kind)
    else:
        feeder.shared.persist(feeder.id, marked)


def _open(feeder: Feeder, course: Course, kind: ResyncKind) -> None:
    position = feeder.shared.position()
    going_on = course is Course.CONTINUE and kind is ResyncKind.UPDATE
    resync = feeder.record.open_resync if going_on else None
    if resync is None:
        resync = OpenResync(feeder.shared.new_id(), kind, position)
        feeder.remember(open_resync=resync)
    feeder.wanted = None
    feeder.start_stream(position)
    feeder.filling = Filling(feeder, resync)
    geometry, board = feeder.board.geometry, feeder.board
    feeder.session.prepare(
        m.ResyncBegin(
            feeder.session.nonce,
            resync.id,
            resync.kind,
            feeder.shared.history(),
            position,
            min(board.dirty.count() * geometry.region, sum(geometry.sizes.values())),
            feeder.unprotected,
            feeder.session.rescue,
        )
    )


def complete(feeder: Feeder, cut: Position) -> None:
    """The completion cut is durable at the peer (rules A4, A5)."""
    feeder.filling = None
    _settle(feeder, cut)
    feeder.acked.reached(cut.sequence)
    if not feeder.streaming and not feeder.once:
        begin(feeder, Course.UPDATE)  # writes only marked since the cut
        return
    feeder.enter(LinkEvent.COMPLETE)
    if feeder.once:
        feeder.remember(once=False)
        pausing.complete(feeder, cut, True)
    else:
        feeder.replicates()


def learn(feeder: Feeder, peer: m.Welcome) -> bool:
    """Take a cut whose answer was lost for durable where the peer shows it: it has left the resync and
    stands at the cut or behind it. True when that was all that its one-time resync was for; one that was
    asked for since is still owed."""
    cut, head = feeder.unanswered_cut, peer.history.head
    if cut is None or head is None or peer.resync is not None or peer.copy != feeder.record.peer_copy:
        return False
    if not at_or_after(feeder.shared.history(), head, cut):
        return False
    _settle(feeder, cut)
    if feeder.once and feeder.wanted is None:
        feeder.remember(once=False)
        pausing.complete(feeder, cut, True)
        return True
    return False


def _settle(feeder: Feeder, cut: Position) -> None:
    """What the resync did counts, and the scoreboard is complete from the cut on."""
    feeder.unanswered_cut = None
    feeder.session.doubtful = feeder.unprotected = False
    feeder.session.rescue = ""
    feeder.board.forget_second()
    feeder.board.base = cut
    feeder.remember(open_resync=None, epoch=feeder.spec.epoch, unmet=False)
    feeder.shared.persist(feeder.id, lambda: None)
