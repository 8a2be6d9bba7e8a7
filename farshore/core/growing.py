"""A volume grows: first room at every copy, secondaries first, then one record in the stream.

*Room* is what a copy's file or device has been made to hold, durably and known in its header; all of it
behind the volume's size reads as zeroes. So what a volume gains is equal at all copies from the start, no
map has to be told of it, and it does not matter through what a copy learns of a size: the record in the
stream, or the greeting of its feeder. It makes the size durable before it takes anything behind it. A copy
without the room takes neither, and no copy ever becomes smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from farshore.core.actions import Action, Relayable
from farshore.core.geometry import Geometry
from farshore.core.link import LinkEvent
from farshore.core.outbox import HeaderKeeper, Outbox
from farshore.core.resize_actions import MakeRoom, VolumeGrown
from farshore.errors import FarshoreError
from farshore.model.header import Header, VolumeRoom
from farshore.model.messages import FrameHead
from farshore.model.positions import Position
from farshore.model.volumes import RESIZE, Operation

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder
    from farshore.core.follower import Follower
    from farshore.core.primary import Primary

ROOM_MADE, ROOM_FAILED, RESIZED = "room-made", "room-failed", "resized"
"""Notes that tell how it ended, each with its volume."""
_SEQUENCES: Final = 2
"""That have to be left: one for the record, one for a flush behind it."""
_LONE_RECORD: Final = 112
"""Bytes of a frame of one record without a payload."""


class Copy(Protocol):
    """What making room needs of a copy of either role."""

    outbox: Outbox
    keeper: HeaderKeeper
    geometry: Geometry


class Room:
    """Makes room at one copy, for one volume at a time."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._busy = False

    def make(self, volume: int, size: int) -> list[Action]:
        """Have room for `size` bytes; a note tells how that ended.

        Raises FarshoreError `not-found`, `wrong-state`, or `size-mismatch` for fewer bytes than there are.
        """
        copy, outbox = self._copy, self._copy.outbox
        has = _size_of(copy.geometry, volume)
        if size < has:
            raise _shrinks(volume, has, size)
        if self._busy:
            raise FarshoreError(
                "wrong-state",
                "room is being made for a volume of this copy already",
                means="nothing was changed",
                next_step="wait until that is done",
            )
        room = room_for(copy.keeper.header, volume, has)
        if room >= size:
            outbox.note(ROOM_MADE, volume=volume, size=room)
            return outbox.take()
        self._busy = True

        def made(errno: int) -> None:
            self._busy = False
            if errno:
                outbox.note(ROOM_FAILED, volume=volume, errno=errno)
                return
            now = copy.geometry.sizes[volume]
            fresh = with_room(copy.keeper.header, VolumeRoom(volume, now, max(size, now)))
            copy.keeper.put(fresh, lambda: outbox.note(ROOM_MADE, volume=volume, size=size))

        # A start finds a file that is longer than its volume, and knows from the header that this is so.
        known = with_room(copy.keeper.header, VolumeRoom(volume, has, room))
        begin = MakeRoom(outbox.ticket(made), volume, room, size)
        copy.keeper.put(known, lambda: outbox.emit(begin))
        return outbox.take()

    def made(self, ticket: int, errno: int) -> list[Action]:
        """The shell has done what `MakeRoom` asks for, or could not."""
        self._copy.outbox.settle(ticket, errno)
        return self._copy.outbox.take()


