"""A copy at rest, as a value: what its directory and its volumes hold, and what its node intends.

The volume is as small as order can be wrong in: a few regions, each of which holds the whole of one write,
named by a number. Turns are carried out as the engine does it, with the core's own functions, on values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from farshore.core import actions as a
from farshore.core import turning
from farshore.core.geometry import Geometry
from farshore.core.journaled import JournalImage
from farshore.core.residue import residue_of
from farshore.core.secondary_setup import SecondarySetup
from farshore.core.undoing import reached
from farshore.errors import FarshoreError
from farshore.model.copy_config import DOUBTFUL, TurnIntent
from farshore.model.header import Header, Upstream
from farshore.model.layers import Layer
from farshore.model.messages import Residue
from farshore.model.options import LinkOptions, LinkSpec, Role
from farshore.model.positions import Position
from tests.unit.core.far import Far
from tests.unit.core.shells import TIMING, BoardFile, new_id

REGION = 4096
REGIONS = 2
GEOMETRY = Geometry({1: REGIONS * REGION}, REGION, REGION)
EVERYTHING = frozenset((1, extent) for extent in range(GEOMETRY.extents(1)))

Image = tuple[int, ...]
"""The number of the write that each region holds, 0 where there was none."""


def link_id(source: int, target: int) -> bytes:
    """Of the one link that leads from one copy to another."""
    return bytes([source + 1, target + 1] * 8)


def image(data: bytes | bytearray) -> Image:
    """What a volume holds. A region that holds parts of two writes has a number that no write has."""
    found = []
    for at in range(0, len(data), REGION):
        word = bytes(data[at : at + 4])
        whole = word * (REGION // 4) == data[at : at + REGION]
        found.append(int.from_bytes(word, "big") if whole else -1)
    return tuple(found)


Store = tuple[tuple[Layer, tuple[tuple[tuple[int, int], bytes], ...], bytes], ...]


@dataclass(frozen=True)
class Kept:
    """See the module."""

    number: int
    role: Role
    header: Header
    seen: bytes
    """The volume as processes read it."""
    safe: bytes
    """As a loss of power leaves it."""
    boot: int = 1
    hot: frozenset[tuple[int, int]] = frozenset()
    boards: tuple[tuple[bytes, BoardFile], ...] = ()
    """Nobody changes these files; a life works on copies of them."""
    durable: Position | None = None
    applied: tuple[str, Position] | None = None
    journal: tuple[a.AppendFrame, ...] = ()
    journal_start: Position | None = None
    safe_journal: int = 0
    store: Store = ()
    """The layers of its preserve store, each with what it keeps and what the volume held when it began."""
    upstream: Upstream | None = None
    """Whom its node wants it to follow."""
    turn: bytes = b""
    """The newest turn that its node wants."""
    consents: tuple[tuple[int, Position], ...] = ()
    """Heads of other copies that a plan allows this one to overwrite."""

    @property
    def boot_id(self) -> str:
        """Under which it runs now."""
        return f"boot-{self.boot}"

    def board_files(self) -> dict[bytes, BoardFile]:
        """Copies of the scoreboards."""
        return {link: replace(board, pages=dict(board.pages)) for link, board in self.boards}

    def after_power_loss(self) -> Kept:
        """The machine stopped."""
        journal = self.journal[: self.safe_journal]
        return replace(self, seen=self.safe, boot=self.boot + 1, journal=journal)

    def consent(self, peer: int) -> Position | None:
        """For the link to that copy."""
        return dict(self.consents).get(peer)


def with_boards(copy: Kept, boards: dict[bytes, BoardFile]) -> Kept:
    """The copy with these scoreboards, in one order."""
    return replace(copy, boards=tuple(sorted(boards.items())))


def blank(number: int, group: bytes, role: Role, upstream: Upstream | None) -> Kept:
    """A new copy."""
    header = Header(group, bytes([0xC0 + number]) * 16, role, upstream=upstream)
    nothing = bytes(REGIONS * REGION)
    return Kept(number, role, header, nothing, nothing, upstream=upstream)


# -- a secondary's process ----------------------------------------------------------------------


def far_of(copy: Kept, *, turning_now: bool = False) -> Far:
    """A secondary's engine on a copy, not started."""
    setup = SecondarySetup(
        copy.header,
        GEOMETRY,
        copy.durable,
        None,
        copy.boot_id,
        new_id(),
        new_id,
        TIMING,
        not any(copy.seen),
        JournalImage(copy.journal_start),
        residues=_residues(copy),
        turning=turning_now,
        upstream=copy.upstream,
    )
    far = Far(setup, lambda action: None)
    far.header, far.durable, far.applied = copy.header, copy.durable, copy.applied
    far.disk.seen[1][:], far.disk.safe[1] = copy.seen, copy.safe
    far.journal, far.journal_start = list(copy.journal), copy.journal_start
    far.safe_journal = copy.safe_journal
    for layer, kept, held in copy.store:
        far.store.layers.append(layer)
        far.store.kept[layer.id] = dict(kept)
        far.store.images[layer.id] = {1: held}
    return far


