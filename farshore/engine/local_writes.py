"""Carries out operations on the local volumes, in order, on the loop while the disk is fast.

A buffered write can stall for a long time when the kernel writes back. After one that took longer than
`SLOW`, batches go through one thread, still in order, until it has caught up with fast ones. What is
handed to the thread owns its bytes. Zeroes and trims of disks, which may take long by nature, always
go that way. Order between batches is never changed: while the thread has any, all go behind it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from farshore.engine.frame_buffer import frame_buffer_of
from farshore.engine.pool import Pool
from farshore.model.messages import Buffer
from farshore.model.volumes import TRIM, WRITE, ZERO, Operation
from farshore.store.volume import Volume

SLOW: Final = 0.005
"""Seconds."""
_KEY: Final = "writes"
_VOLUME_AND_CODE: Final = itemgetter(0, 1)

Errors = dict[int, int]
"""errno by the index of the operation."""


class LocalWrites:
    """See the module. `unsynced` gathers the volumes that were written to."""

    def __init__(self, volumes: Mapping[int, Volume], pool: Pool) -> None:
        self._volumes = volumes
        self._pool = pool
        self.later: Callable[[int, Errors], None] = _nobody
        """Told the ticket and the errors of a batch that went through the thread."""
        self._in_memory = all(volume.memory for volume in volumes.values())
        self._slow = False
        self.unsynced: set[int] = set(volumes)
        """Volumes with writes that no fdatasync has covered; all, until we have synced them once."""

    @property
    def aside(self) -> bool:
        """Whether batches go through the thread at present."""
        return self._slow or self._pool.busy(_KEY)

    def write(
        self,
        operations: Sequence[Operation],
        payloads: Sequence[Buffer | None],
        ticket: int,
    ) -> Errors | None:
        """The errors; None where it takes longer: then `later` is told them, from the loop."""
        if self._in_memory:
            errors = carry_out(self._volumes, operations, payloads)
        elif self.aside or {operation[1] for operation in operations} & {ZERO, TRIM}:
            self._write_aside(operations, payloads, ticket)
            return None
        else:
            began = time.monotonic()
            errors = carry_out(self._volumes, operations, payloads)
            self._slow = time.monotonic() - began > SLOW
        if len(self.unsynced) < len(self._volumes):
            self._not_synced(operations)
        return errors

    def _not_synced(self, operations: Sequence[Operation]) -> None:
        """Called when they have been written: an fdatasync that began before covers none of them."""
        self.unsynced.update([operation[0] for operation in operations if operation[1] <= TRIM])

    def _write_aside(
        self,
        operations: Sequence[Operation],
        payloads: Sequence[Buffer | None],
        ticket: int,
    ) -> None:
        owned = [None if payload is None else _owned(payload) for payload in payloads]

        def job() -> tuple[Errors, bool]:
            began = time.monotonic()
            errors = carry_out(self._volumes, operations, owned)
            return errors, time.monotonic() - began > SLOW

        def written(result: tuple[Errors, bool] | OSError) -> None:
            if isinstance(result, OSError):
                raise result  # `carry_out` reports the errors of disks; this is none
            errors, self._slow = result
            self._not_synced(operations)
            self.later(ticket, errors)

        self._pool.submit(_KEY, job, written)


def _nobody(_ticket: int, _errors: Errors) -> None:
    raise AssertionError("nobody waits for these writes")


def _owned(payload: Buffer) -> Buffer:
    """The same bytes, in a buffer that nobody will use again."""
    own = type(payload) is bytes or frame_buffer_of(payload) is not None
    return payload if own else bytes(payload)


def carry_out(
    volumes: Mapping[int, Volume], operations: Sequence[Operation], payloads: Sequence[Buffer | None]
) -> Errors:
    """Writes, zeroes and trims in order; other operations change nothing here. Every operation is tried."""
    if len(operations) == 1:
        return _carry_out_one(volumes, operations[0], payloads[0])
    errors: Errors = {}
    at = 0
    for (number, code), run in groupby(operations, _VOLUME_AND_CODE):
        first, offsets = at, [operation[2] for operation in run]
        at += len(offsets)
        if code == WRITE:
            pieces = payloads[first:at]
            for place, failed in volumes[number].write_many(offsets, pieces).items():  # type: ignore[arg-type]
                errors[first + place] = failed
        elif code <= TRIM:
            for index in range(first, at):
                for failed in _carry_out_one(volumes, operations[index], None).values():
                    errors[index] = failed
    return errors


def _carry_out_one(volumes: Mapping[int, Volume], operation: Operation, payload: Buffer | None) -> Errors:
    number, code, offset, length = operation
    try:
        if code == WRITE:
            volumes[number].write(payload, offset)  # type: ignore[arg-type]
        elif code <= TRIM:
            volumes[number].zero(offset, length, may_unmap=code == TRIM)
    except OSError as error:
        return {0: error.errno or errno.EIO}
    return {}
