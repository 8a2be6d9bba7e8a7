"""What waits to be sent on one descriptor: buffers in order, sent with as few calls as possible.

Buffers are kept as they were given and never copied, so they must not change until they are sent.
Frames can be dropped again as long as they have not begun to leave. Bounded by whoever queues: links
by the core's limit of a link's queue, replies to NBD clients by what a client may have outstanding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final, Protocol

from farshore.model.messages import Buffer

_VECTORS: Final = 64
"""Buffers of one call. The system would take more, but a socket is full long before."""

_LOOSE, _PREFIX, _BODY = 0, 1, 2


class Sink(Protocol):
    """What is sent to: a socket, or what stands in for one."""

    def send(self, data: Buffer, /) -> int: ...

    def sendmsg(self, buffers: Sequence[Buffer], /) -> int: ...


class Outbound:
    """A queue of buffers of bytes."""

    __slots__ = ("_begun", "_kinds", "_queue", "size")

    def __init__(self) -> None:
        self._queue: deque[Buffer] = deque()
        self._kinds: deque[int] = deque()
        self._begun = False  # the front belongs to a frame of which something has left
        self.size = 0
        """Bytes in the queue."""

    def __bool__(self) -> bool:
        return bool(self._queue)

    def append(self, buffer: Buffer) -> None:
        """Behind everything queued before."""
        self._queue.append(buffer)
        self._kinds.append(_LOOSE)
        self.size += len(buffer)

    def append_frame(self, prefix: bytes, body: Buffer) -> None:
        """A frame and what goes before it on the line."""
        self._queue += (prefix, body)
        self._kinds += (_PREFIX, _BODY)
        self.size += len(prefix) + len(body)

    def send_to(self, sock: Sink) -> int:
        """Sends what the socket takes now and returns those bytes. Raises OSError when it is broken."""
        queue = self._queue
        if len(queue) == 1:  # nearly always, and then nearly always all of it
            head = queue[0]
            try:
                total = sock.send(head)
            except BlockingIOError:
                return 0
            if total == len(head):
                queue.clear()
                self._kinds.clear()
                self._begun = False
                self.size = 0
            else:
                self.sent(total)
            return total
        total = 0
        while queue:
            try:
                sent = sock.sendmsg(list(islice(queue, _VECTORS)))
            except BlockingIOError:
                break
            total += sent
            if self.sent(sent):
                break
        return total

    def first(self, most: int) -> memoryview:
        """At most that many bytes of the oldest buffer, which must exist; `sent` takes them away."""
        return memoryview(self._queue[0])[:most]

    def sent(self, size: int) -> bool:
        """Takes `size` bytes from the front. True if that ended within a buffer."""
        queue, kinds = self._queue, self._kinds
        self.size -= size
        while size:
            head, kind = queue[0], kinds[0]
            taken = min(size, len(head))
            if taken < len(head):
                queue[0] = memoryview(head)[taken:]
                self._begun = kind != _LOOSE
                return True
            size -= taken
            self._begun = kind == _PREFIX
            queue.popleft()
            kinds.popleft()
        return False

    def drop_frames(self) -> None:
        """Forgets queued frames, except the rest of one that has begun to leave: the other end could
        not make sense of what is queued behind it."""
        whole = list(zip(self._queue, self._kinds, strict=True))
        begun = 0
        if self._begun:
            begun = 2 if whole[0][1] == _PREFIX else 1
        kept = [each for at, each in enumerate(whole) if at < begun or each[1] == _LOOSE]
        self._queue = deque(buffer for buffer, _ in kept)
        self._kinds = deque(kind for _, kind in kept)
        self.size = sum(len(buffer) for buffer in self._queue)

    def clear(self) -> None:
        """Forgets everything."""
        self._queue.clear()
        self._kinds.clear()
        self._begun = False
        self.size = 0