def _residues(copy: Kept) -> dict[bytes, Residue]:
    boards = dict(copy.boards)
    found: dict[bytes, Residue] = {}
    for record in copy.header.links:
        board = boards.get(record.link)
        if record.retired and record.peer_copy is not None and board is not None:
            residue = residue_of(GEOMETRY, board.image())
            if residue is not None:
                found[record.peer_copy] = residue
    return found


def kept_far(copy: Kept, far: Far) -> Kept:
    """What a secondary's process leaves behind."""
    retired = {record.link for record in far.header.links}
    return replace(
        copy,
        header=far.header,
        seen=bytes(far.disk.seen[1]),
        safe=bytes(far.disk.safe[1]),
        durable=far.durable,
        applied=far.applied,
        journal=tuple(far.journal),
        journal_start=far.journal_start,
        safe_journal=far.safe_journal,
        store=_store_of(far),
        boards=tuple([each for each in copy.boards if each[0] in retired]),
    )


def _store_of(far: Far) -> Store:
    store = far.store
    return tuple(
        [
            (each, tuple(sorted(store.kept[each.id].items())), bytes(store.images[each.id][1]))
            for each in store.layers
        ]
    )


def image_of(far: Far) -> Image:
    """The volume with what is in the journal and not yet in it."""
    data = bytearray(far.disk.seen[1])
    for entry in far.journal:
        assert isinstance(entry.frame, a.Issue)
        for (_, _, offset, length), payload in zip(entry.frame.operations, entry.frame.payloads, strict=True):
            if payload is not None:
                data[offset : offset + length] = payload
    return image(data)


# -- turns --------------------------------------------------------------------------------------

_turns = count(1)


def promoted(copy: Kept, others: tuple[Kept, ...]) -> Kept:
    """The copy as primary, with links to all others. Raises FarshoreError `not-promotable`."""
    turn = TurnIntent(next(_turns).to_bytes(16, "big"), (DOUBTFUL,))
    turning.check_promotable(
        copy.header, turn, reached(copy.header.undo, [each for each, _, _ in copy.store], ())
    )
    settled = _settled(copy)
    wanted = [(spec_to(settled, each), each.header.copy) for each in others]
    new = turning.promoted(settled.header, turn, wanted)
    boards = dict(settled.boards)
    for link, base in new.boards.items():
        peer = next(peer for spec, peer in wanted if spec.id == link)
        boards[link] = BoardFile(base, peer, {})
    fresh = replace(settled, role=Role.PRIMARY, header=new.header, turn=turn.id, journal=(), hot=frozenset())
    return with_boards(replace(fresh, journal_start=None, safe_journal=0, consents=()), boards)


def _settled(copy: Kept) -> Kept:
    """After a life as secondary that met nobody."""
    far = far_of(copy, turning_now=True)
    far.start(copy.boot_id, roll_back=copy.header.resync is not None and bool(copy.header.undo))
    far.core.clock(1.0, 1.0)
    far.run(far.core.start())
    far.run(far.core.stop())
    if not far.core.stopped or not far.header.clean:
        raise FarshoreError("not-promotable", "it could not be settled")
    return kept_far(copy, far)


def demoted(copy: Kept, upstream: Upstream) -> Kept:
    """The copy as secondary of somebody."""
    turn, header, boards = next(_turns).to_bytes(16, "big"), copy.header, copy.board_files()
    if not header.clean:
        for record in header.links:
            file = boards.get(record.link)
            if file is None:
                continue
            hot = EVERYTHING if header.fault else copy.hot
            board = turning.suspected(GEOMETRY, file.image(), record, hot)
            board.every_page()
            for name, volume, number, data in board.pages():
                file.pages[name, volume, number] = data
    demotion = turning.Demotion(
        turn,
        upstream,
        frozenset(),
        frozenset(link for link, board in boards.items() if board.base is not None),
        header.boot == copy.boot_id,
        new_id(),
    )
    fresh = turning.demoted(header, demotion)
    kept = replace(
        copy,
        role=Role.SECONDARY,
        header=fresh,
        upstream=upstream,
        turn=turn,
        durable=fresh.history.head,
        applied=None,
        journal=(),
        journal_start=None,
        safe_journal=0,
        consents=(),
    )
    return with_boards(kept, boards)


def pointed(copy: Kept, upstream: Upstream) -> Kept:
    """A secondary that is to follow somebody else; its engine learns it with its next start."""
    return replace(copy, upstream=upstream)


def spec_to(copy: Kept, other: Kept, options: LinkOptions | None = None) -> LinkSpec:
    """Of the link from one copy to another, under the epoch by which the other would take it."""
    link = link_id(copy.number, other.number)
    follows = other.upstream
    epoch = follows.epoch if follows is not None and follows.link == link else 1
    return LinkSpec(
        link,
        f"to-{other.number}",
        "peer",
        options or LinkOptions(),
        epoch,
        consent=copy.consent(other.number),
    )
