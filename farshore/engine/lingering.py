"""A short wait for the rest of what a client is sending (rule of thumb, not of the law).

A client with many requests under way gets its answers at once and writes the next requests one by one.
Whoever reads between two of them makes small batches, and each batch costs the same calls on its way
through the house. So where much less came than this client usually sends at once, the processor is offered
to it a few times, and what came meanwhile is taken along. Nobody sleeps: where nothing comes, the loss is
some microseconds.
"""

from __future__ import annotations

import os
from typing import Final, Protocol

_OFFERS: Final = 3


class Readable(Protocol):
    """A socket that does not block."""

    def recv_into(self, buffer: memoryview) -> int:
        """Bytes taken; 0 at the end of the stream. Raises OSError."""
        ...


def rest(sock: Readable, view: memoryview) -> int:
    """Bytes that came into `view` meanwhile. The end of the stream, or an error, is for the next read."""
    came = 0
    for _ in range(_OFFERS):
        os.sched_yield()
        try:
            size = sock.recv_into(view[came:])
        except OSError:
            continue  # mostly: nothing has come
        if not size:
            break
        came += size
    return came
