"""What differs, and what is counted dirty: both sides of rule A1, seen from above.

A region differs when the peer's copy does not read as the feeder's, now or after any loss of power
at the peer. It is dirty by what the feeder's process knows in this moment, or, while no process
runs, by what its state directory says. The first must never reach beyond the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bitarray import bitarray

from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.core.links import Links
from farshore.core.primary import Primary, PrimarySetup
from farshore.core.scoreboard import BoardImage
from farshore.core.secondary_setup import SecondarySetup
from farshore.core.write_path import NO_LIMIT
from farshore.model.positions import Position
from farshore.model.volumes import Operation
from sim.disk import SECTOR
from sim.relay_site import RelaySite
from sim.site import Site
from sim.world import BrokenRule

Region = tuple[int, int]
"""(volume, region)."""
_SHOWN: Final = 8


def check_findings(feeder: Feeder) -> None:
    """Rule E7: nobody changes a copy behind its engine's back here, so that a verify finds nothing."""
    if feeder.board.found.any():
        found = {
            (volume, region) for volume, bits in feeder.board.found.bits.items() for region in bits.search(1)
        }
        raise BrokenRule("E7", f"a verify reports what does not differ: {listed(found)}")


def differing(feeder: Site, peer: Site, geometry: Geometry) -> set[Region]:
    """Regions in which the peer does not hold what its feeder holds, or may lose it."""
    found: set[Region] = set()
    size = geometry.region
    per_region = size // SECTOR
    for volume in geometry.sizes:
        ours, theirs = feeder.node_of(volume).current, peer.node_of(volume)
        if ours != theirs.current:
            found |= _unequal(volume, ours, theirs.current, size)
        for sector, versions in theirs.pending.items():
            content = ours[sector * SECTOR : (sector + 1) * SECTOR]
            if theirs.durable[sector * SECTOR : (sector + 1) * SECTOR] != content or any(
                version[1] != content for version in versions
            ):
                found.add((volume, sector // per_region))
        if ours != theirs.durable and not theirs.pending:
            found |= _unequal(volume, ours, theirs.durable, size)
    return found


def _unequal(volume: int, ours: bytearray, theirs: bytearray, size: int) -> set[Region]:
    # Slices are copied and compared at once; views would be compared byte by byte.
    return {
        (volume, at // size)
        for at in range(0, len(ours), size)
        if ours[at : at + size] != theirs[at : at + size]
    }


def dirty_now(core: Links, feeder: Feeder) -> set[Region]:
    """What a running feeder counts dirty for a link: scoreboard, suspects, second map, and the
    frames that are not acknowledged durable."""
    board = feeder.board
    found: set[Region] = set()
    for each in (board.dirty, board.suspect, board.second):
        for volume, bits in each.bits.items():
            found |= _set_bits(volume, bits)
    found |= set(board.queued) | set(board.spooled.regions())
    if feeder.owed != NO_LIMIT:
        for entry in core.ledger.after(feeder.acked.durable):
            found |= touched(entry.operations, core.geometry)
    return found


def in_flight(core: Primary) -> set[Region]:
    """Regions whose local write has been issued and not been reported."""
    found: set[Region] = set()
    for _, operations, _ in core.path.unwritten:
        found |= touched(operations, core.geometry)
    return found


def dirty_on_disk(setup: PrimarySetup, link: bytes) -> set[Region]:
    """What a primary's state directory counts dirty for a link: its maps, and, unless the stop was
    clean, every extent in the activity log (A3)."""
    geometry = setup.geometry
    image = setup.boards.get(link)
    if image is None or image.damaged:
        return _everything(geometry)
    found = _marked(image)
    if not setup.header.clean:
        if setup.hot is None:
            return _everything(geometry)
        for volume, extent in setup.hot:
            found |= {(volume, region) for region in geometry.regions_of_extent(volume, extent)}
    return found


def coming(site: RelaySite) -> set[Region]:
    """Regions of the frames that a relay has in its journal and has not given to its hops yet: it does so
    once they are durable, and a restart finds them there."""
    relayed = site.core.relay.path.sequence
    found: set[Region] = set()
    for each in site.journal.replay.frames:
        if each.sequence > relayed:
            found |= touched(each.operations, site.plan.geometry)
    return found


def hop_dirty_on_disk(
    setup: SecondarySetup, link: bytes, journaled: Sequence[tuple[Position, Sequence[Operation]]]
) -> set[Region]:
    """What a relay's state directory counts dirty for a hop: its maps, and the frames that are in the journal
    behind the base of the maps; everything where there is no whole journal and no clean stop (D4)."""
    geometry, header = setup.geometry, setup.header
    image = setup.boards.get(link)
    journal = header.journaling and header.resync is None
    whole = journal and setup.journal.start is not None and not setup.journal.damaged
    if image is None or image.damaged or header.fault or not (header.clean or whole):
        return _everything(geometry)
    found = _marked(image)
    base = -1 if image.base is None else image.base.sequence
    for position, operations in journaled if journal else ():
        if position.sequence > base:
            found |= touched(operations, geometry)
    return found


def touched(operations: Iterable[Operation], geometry: Geometry) -> set[Region]:
    """The regions that operations change."""
    return {
        (volume, region)
        for volume, _, offset, length in operations
        for region in geometry.regions_of(offset, length)
    }


def _everything(geometry: Geometry) -> set[Region]:
    return {(volume, region) for volume in geometry.sizes for region in range(geometry.regions(volume))}


def _marked(image: BoardImage) -> set[Region]:
    found: set[Region] = set()
    for (_, volume), data in image.maps.items():
        bits = bitarray(endian="little")
        bits.frombytes(data)
        found |= _set_bits(volume, bits)
    return found


def _set_bits(volume: int, bits: bitarray) -> set[Region]:
    return {(volume, region) for region in bits.search(bitarray("1"))} if bits.any() else set()


def listed(regions: set[Region]) -> str:
    """For a message."""
    shown = sorted(regions)
    return str(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
