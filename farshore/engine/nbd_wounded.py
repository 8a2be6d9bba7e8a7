"""Reads that the local disk refuses: what of them can be read after all, and what a peer has to give.

A read that failed is tried once more in pieces of a region, by a thread, so that one bad sector does not take
its neighbours along. What is still missing is the core's business; its answer completes the request.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from farshore.engine.nbd_connection import Connection
from farshore.engine.nbd_exports import Source
from farshore.model.messages import Buffer
from farshore.wire.nbd.transmission import Request


@dataclass(slots=True, eq=False)
class Wounded:
    """A client's read of which `missing`, runs of (offset, length), could not be read."""

    connection: Connection
    request: Request
    data: bytearray
    missing: list[tuple[int, int]]
    errno: int

    def complete(self, found: Sequence[tuple[tuple[int, int, int], Buffer]]) -> bytearray:
        """The whole content; `found` as in `AnswerRead`."""
        start = self.request[3]
        for (_, offset, length), content in found:
            self.data[offset - start : offset - start + length] = content
        return self.data


def examine(
    volume: Source, connection: Connection, request: Request, region: int
) -> Wounded:  # may block, on a thread
    """Reads a request's range region by region."""
    _, _, _, offset, length, _, _ = request
    wounded = Wounded(connection, request, bytearray(length), [], 0)
    at, end = offset, offset + length
    while at < end:
        piece = min((at // region + 1) * region, end) - at
        try:
            wounded.data[at - offset : at - offset + piece] = volume.read(at, piece)
        except OSError as error:
            wounded.errno = error.errno or errno.EIO
            wounded.missing.append((at, piece))
        at += piece
    return wounded
