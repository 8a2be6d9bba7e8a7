"""Growing volumes in memory: what a start finds, and what the shells of the core's tests do for it."""

from typing import TYPE_CHECKING

from farshore.core import growing
from farshore.core.geometry import Geometry
from farshore.core.resize_actions import MakeRoom, OfSizes
from farshore.model.header import Header

if TYPE_CHECKING:
    from tests.unit.core.disk import Disk
    from tests.unit.core.shells import Shell


def sized(geometry: Geometry, header: Header) -> Geometry:
    """The geometry of a copy that starts: volumes as they were first, grown by what its header says."""
    found = geometry.copied()
    for each in header.rooms:
        found.grow(each.volume, each.size)
    return found


def alike(mine: bytes | bytearray, theirs: bytes | bytearray) -> bool:
    """Whether two copies of a volume hold the same; one that has no room for more yet holds zeroes there."""
    length = max(len(mine), len(theirs))
    return mine == theirs or mine.ljust(length, b"\0") == theirs.ljust(length, b"\0")


def carry_out(shell: "Shell", disk: "Disk", room: growing.Room, action: OfSizes) -> None:
    """Room is made durably; who opens a volume later does not matter here."""
    if isinstance(action, MakeRoom):
        volume, start, size = action.volume, action.start, action.size
        ticket = action.ticket
        shell.finish(
            action, lambda _: disk.make_room(volume, start, size), lambda errno: room.made(ticket, errno)
        )
