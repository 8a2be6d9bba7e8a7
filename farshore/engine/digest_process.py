"""The process beside an engine that reads volumes and computes digests of their regions.

It exists because a thread that did this would take the interpreter from the data path for many
microseconds at a time, and gives way to it where processors are short (rule E5). It is started with
descriptors that can only read, answers requests in order on the socket that is its standard input, and
ends with the engine.

A request is (id, volume, offset, length, region size), the answer (id, errno, count) and 16 bytes
for each region: the xxh3-128 of its bytes. Both little-endian.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from functools import lru_cache
from typing import Final

from xxhash import xxh3_128_digest

REQUEST: Final = struct.Struct("<QIIQQ")
"""id, volume, region size, offset, length."""
ANSWER: Final = struct.Struct("<QII")
"""id, errno, number of digests."""
DIGEST_BYTES: Final = 16
GIVING_WAY: Final = 10
"""How much nicer this process is than the engine."""


@lru_cache(maxsize=8)
def _of_zeroes(length: int) -> bytes:
    return xxh3_128_digest(bytes(length))


def digests(fd: int, offset: int, length: int, region: int) -> bytes:
    """Of each region of the range; the last one may be short. Raises OSError."""
    end = offset + length
    pieces: list[bytes] = []
    data_at = offset  # the next byte that may be something else than zero
    while offset < end:
        size = min(region, end - offset)
        if data_at < offset + size:
            data_at = max(data_at, _next_data(fd, offset, end))
        if data_at >= offset + size:
            pieces.append(_of_zeroes(size))
        else:
            pieces.append(xxh3_128_digest(_read(fd, size, offset)))
            data_at = offset + size
        offset += size
    return b"".join(pieces)


def _next_data(fd: int, offset: int, end: int) -> int:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return end
        return offset  # holes are not told here


def _read(fd: int, size: int, offset: int) -> bytes:
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise OSError(errno.EIO, "the volume ends early")
        data += more
    return data


def serve(sock: socket.socket, volumes: dict[int, int]) -> None:
    """Answers until the other end closes."""
    while True:
        request = b""
        while len(request) < REQUEST.size:
            piece = sock.recv(REQUEST.size - len(request))
            if not piece:
                return
            request += piece
        number, volume, region, offset, length = REQUEST.unpack(request)
        try:
            answer, error = digests(volumes[volume], offset, length, region), 0
        except OSError as failure:
            answer, error = b"", failure.errno or errno.EIO
        sock.sendall(ANSWER.pack(number, error, len(answer) // DIGEST_BYTES) + answer)


def main(arguments: list[str]) -> None:
    """Arguments are `VOLUME=DESCRIPTOR`."""
    os.nice(GIVING_WAY)
    pairs = (argument.split("=") for argument in arguments)
    with socket.socket(fileno=os.dup(0)) as sock:
        serve(sock, {int(volume): int(fd) for volume, fd in pairs})


if __name__ == "__main__":
    main(sys.argv[1:])
