"""The receive buffer that all NBD connections share.

What one turn receives lies in it side by side, so that a batch of small writes of many clients costs
no allocation. Views into it are valid until the batch has been issued, at the latest at the end of
the turn; nothing that lives longer may refer to it. Connections keep incomplete requests themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW: Final = 136 << 10
"""Bytes that one connection receives at a time. A batch of this size stays in the processor's cache,
and the peer gets its share while we still write ours."""
LARGEST_WINDOW: Final = 512 << 10
"""For a connection whose requests do not fit into the usual window."""
_BYTES: Final = 2 << 20


class Arena:
    """`issue` must end every use of what was reserved; it is called when the buffer is full."""

    __slots__ = ("_issue", "used", "view")

    def __init__(self, issue: Callable[[], None]) -> None:
        self._issue = issue
        self.used = 0
        """Everything before this belongs to the turn's batch; whoever receives moves it forward, and the
        server back to 0 when the batch has been issued."""
        self.view = memoryview(bytearray(_BYTES))

    def reserve(self, size: int) -> int:
        """Where at least `size` bytes can be put, without using them up."""
        if self.used + size > _BYTES:
            self._issue()
            self.used = 0
        return self.used
