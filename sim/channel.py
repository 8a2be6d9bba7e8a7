"""One end of a link's connection, as a process uses it: units out in order, units in one by one.

Units are the real bytes of `farshore.wire`, so that the codec that ships is what runs here. What is
queued waits until the connection takes it; a unit that came in keeps its room in the connection's
window until it has been handled, so that a receiver that holds stops its sender.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from farshore.errors import ProtocolError
from farshore.model.messages import Buffer, Message
from farshore.wire import session
from sim.net import End


@dataclass(slots=True)
class Unit:
    """Bytes to be sent; `left` counts those that the connection has not taken."""

    data: bytes
    frame: bool
    left: int


class Channel:
    """See the module."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.backlog = 0
        """Bytes that the connection has not taken yet."""
        self.reported = -1
        """The backlog that the core was last told of; -1 once more was queued since, which the core
        counts by itself until it is told."""
        self.queued = 0
        """Bytes of all units so far."""
        self.closing = False
        self._out: deque[Unit] = deque()
        self._in: deque[tuple[int, memoryview, int]] = deque()
        self._begun = 0
        """Bytes of the unit that is still coming in: they are in our memory, not in the window."""

    # -- out ------------------------------------------------------------------------------------

    def send_message(self, message: Message) -> None:
        """Queues a message."""
        self._push(b"".join(session.encode(message)), False)

    def send_frame(self, data: Buffer) -> None:
        """Queues an encoded frame."""
        self._push(session.frame_prefix(len(data)) + bytes(data), True)

    def _push(self, data: bytes, frame: bool) -> None:
        if self.closing or self.end.closed:
            return
        self._out.append(Unit(data, frame, len(data)))
        self.backlog += len(data)
        self.queued += len(data)
        self.reported = -1
        self.pump()

    def pump(self) -> None:
        """Hands the connection what it takes."""
        out, end = self._out, self.end
        while out and (room := end.room()):
            unit = out[0]
            start = len(unit.data) - unit.left
            part = unit.data[start : start + room]
            end.send(part)
            unit.left -= len(part)
            self.backlog -= len(part)
            if not unit.left:
                out.popleft()
        if self.closing and (not out or end.closed):
            end.close()

    def close(self) -> None:
        """Ends the channel after what was queued last, without the frames in between."""
        if self.closing:
            return
        begun = [unit for unit in list(self._out)[:1] if unit.left < len(unit.data)]
        last = [unit for unit in list(self._out)[-1:] if not unit.frame and unit not in begun]
        self._out = deque((*begun, *last))
        self.backlog = sum(unit.left for unit in self._out)
        self.closing = True
        self.pump()

    def abandon(self) -> None:
        """Ends the channel at once."""
        self.closing = True
        self._out.clear()
        self._in.clear()
        self.end.close()

    # -- in -------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Splits what has arrived into units. Raises ProtocolError."""
        data = bytes(self.end.inbox)
        batch = session.split(data, 0, len(data))
        for kind, body in batch.units:
            self._in.append((kind, body, len(body) + session.PREFIX_BYTES - self._begun))
            self._begun = 0
        del self.end.inbox[: batch.consumed]
        left = len(data) - batch.consumed
        self.end.used(left - self._begun)
        self._begun = left

    @property
    def waiting(self) -> bool:
        """True when a unit can be taken."""
        return bool(self._in)

    def next_unit(self) -> tuple[int, memoryview] | None:
        """The next unit that came in; its room is given back. None when there is none."""
        if not self._in:
            return None
        kind, body, room = self._in.popleft()
        self.end.used(room)
        return kind, body


def decode(kind: int, body: memoryview) -> Message:
    """A message that is no frame. Raises ProtocolError."""
    if kind == session.FRAME:
        raise ProtocolError("a frame has come from a follower")
    return session.decode(kind, body)
