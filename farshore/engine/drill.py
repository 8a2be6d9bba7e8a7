"""One drill: volumes that can be written, over a layer, while the copy goes on following its primary.

What clients write goes to a thread, in the order in which it came, and is answered from there; flushes and
FUA wait for the disk. It belongs to this process: it ends with it, or when its layer goes, and leaves
nothing. The layer is the drill's own, or a snapshot that stays.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from farshore.core.moments import moment
from farshore.core.write_path import Batch
from farshore.engine.nbd_tokens import Answers, Token
from farshore.engine.overlay import Overlay, Room
from farshore.engine.pool import Pool
from farshore.model.layers import Layer
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.model.volumes import TRIM, WRITE, Operation

LANE: Final = "drill"
"""Of the pool: one thread writes at a time, in order."""
Writes: TypeAlias = tuple[Sequence[Operation], Sequence[Buffer | None], set[int]]
"""Operations, their payloads, and which of them have FUA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a drill began with."""

    id: bytes
    layer: Layer
    own_layer: bool
    """It was taken for this drill, and goes with it."""
    position: Position | None
    """Where the data stands: at the layer's mark, or behind it where frames were laid over the layer."""
    at: float | None = None
    """The time that was wished for, seconds since the epoch; None where it was none."""
    unix: str
    """The socket where its volumes are opened."""
    as_of: float | None
    """Seconds since the epoch: of when the data is, as far as that is known."""
    started: float
    """Seconds since the epoch."""


class Drill:
    """See the module."""

    def __init__(self, basis: Basis, overlays: Mapping[int, Overlay], room: Room) -> None:
        self.basis = basis
        self.overlays: Mapping[int, Overlay] = overlays
        self.room = room
        self.offered = False
        """Whether clients can open it by now."""
        self.over = ""
        """Why it has ended; empty while it goes on."""
        self.first_write: float | None = None
        """When the first write of a client was acknowledged, seconds since the epoch."""
        self.written = 0
        """Bytes that clients have written."""
        self.refused = 0
        """Writes that ended with an error."""
        self.used = 0
        """Bytes on the disk when it ended."""

    # -- writing ----------------------------------------------------------------------------

    def carry_out(self, batch: Batch, pool: Pool, answers: Answers, wall: Callable[[], float]) -> None:
        """A turn's writes and flushes of this drill's clients."""
        operations = list(batch.operations)
        # What was received lies in a buffer that the next turn uses again.
        payloads = [None if each is None else bytes(each) for each in batch.payloads]
        tokens: list[Token] = list(batch.tokens)  # type: ignore[arg-type]
        flushes: list[Token] = list(batch.flushes)  # type: ignore[arg-type]
        durable = set(batch.durable)
        overlays = self.overlays  # they last until this is done, whatever becomes of the drill

        def done(errors: list[int] | OSError) -> None:
            assert not isinstance(errors, OSError)
            for token, failed in zip((*tokens, *flushes), errors, strict=True):
                answers.take((token,), failed)
            good = [
                each for each, failed in zip(operations, errors[: len(operations)], strict=True) if not failed
            ]
            self.refused += len(operations) - len(good)
            self.written += sum(length for _, _, _, length in good)
            if good and self.first_write is None:
                self.first_write = wall()

        pool.submit(LANE, partial(_run, overlays, (operations, payloads, durable), len(flushes)), done)

    # -- the operator -----------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """For a status document."""
        basis, why = self.basis, self.over
        mark = basis.position
        return {
            "id": basis.id.hex(),
            "state": "ended" if why else "running" if self.offered else "beginning",
            "why": why,
            "layer": basis.layer.id.hex(),
            "snapshot": None if basis.own_layer else basis.layer.name,
            "at": moment(basis.at),
            "generation": None if mark is None else mark.generation.hex(),
            "sequence": None if mark is None else mark.sequence,
            "data_as_of": moment(basis.as_of),
            "data_age_seconds": None if basis.as_of is None else max(0.0, basis.started - basis.as_of),
            "started": moment(basis.started),
            "first_write": moment(self.first_write),
            "written_bytes": self.written,
            "refused_writes": self.refused,
            "used_bytes": self.used if why else self.room.used,
            "limit_bytes": self.room.limit,
        }


def prove(overlays: Mapping[int, Overlay]) -> None:
    """One write to each volume, of what is there anyway. Blocks; raises OSError."""
    for overlay in overlays.values():
        length = min(512, overlay.size)
        overlay.write(overlay.read(0, length), 0)
        overlay.sync()


def _run(overlays: Mapping[int, Overlay], writes: Writes, flushes: int) -> list[int]:
    """The errno of each write and of each flush."""
    operations, payloads, durable = writes
    errors = [_errno(_one, overlays, each, data) for each, data in zip(operations, payloads, strict=True)]
    touched = {operations[index][0] for index in durable if not errors[index]}
    synced = {volume: _errno(overlays[volume].sync) for volume in touched}
    for index in durable:
        errors[index] = errors[index] or synced.get(operations[index][0], 0)
    failed = next((code for each in overlays.values() if (code := _errno(each.sync))), 0) if flushes else 0
    return [*errors, *[failed] * flushes]


def _one(overlays: Mapping[int, Overlay], operation: Operation, data: Buffer | None) -> None:
    volume, code, offset, length = operation
    if code == WRITE:
        assert data is not None
        overlays[volume].write(data, offset)
    else:
        overlays[volume].zero(offset, length, may_unmap=code == TRIM)


def _errno(call: Callable[..., None], *arguments: Any) -> int:
    try:
        call(*arguments)
    except OSError as error:
        return error.errno or errno.EIO
    return 0
