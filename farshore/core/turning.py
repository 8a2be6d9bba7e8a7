"""A turn: how a copy changes its role (rules D1, D6, D7, A3, A5).

What a copy is stands in its header, what it should be in the operator's intent; a turn is carried out
before the copy serves anybody, and is there, whole, once one header is durable. So of any number of
crashes each leaves a copy of the one role or of the other.

A secondary becomes primary after a start and a clean stop of its own, in which it met nobody: then its
volumes durably hold everything up to one position, at which its history ends; the start that follows
mints the generation from there. A primary becomes secondary as it stands. After an unclean stop nobody
knows where that is: what was being written is suspect for every peer, and the copy gets a head that no
other copy can have, so that it is never taken for one that is merely behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from farshore.core.geometry import Geometry
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.errors import FarshoreError
from farshore.model.copy_config import DOUBTFUL, UNPROTECTED, TurnIntent
from farshore.model.header import Header, LinkRecord, Upstream
from farshore.model.messages import Residue
from farshore.model.options import LinkSpec, Role
from farshore.model.positions import History, Position


class Turn(StrEnum):
    """What has to be done before a copy may start in the role that it should have."""

    PROMOTION = "promotion"
    DEMOTION = "demotion"
    REINSTATEMENT = "reinstatement"
    """The role is right already; a fence falls (rule D6), since a plan says that this copy is the primary."""


def due(header: Header, role: Role, turn: TurnIntent | None) -> Turn | None:
    """What is due. Raises FarshoreError `wrong-role` where the roles differ and no new turn says so."""
    fresh = turn is not None and turn.id != header.turn
    if header.role is role:
        return Turn.REINSTATEMENT if fresh else None
    if not fresh:
        raise FarshoreError(
            "wrong-role",
            f"the copy is {header.role}, and copy.json says {role}",
            means="Roles change by a plan only; nothing was changed.",
            next_step="farshore status",
        )
    return Turn.PROMOTION if role is Role.PRIMARY else Turn.DEMOTION


# -- promotion ----------------------------------------------------------------------------------


class Undo(StrEnum):
    """How far an open resync can be taken back."""

    ALL = "all"
    PART = "part"
    """But for regions that could not be read when they were to be kept: these show what the resync wrote."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a copy cannot be promoted as it is, and the risk that a plan may accept, if any."""

    why: str
    risk: str = ""


def obstacle(header: Header, doubtful: bool, undo: Undo) -> Obstacle | None:
    """What stands against a promotion of this secondary; `doubtful` as rule B3 has it, of the image that
    would be promoted. An open resync is taken back first (rule E3), as far as `undo` reaches."""
    if header.fault:
        return Obstacle(f"it has stopped after a disk error ({header.fault.text})")
    if header.history.blank:
        return Obstacle("it has never held a whole copy")
    if header.resync is not None and undo is Undo.NONE:
        return Obstacle("a resync has overwritten part of it, and no undo of that can be read", UNPROTECTED)
    if header.resync is not None and undo is Undo.PART:
        return Obstacle(
            "regions that its disk did not show are missing in the undo: they hold what the resync wrote",
            DOUBTFUL,
        )
    if doubtful:
        return Obstacle("its machine lost power: it may hold the newest writes in part", DOUBTFUL)
    return None


def in_doubt(header: Header) -> bool:
    """Rule B3, of a copy that has stopped cleanly."""
    head = header.history.head
    return head is not None and head.sequence < header.doubtful_until


def check_promotable(header: Header, turn: TurnIntent, undo: Undo) -> None:
    """Raises FarshoreError `not-promotable`."""
    found = obstacle(header, in_doubt(header), undo)
    if found is None or found.risk in turn.accepts:
        return
    raise FarshoreError(
        "not-promotable",
        f"this copy cannot become the primary: {found.why}",
        means="Nothing was changed; it is a secondary as before.",
        next_step="farshore status at the other nodes: promote another copy, or resync this one first",
    )


@dataclass(frozen=True, slots=True)
class Promoted:
    """The header of the new primary, and the links whose scoreboards begin clean: id -> base, None where
    nothing is known from which they could be complete."""

    header: Header
    boards: Mapping[bytes, Position | None]


