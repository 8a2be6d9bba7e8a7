"""How long the NBD parser and the reply builder take per request, in nanoseconds, at several batch sizes.

It measures the pure functions alone: no socket, no disk. Prints the best of several rounds, because on a
shared machine every disturbance only adds.
"""

from __future__ import annotations

import struct
import sys
import timeit
from collections.abc import Callable

from farshore.wire.nbd.constants import (
    NBD_CMD_FLAG_FUA,
    NBD_CMD_READ,
    NBD_CMD_TRIM,
    NBD_CMD_WRITE,
    NBD_REQUEST_MAGIC,
)
from farshore.wire.nbd.replies import offset_data_header, simple_replies
from farshore.wire.nbd.transmission import Limits, RequestParser

ROUNDS, REQUESTS_PER_ROUND = 9, 64_000
BLOCK = 4096


def batch(command: int, count: int, flags: int = 0) -> memoryview:
    """`count` requests of one block each, as they would lie in a receive buffer."""
    payload = bytes(BLOCK) if command == NBD_CMD_WRITE else b""
    made = bytearray()
    for number in range(count):
        cookie = 0x7F00_0000_0000 + 64 * number
        head = struct.pack(">IHHQQI", NBD_REQUEST_MAGIC, flags, command, cookie, number * BLOCK, BLOCK)
        made += head + payload
    return memoryview(made)


def nanoseconds(call: Callable[[], object], requests: int) -> float:
    """Per request, the best round of several."""
    number = max(1, REQUESTS_PER_ROUND // requests)
    return min(timeit.repeat(call, number=number, repeat=ROUNDS)) / number / requests * 1e9


def main() -> int:
    parser = RequestParser(Limits(size=1 << 40, structured=True, block_status=True))
    print(f"{'nanoseconds per request, batch of':<36}{1:>7}{8:>7}{32:>7}{128:>7}")
    for name, command, flags in (
        ("parse 4 KiB write", NBD_CMD_WRITE, 0),
        ("parse 4 KiB write with FUA", NBD_CMD_WRITE, NBD_CMD_FLAG_FUA),
        ("parse read", NBD_CMD_READ, 0),
        ("parse trim", NBD_CMD_TRIM, 0),
    ):
        row = []
        for count in (1, 8, 32, 128):
            buffer = batch(command, count, flags)
            if len(parser.parse(buffer, len(buffer)).requests) != count:
                return 1
            row.append(nanoseconds(lambda b=buffer: parser.parse(b, len(b)), count))  # type: ignore[misc]
        print(f"{name:<36}" + "".join(f"{figure:>7.0f}" for figure in row))
    row = [nanoseconds(lambda c=range(count): simple_replies(c), count) for count in (1, 8, 32, 128)]  # type: ignore[misc]
    print(f"{'simple replies':<36}" + "".join(f"{figure:>7.0f}" for figure in row))
    header = nanoseconds(lambda: offset_data_header(0x7F00_0000_0000, BLOCK, BLOCK), 1)
    print(f"{'header of a data chunk':<36}{header:>7.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
