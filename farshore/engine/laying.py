"""Brings a drill's overlays from a layer to a later position: the frames that lead there, laid into them.

The copy and its journal are only read. Frames come off the loop in slices, between which whoever takes
something away from the journal has its turn (see `looking`); they are written while nobody holds anything.
Each slice asks anew whether the way is still there, and each frame has to follow the one before: what has
gone is an error, never a shorter way. Nothing is shown to anybody before the last frame is in.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from farshore.core.preserve import FULL
from farshore.core.rewinding import Span, out_of_reach
from farshore.engine import rewindable
from farshore.engine.applied_frames import Applied
from farshore.engine.applying import steps_of
from farshore.engine.drill import LANE, Drill
from farshore.engine.looking import unread
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.overlay import Overlay
from farshore.engine.pool import Pool
from farshore.engine.rewind_look import SLICE, Found
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.errors import FarshoreError
from farshore.model.units import format_size
from farshore.model.volumes import WRITE
from farshore.wire.frame import Frame

LONGEST: Final = 300.0
"""Seconds after which it is given up."""
UNCHANGED: Final = "No drill was begun; the copy goes on as before."


class Way:
    """What leads from a layer to the position that a look has found, entry by entry of the journal."""

    def __init__(self, found: Found) -> None:
        assert found.layer.mark is not None
        self.layer = found.layer
        self.goal = found.position
        self.span = Span(found.layer.mark, found.position)

    def take(self, applied: Iterator[Applied], most: int) -> list[Frame]:
        """The next frames, about `most` bytes of them; `applied` is what the journal has from where the last
        call ended, and perhaps some before it. Raises OSError, and FarshoreError where they do not lead
        on."""
        frames, size = list[Frame](), 0
        for each in applied:
            if each.frame is not None and each.position.sequence <= self.span.reached.sequence:
                continue
            head = None if each.frame is None else each.frame.head
            if self.span.step(each.position, head) and each.frame is not None:
                frames.append(each.frame)
                size += each.frame.head.size
            if self.span.complete or size >= most:
                return frames
        self.span.require()
        return frames


class Laying:
    """See the module. `then` is told None once all of it is laid in, or as soon as the drill is `over`; else
    why that cannot be."""

    def __init__(
        self,
        role: SecondaryCopy,
        found: Found,
        drill: Drill,
        pool: Pool,
        then: Callable[[FarshoreError | None], None],
    ) -> None:
        self._role = role
        self._way = Way(found)
        self._drill = drill
        self._pool = pool
        self._then = then
        self.most = SLICE
        """Bytes of a slice, about."""
        self._until = role.core.outbox.now + LONGEST

    def go_on(self) -> None:
        """The next slice, once nothing is being taken away."""
        if self._drill.over or self._way.span.complete:
            self._then(None)
        elif self._role.core.outbox.now < self._until:
            self._role.frames.reads.beside(self._begin, self._read)
        else:
            self._then(_late())

    def _begin(self) -> Callable[[], list[Frame] | FarshoreError]:
        role, way = self._role, self._way
        journal, goal = role.frames.segments, way.goal.sequence
        try:
            frames = rewindable.frames(role.core, journal, way.layer, way.span.reached, goal)
        except FarshoreError as error:
            return partial(lambda gone: gone, error)
        return partial(_taken, way, frames, self.most)

    def _read(self, frames: list[Frame] | FarshoreError | OSError) -> None:
        if isinstance(frames, OSError):
            self._then(unread(frames))
        elif isinstance(frames, FarshoreError):
            self._then(frames)
        else:
            self._pool.submit(LANE, partial(lay, self._drill.overlays, frames), self._laid)

    def _laid(self, result: FarshoreError | OSError | None) -> None:
        if isinstance(result, OSError):
            self._then(self._refusal(result))
        elif result is not None:
            self._then(result)
        else:
            self.go_on()

    def _refusal(self, error: OSError) -> FarshoreError:
        layer, room = self._way.layer, self._drill.room
        if error.errno == errno.ESTALE:
            return out_of_reach(f"{layer.kind} {layer.name}, from which frames lead there, has gone")
        if error.errno not in FULL:
            return as_farshore_error(error, UNCHANGED)
        return FarshoreError(
            "store-full",
            f"what was written from {layer.kind} {layer.name} up to that time does not fit into the drill's"
            f" room of {format_size(room.limit)}: {error.strerror}",
            means=UNCHANGED,
            next_step="make room, or give the drill more: --limit SIZE; or begin it at a snapshot near that"
            " time: --at SNAPSHOT",
        )


def _taken(way: Way, applied: Iterator[Applied], most: int) -> list[Frame] | FarshoreError:
    try:
        return way.take(applied, most)
    except FarshoreError as error:
        return error if error.code.name == "not-rewindable" else out_of_reach(error.what)


def lay(overlays: Mapping[int, Overlay], frames: list[Frame]) -> FarshoreError | None:
    """Writes these frames, in order, and brings that to the disk, so that no flush of a client has to; what
    is for a volume that is not among them is left out. Blocks; raises OSError."""
    sizes = {volume: overlay.size for volume, overlay in overlays.items()}
    try:
        for whole in frames:
            for step in steps_of(whole, sizes, gone=True):
                overlay = overlays[step.volume]
                if step.operation == WRITE:
                    for offset, data in zip(step.offsets, step.payloads, strict=True):
                        overlay.write(data, offset)
                else:  # zeroes take no room here, whatever they took at the volume
                    overlay.zero(step.offset, step.end - step.offset, may_unmap=True)
    except FarshoreError as error:
        return out_of_reach(error.what)
    for overlay in overlays.values():
        overlay.sync()
    return None


def _late() -> FarshoreError:
    return FarshoreError(
        "timeout",
        f"what leads to that time could not be laid into the drill within {LONGEST:g} s",
        means=UNCHANGED,
        next_step="a time, or a snapshot, nearer to the newest snapshot before it",
    )
