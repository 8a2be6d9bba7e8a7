"""Answers requests that change nothing: READ, CACHE and BLOCK_STATUS, from the local volumes.

They need no place in the sequence of writes, so the core is not asked: a write that was acknowledged
is in the local volume already, and overlapping requests that are both unanswered may be answered in
either order. What is in memory is read on the loop, at the end of the turn, behind the turn's writes;
what is not is read by a thread. A client's answers are read only as far ahead as it takes them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from farshore.engine.nbd_connection import Connection
from farshore.engine.nbd_exports import Source, link_of_context
from farshore.engine.nbd_tokens import Answers
from farshore.engine.nbd_wounded import Wounded, examine
from farshore.engine.pool import Pool
from farshore.model.messages import Buffer
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.block_status import descriptors
from farshore.wire.nbd.errnos import nbd_error
from farshore.wire.nbd.replies import (
    block_status_chunk,
    error_reply,
    offset_data_header,
    simple_reply,
)
from farshore.wire.nbd.transmission import REQUEST_HEADER, Request

READ_AHEAD: Final = 8 << 20
"""Bytes of answers that may wait for a client before its next read is begun."""

DirtyExtents: TypeAlias = Callable[[str, int, int, int], Iterable[tuple[int, bool]]]
"""(link's name, volume, offset, length) -> runs of (length, dirty)."""
_Runs: TypeAlias = list[tuple[int, int]]


Failed: TypeAlias = Callable[[Wounded, Sequence[tuple[int, int, int]], int], None]
"""Takes a read, what of it is missing as (volume, offset, length), and the errno; answered by `rescued`."""


@dataclass(frozen=True, slots=True)
class Rescuer:
    """Whom a failed read is handed to (rule C3)."""

    region: int
    """Bytes that are lost together."""
    failed: Failed
    faulted: Callable[[], bool]
    """Whether nothing may be answered."""


class Reads:
    """See the module."""

    def __init__(
        self, answers: Answers, pool: Pool, dirty_extents: DirtyExtents, rescuer: Rescuer | None
    ) -> None:
        self._answers = answers
        self._rescuer = rescuer
        self._pool = pool
        self._dirty_extents = dirty_extents
        self.begun: list[Connection] = []
        """Clients with reads that came in this turn."""

    def request(self, connection: Connection, request: Request) -> None:
        """Takes a request; a READ waits for the end of the turn."""
        command = request[0]
        if command == nbd.NBD_CMD_READ:
            connection.pending -= REQUEST_HEADER
            if not connection.reads:
                self.begun.append(connection)
            connection.reads.append(request)
        elif command == nbd.NBD_CMD_CACHE:
            self._cache(connection, request)
        else:
            self._block_status(connection, request)

    def serve(self) -> None:
        """At the end of a turn, when its writes have been issued: reads what there is room for."""
        begun, self.begun = self.begun, []
        for connection in begun:
            self.resume(connection)

    def resume(self, connection: Connection) -> None:
        """Goes on with a client's reads after answers have left."""
        reads = connection.reads
        connection.busy_reading()
        while reads and connection.outbound.size + connection.reading < READ_AHEAD:
            self._read(connection, reads.popleft())
        self._answers.touch(connection)

    def _read(self, connection: Connection, request: Request) -> None:
        _, _, _, offset, length, _, _ = request
        assert connection.export is not None
        volume = connection.export.volume
        if self._rescuer is not None and self._rescuer.faulted():
            self._answer_read(connection, request, OSError(errno.EIO, "the copy is faulted"))
            return
        try:
            data = volume.read_nowait(offset, length)
        except OSError as error:
            self._failed(connection, request, error)
            return
        if data is not None:
            self._answer_read(connection, request, data)
            return
        connection.reading += length

        def done(result: Buffer | OSError) -> None:
            connection.reading -= length
            if isinstance(result, OSError):
                self._failed(connection, request, result)
            else:
                self._answer_read(connection, request, result)
            self.resume(connection)

        self._pool.submit(object(), partial(volume.read, offset, length), done)

    def _failed(self, connection: Connection, request: Request, error: OSError) -> None:
        rescuer, volume = self._rescuer, connection.export.volume if connection.export is not None else None
        if rescuer is None or volume is None:
            self._answer_read(connection, request, error)
            return
        connection.reading += request[4]

        def examined(found: Wounded | OSError) -> None:
            if isinstance(found, OSError):
                raise found  # `examine` keeps the errors of disks; this is none
            if connection.export is not None and found.missing:
                spans = [(connection.export.id, offset, length) for offset, length in found.missing]
                rescuer.failed(found, spans, found.errno)
            else:
                self.rescued(found, [], 0)

        job = partial(examine, volume, connection, request, rescuer.region)
        self._pool.submit(object(), job, examined)

    def rescued(
        self, read: Wounded, found: Sequence[tuple[tuple[int, int, int], Buffer]], failed: int
    ) -> None:
        """What was missing has come from elsewhere, or not."""
        read.connection.reading -= read.request[4]
        result = OSError(failed, os.strerror(failed)) if failed else read.complete(found)
        self._answer_read(read.connection, read.request, result)
        self.resume(read.connection)

    def _answer_read(self, connection: Connection, request: Request, data: Buffer | OSError) -> None:
        command, _, cookie, offset, length, _, _ = request
        if isinstance(data, OSError):
            error = nbd_error(data.errno)
            connection.send(error_reply(command, cookie, error, structured=connection.structured))
        elif connection.structured:
            connection.send(offset_data_header(cookie, offset, length))
            connection.send(data)
        else:
            connection.send(simple_reply(cookie))
            connection.send(data)

    def _cache(self, connection: Connection, request: Request) -> None:
        _, _, cookie, offset, length, _, _ = request
        assert connection.export is not None
        volume = connection.export.volume

        def done(result: OSError | None) -> None:
            connection.pending -= REQUEST_HEADER
            error = nbd_error(result.errno) if isinstance(result, OSError) else 0
            connection.send(simple_reply(cookie, error))
            self._answers.touch(connection)

        self._pool.submit(object(), partial(volume.prefetch, offset, length), done)

    def _block_status(self, connection: Connection, request: Request) -> None:
        assert connection.export is not None
        volume, (_, flags, _, offset, length, _, _) = connection.export.volume, request
        one = bool(flags & nbd.NBD_CMD_FLAG_REQ_ONE)

        def done(result: _Runs | OSError) -> None:
            connection.pending -= REQUEST_HEADER
            self._answer_status(connection, request, result)
            self._answers.touch(connection)

        # Finding holes moves the volume's file position, which therefore belongs to one thread.
        self._pool.submit(volume.lane, partial(_holes, volume, offset, length, one), done)

    def _answer_status(self, connection: Connection, request: Request, allocation: _Runs | OSError) -> None:
        command, flags, cookie, offset, length, _, _ = request
        if isinstance(allocation, OSError):
            error = nbd_error(allocation.errno)
            connection.send(error_reply(command, cookie, error, structured=True))
            return
        assert connection.export is not None
        one = bool(flags & nbd.NBD_CMD_FLAG_REQ_ONE)
        last = len(connection.contexts) - 1
        for number, (context, name) in enumerate(connection.contexts):
            link = link_of_context(name)
            if link is None:
                runs = allocation
            else:
                marks = self._dirty_extents(link, connection.export.id, offset, length)
                flagged = ((run, nbd.FARSHORE_STATE_DIRTY if dirty else 0) for run, dirty in marks)
                runs = descriptors(flagged, length, req_one=one)
            connection.send(block_status_chunk(cookie, context, runs, done=number == last))


def _holes(volume: Source, offset: int, length: int, one: bool) -> _Runs:
    hole = nbd.NBD_STATE_HOLE | nbd.NBD_STATE_ZERO
    runs = ((run, hole if empty else 0) for run, empty in volume.extents(offset, length))
    return descriptors(runs, length, req_one=one)
