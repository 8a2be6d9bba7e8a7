"""What the feeder does with a peer that has said what it holds (rules A5, D2, D3).

`decide` is pure: from the link's record, the scoreboard's base, our history and the peer's
welcome to one decision. It never chooses a direction by a clock and never overwrites a copy that
may be newer or that it does not know: those are `diverged`, and wait for a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farshore.core.history import Relation, at_or_after, compare
from farshore.core.scoreboard import Scoreboard
from farshore.model.header import LinkRecord
from farshore.model.messages import Welcome
from farshore.model.options import ResyncKind
from farshore.model.positions import History


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


def decide(
    record: LinkRecord, board: Scoreboard, mine: History, peer: Welcome, first: ResyncKind
) -> Decision:
    """The course for a session. `mine` reaches exactly to our newest sequence; `first` is how a blank
    peer would be filled."""
    if record.peer_copy is not None and peer.copy != record.peer_copy:
        return Decision(Course.CHANGED, "another copy answers at the peer than the one this link knew")
    proved = (
        peer.resync is not None and record.open_resync is not None and peer.resync.id == record.open_resync.id
    )
    relation = compare(mine, peer.history)
    if relation is Relation.DIVERGED and mine.begun_only:
        relation = compare(mine.parent, peer.history)
    if relation is Relation.BLANK:
        return _blank(board, peer, proved, first)
    if relation is Relation.DESCENDANT:
        return Decision(Course.NEWER, "the peer's copy continues ours and holds later writes")
    if relation is Relation.DIVERGED:
        return Decision(Course.CONFLICT, "both copies were written independently")
    if board.base is None and record.open_resync is None:
        # Nor does it where the peer is known: no resync was opened since, so that nothing may be marked.
        return Decision(Course.DIGEST, "the peer's copy is older and no scoreboard covers it")
    head = peer.history.head
    if board.base is None:
        if proved:
            return Decision(Course.CONTINUE, "the interrupted copy goes on")
        return Decision(Course.UPDATE, "the first copy starts again")
    if head is None or not at_or_after(mine, head, board.base):
        return Decision(Course.CHANGED, "the peer's copy is older than what it had made durable")
    if proved:
        return Decision(Course.CONTINUE, "the interrupted resync goes on")
    newest = mine.head.sequence if mine.head is not None else 0
    lacks_nothing = head.sequence == newest and peer.resync is None and not peer.doubtful
    if lacks_nothing and record.open_resync is None and board.clean:
        return Decision(Course.RESUME, "the peer lacks nothing")
    return Decision(Course.UPDATE, "the peer lacks the marked regions")


def _blank(board: Scoreboard, peer: Welcome, proved: bool, first: ResyncKind) -> Decision:
    if board.base is not None:
        return Decision(Course.CHANGED, "the peer's copy came back without any history")
    if proved:
        return Decision(Course.CONTINUE, "the interrupted first copy goes on")
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