def promoted(header: Header, turn: TurnIntent, links: Iterable[tuple[LinkSpec, bytes | None]]) -> Promoted:
    """A secondary that has stopped cleanly, as primary. `links` are all that it shall have, each with the
    copy at its far end where that is known.

    Raises FarshoreError `not-promotable`.
    """
    # An undo has been taken back by now; what a rewind has left is the state that is wanted.
    check_promotable(header, turn, Undo.ALL if header.undo else Undo.NONE)
    head = header.history.head
    assert head is not None
    # Of an image that is no prefix, or shows part of a frame beyond its position, nobody can say that what is
    # written from now on is all that it has beyond a peer that stands at the same position.
    loose = head.sequence < header.loose_until
    base = head if header.resync is None and not loose and not in_doubt(header) else None
    records: list[LinkRecord] = []
    boards: dict[bytes, Position | None] = {}
    for spec, peer in links:
        record = header.link(spec.id)
        if record is None:
            record = LinkRecord(spec.id, spec.epoch, peer, unmet=True)
            boards[spec.id] = base
        elif record.retired:  # a resync that was open then can be proved by nobody now
            record = replace(record, unmet=True, retired=False, open_resync=None)
        records.append(replace(record, queue_whole=False))
    return Promoted(
        replace(
            header,
            role=Role.PRIMARY,
            ceiling=head.sequence,
            clean=True,
            links=tuple(records),
            resync=None,
            undo=b"",
            doubtful_until=0,
            highest_seen=0,
            journaling=False,
            loose_until=0,
            fenced="",
            successor=None,
            turn=turn.id,
        ),
        boards,
    )


def reinstated(header: Header, turn: TurnIntent) -> Header:
    """A fenced primary that a plan has chosen as the primary after all (rule D6)."""
    return replace(header, fenced="", successor=None, turn=turn.id)


# -- demotion -----------------------------------------------------------------------------------


def suspected(
    geometry: Geometry, image: BoardImage, record: LinkRecord, hot: Iterable[tuple[int, int]]
) -> Scoreboard:
    """A link's scoreboard after an unclean stop (rules A3, A4), as it has to be made durable before the
    demotion."""
    board = Scoreboard(geometry, image)
    board.open = record.open_resync is not None
    board.dirty.merge(board.second)
    board.suspect_extents(hot)
    return board


@dataclass(frozen=True, slots=True)
class Demotion:
    """What a demotion needs besides the header."""

    turn: bytes
    upstream: Upstream | None
    links: frozenset[bytes]
    """Those that the copy shall go on feeding, as hops."""
    complete: frozenset[bytes]
    """Links whose scoreboards say from where they are complete: the others tell nothing worth keeping."""
    same_boot: bool
    """The machine has not restarted since the copy ran last."""
    generation: bytes
    """Random, for a head of its own after an unclean stop."""


def demoted(header: Header, demotion: Demotion) -> Header:
    """A primary as secondary. After an unclean stop its scoreboards durably have their suspects by now."""
    history, doubtful = header.history, 0
    if not header.clean and not history.blank:
        history = history.forked(demotion.generation)
        newest = history.stretches[-1]
        doubtful = 0 if demotion.same_boot and not header.fault else newest.last + 1
    head = history.head
    upstream, before = demotion.upstream, header.upstream
    if upstream is not None and before is not None and replace(before, copy=None) == upstream:
        upstream = before
    return replace(
        header,
        role=Role.SECONDARY,
        history=history,
        clean=True,
        links=tuple([each for record in header.links for each in _kept(record, demotion)]),
        upstream=upstream,
        resync=None,
        doubtful_until=doubtful,
        highest_seen=head.sequence if head is not None else 0,
        journaling=False,
        loose_until=0,
        fault=None,
        fenced="",
        successor=None,
        turn=demotion.turn,
    )


def _kept(record: LinkRecord, demotion: Demotion) -> list[LinkRecord]:
    if record.link in demotion.links:
        return [replace(record, queue_whole=False)]
    if record.peer_copy is not None and record.link in demotion.complete:
        return [replace(record, queue_whole=False, retired=True)]
    return []


def residue_for(header: Header, residues: Mapping[bytes, Residue], feeder: bytes) -> Residue | None:
    """What was marked for that copy in a time as primary, if it still tells how this one differs."""
    kept = any(each.retired and each.peer_copy == feeder for each in header.links)
    return residues.get(feeder) if kept else None


def with_history(header: Header, history: History) -> Header:
    """This copy follows somebody's history: how it differed from earlier peers is of no interest any more."""
    return replace(_without_residue(header), history=history)


def _without_residue(header: Header) -> Header:
    return replace(header, links=tuple([each for each in header.links if not each.retired]))


def pointed(header: Header, upstream: Upstream) -> Header:
    """This copy is to follow another feeder (rule B8). What an unfinished resync of the one before has
    written here is in no residue; and of a frame of that one, which may be here in part, the new one knows
    nothing: until it is passed this copy is in doubt (rule B3)."""
    kept = header if header.resync is None else _without_residue(header)
    doubtful = max(header.doubtful_until, header.loose_until)
    return replace(kept, upstream=upstream, doubtful_until=doubtful)