class Resizing:
    """A primary's volumes grow: durably in its header, then with a record of the stream."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self.room = Room(primary)
        self._due: dict[int, int] = {}
        """Sizes that are durable and whose record has not been issued, by volume."""

    def resize(self, volume: int, size: int) -> list[Action]:
        """Let a volume have `size` bytes, for which there is room; the note `resized` tells when it has.

        Raises FarshoreError `not-found`, `wrong-state`, or `size-mismatch` for fewer bytes than there are.
        """
        primary = self._primary
        header, has = primary.keeper.header, _size_of(primary.geometry, volume)
        if size < has:
            raise _shrinks(volume, has, size)
        if size == has:
            primary.outbox.note(RESIZED, volume=volume, size=size)
            return primary.outbox.take()
        if room_for(header, volume, has) < size or not self._flowing():
            raise FarshoreError(
                "wrong-state",
                "writes do not flow now, or there is no room for the new size",
                means="the volume has the size that it had",
                next_step="try again once writes flow: farshore status",
            )

        def durable() -> None:
            self._due[volume] = max(size, self._due.get(volume, 0))
            self.go_on()

        room = room_for(header, volume, has)
        primary.keeper.put(with_room(header, VolumeRoom(volume, size, room)), durable)
        return primary.outbox.take()

    def _flowing(self) -> bool:
        path = self._primary.path
        return not (path.held or path.blocked or path.fault) and path.ceiling - path.sequence >= _SEQUENCES

    def go_on(self) -> None:
        """Issue what is due. Until its record is issued nobody can write to what a volume gains."""
        primary = self._primary
        while self._due and self._flowing():
            volume, size = self._due.popitem()
            primary.geometry.grow(volume, size)
            primary.outbox.emit(VolumeGrown(volume, size))
            told = primary.path.issue_alone((volume, RESIZE, size, 0)).links
            _meet_anew(each for each in primary.feeders.values() if each.id not in told)
            primary.outbox.note(RESIZED, volume=volume, size=size, sequence=primary.path.sequence)


# -- at a copy that is fed ----------------------------------------------------------------------


def misfit(copy: Follower, volumes: Iterable[tuple[int, int]]) -> str:
    """Why the volumes of a feeder are not what this copy could have; empty where they are."""
    theirs, mine = dict(volumes), copy.geometry.sizes
    if theirs.keys() != mine.keys():
        return "the group has other volumes here"
    for volume, size in theirs.items():
        if size < mine[volume]:
            return f"volume {volume} has {mine[volume]} bytes here, and no volume becomes smaller than it was"
        if size > room_for(copy.keeper.header, volume, mine[volume]):
            return f"volume {volume} has {mine[volume]} bytes here, and no room for {size}"
    return ""


def follow(copy: Follower, volumes: Mapping[int, int], head: Position | None) -> None:
    """Have the sizes that a feeder has greeted with, which are none that `misfit` objects to; it stands at
    `head`. A primary that went down before it had issued the record of a size never does."""
    for volume, size in volumes.items():
        _adopt(copy, volume, size)
    copy.snapping.sizes.greeted(volumes, head.sequence if head is not None else 0)


def record_in(head: FrameHead, frame: Relayable) -> Operation | None:
    """The resize that a frame is, if it is one: that is alone, and has no payload."""
    if head.operations != 1 or head.size != _LONE_RECORD:
        return None
    operation = frame.operations[0]
    return operation if operation[1] == RESIZE else None


def unsettled(copy: Follower, head: FrameHead, frame: Relayable) -> bool:
    """Whether a frame is a resize, and the header does not durably know of it."""
    return not copy.keeper.idle and record_in(head, frame) is not None


def passes(copy: Follower, head: FrameHead, frame: Relayable) -> None:
    """The turn of a frame has come."""
    record = record_in(head, frame)
    if record is not None:
        copy.snapping.sizes.passes(record[0], record[2])


def take_record(copy: Follower, operation: Operation) -> str:
    """A resize has come: have that size at once, since what comes behind it is looked at before its turn;
    nothing of it is taken before the header has it. Why not, or nothing."""
    volume, _, size, _ = operation
    if size > room_for(copy.keeper.header, volume, copy.geometry.sizes.get(volume, -1)):
        return f"volume {volume} grows to {size} bytes, and there is no room for them here"
    _adopt(copy, volume, size)
    return ""


def _adopt(copy: Follower, volume: int, size: int) -> None:
    has, header = copy.geometry.sizes[volume], copy.keeper.header
    if size <= has:
        return
    copy.snapping.sizes.heard(volume)
    copy.geometry.grow(volume, size)
    copy.keeper.put(with_room(header, VolumeRoom(volume, size, room_for(header, volume, has))))
    copy.outbox.emit(VolumeGrown(volume, size))
    copy.outbox.note("volume-grown", volume=volume, size=size)
    _meet_anew(each for each in copy.relay.feeders.values() if not each.streaming)


# -- for both -----------------------------------------------------------------------------------


def room_for(header: Header, volume: int, has: int) -> int:
    """Bytes that a volume of `has` bytes may have at this copy."""
    return max([has, *[each.room for each in header.rooms if each.volume == volume]])


def with_room(header: Header, room: VolumeRoom) -> Header:
    """The header with this entry for a volume."""
    others = [each for each in header.rooms if each.volume != room.volume]
    return replace(header, rooms=tuple(sorted([*others, room], key=lambda each: each.volume)))


def _meet_anew(feeders: Iterable[Feeder]) -> None:
    """Peers that were greeted with the old sizes, and to which the record is not on its way."""
    why = "a volume has grown"
    for feeder in feeders:
        if feeder.session.begun:
            feeder.close("", why)
            feeder.stop(LinkEvent.LOST, why)
            feeder.session.retry.at_once()


def _size_of(geometry: Geometry, volume: int) -> int:
    if volume not in geometry.sizes:
        raise FarshoreError("not-found", f"the copy has no volume {volume}", means="nothing was changed")
    return geometry.sizes[volume]


def _shrinks(volume: int, has: int, wanted: int) -> FarshoreError:
    return FarshoreError(
        "size-mismatch",
        f"volume {volume} has {has} bytes, and {wanted} would be fewer",
        means="no volume becomes smaller: what lies behind the new end would be lost; nothing was changed",
        next_step="make a smaller volume, and copy there what you need",
    )
