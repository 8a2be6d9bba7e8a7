"""What the feeder does with a peer that has said what it holds (rules A5, D2, D3).

`decide` is pure: from the link's record, the scoreboard's base, our history and the peer's
welcome to one decision. It never chooses a direction by a clock and never overwrites a copy that
may be newer or that it does not know: those are `diverged`, and wait for a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farshore.core.history import Relation, at_or_after, compare, fork
from farshore.core.scoreboard import Scoreboard
from farshore.model.header import RENEWED, LinkRecord
from farshore.model.messages import Welcome
from farshore.model.options import ResyncKind
from farshore.model.positions import History, Position


class Course(StrEnum):
    """What to do with the session."""

    RESUME = "resume"
    """The peer lacks nothing."""
    CONTINUE = "continue"
    """The peer proved that our open resync is still open there."""
    UPDATE = "update"
    """Copy what the maps mark, after OR-ing back an earlier resync's second map."""
    FIRST = "first"
    """The peer is blank: copy everything."""
    DIGEST = "digest"
    """The peer's content is an ancestor but no scoreboard covers it: compare everything."""
    REJOIN = "rejoin"
    """The histories fork, a plan allows to overwrite the peer's side, and both sides know what they wrote
    since: copy what either marks (rule A5)."""
    NEWER = "newer"
    """The peer descends from us (rule D6)."""
    CONFLICT = "conflict"
    """Neither history contains the other's head."""
    CHANGED = "changed"
    """The peer is not the copy, or not the content, that this link knew (rule D3)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A course and the sentence that explains it to the operator."""

    course: Course
    why: str
    apart: bool = False
    """The peer's head is not on our history: what it holds and we lack would be lost."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator has decided about a peer."""

    first: ResyncKind = ResyncKind.FULL
    """How a blank one is filled."""
    consent: Position | None = None
    """The head that it may have and be overwritten, though it is no ancestor of ours (rule D7)."""


def decide(record: LinkRecord, board: Scoreboard, mine: History, peer: Welcome, terms: Terms) -> Decision:
    """The course for a session. `mine` reaches exactly to our newest sequence."""
    if record.peer_copy is not None and peer.copy != record.peer_copy:
        return Decision(Course.CHANGED, "another copy answers at the peer than the one this link knew")
    proved = (
        peer.resync is not None and record.open_resync is not None and peer.resync.id == record.open_resync.id
    )
    relation = compare(mine, peer.history)
    if relation is Relation.DIVERGED and mine.begun_only:
        relation = compare(mine.parent, peer.history)
    if relation is Relation.BLANK:
        return _blank(board, peer, proved, terms.first)
    if relation in (Relation.DESCENDANT, Relation.DIVERGED):
        if proved:
            return Decision(Course.CONTINUE, "the interrupted resync goes on", apart=True)
        if terms.consent is not None and terms.consent == peer.history.head:
            return _forked(board, mine, peer)
        return _parted(relation)
    return _behind(record, board, mine, peer, proved)


def _parted(relation: Relation) -> Decision:
    if relation is Relation.DESCENDANT:
        return Decision(Course.NEWER, "the peer's copy continues ours and holds later writes")
    return Decision(Course.CONFLICT, "both copies were written independently")


def _behind(record: LinkRecord, board: Scoreboard, mine: History, peer: Welcome, proved: bool) -> Decision:
    """The peer's head lies on our history."""
    if board.base is None and record.open_resync is None:
        # Nor does it where the peer is known: no resync was opened since, so that nothing may be marked.
        return Decision(Course.DIGEST, "the peer's copy is older and no scoreboard covers it")
    head = peer.history.head
    if board.base is None:
        if proved:
            return Decision(Course.CONTINUE, "the interrupted copy goes on")
        return Decision(Course.UPDATE, "the first copy starts again")
    if head is None or not at_or_after(mine, head, board.base):
        if record.unmet:
            return Decision(Course.DIGEST, "the peer's copy is older than ours was at its promotion")
        return Decision(Course.CHANGED, "the peer's copy is older than what it had made durable")
    if proved:
        return Decision(Course.CONTINUE, "the interrupted resync goes on")
    newest = mine.head.sequence if mine.head is not None else 0
    lacks_nothing = head.sequence == newest and peer.resync is None and not peer.doubtful
    if lacks_nothing and record.open_resync is None and board.clean and not told_of_differences(peer):
        return Decision(Course.RESUME, "the peer lacks nothing")
    return Decision(Course.UPDATE, "the peer lacks the marked regions")


def told_of_differences(peer: Welcome) -> bool:
    """Whether the peer knows regions of its copy that may differ from ours though its position does not say
    so: a verify has found them, when it was the primary, or something was left to copy (rules A5, E7)."""
    return peer.residue is not None and bool(peer.residue.ranges)


def _forked(board: Scoreboard, mine: History, peer: Welcome) -> Decision:
    """A plan allows to overwrite what the peer wrote since the histories parted (rule A5)."""
    at, residue = fork(mine, peer.history), peer.residue
    ours = at is not None and board.base is not None and at_or_after(mine, at, board.base)
    theirs = at is not None and residue is not None and at_or_after(peer.history, at, residue.base)
    if ours and theirs:
        return Decision(Course.REJOIN, "the copies differ in what either side marks since they parted", True)
    return Decision(Course.DIGEST, "no scoreboards cover what was written since the copies parted", True)


def _blank(board: Scoreboard, peer: Welcome, proved: bool, first: ResyncKind) -> Decision:
    if proved:
        return Decision(Course.CONTINUE, "the interrupted first copy goes on")
    renewed = peer.resync is not None and peer.resync.id == RENEWED
    if board.base is not None and not renewed:
        return Decision(Course.CHANGED, "the peer's copy came back without any history")
    if renewed:
        return Decision(Course.FIRST, "a volume at the peer was replaced, as a plan there says")
    if not peer.empty and peer.resync is None and first is not ResyncKind.DIGEST:
        # What an interrupted first copy left there is ours, and the peer says that one is open.
        return Decision(Course.CHANGED, "the peer's volumes hold data that is not of this group")
    return Decision(Course.FIRST, "the peer is blank")


def kind_for(course: Course, wanted: ResyncKind | None, first: ResyncKind) -> ResyncKind:
    """The kind of resync that a course needs, unless the operator wants a more thorough one."""
    if wanted is not None and wanted is not ResyncKind.UPDATE:
        return wanted
    if course is Course.FIRST:
        return first
    return ResyncKind.DIGEST if course is Course.DIGEST else ResyncKind.UPDATE
