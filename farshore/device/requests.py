"""What programs have asked of the volume and not been answered: what may be sent, and what is sent again.

Always true of `flying`: no two requests in it touch the same byte, unless neither changes it. Whoever would
break that waits in `held_back` until the earlier one is answered, and the later ones that overlap it wait
behind it. From this follows all that a reconnect needs:

- What has no answer is sent again, as it was, and that is safe whether or not the engine had carried it out:
  carried out twice with nothing else changing those bytes in between, a write is the same write.
- A write that is sent again never lands on a newer one that was answered already: the newer one, touching the
  same bytes, was not sent before the older was answered. (An engine that died between the two could
  otherwise have answered the newer alone.) So the order of what is sent again does not matter either; it
  is the order in which the requests came.
- A flush covers what was answered before it came. That is with the engine, or in the page cache that
  outlives the engine, so a flush that is sent again to a new engine still covers it.

It owns no clock and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from farshore.model.messages import Buffer
from farshore.wire.nbd.constants import NBD_CMD_TRIM, NBD_CMD_WRITE, NBD_CMD_WRITE_ZEROES

_CHANGING: Final = frozenset((NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES))


class Request:
    """One request of the NBD protocol. `unique` is its cookie; `payload` is not reused before it is answered.

    `rest`: how many bytes behind this range are still to be done for the same question (a request of the
    protocol is shorter than 4 GiB). `kept`: what belongs to whoever made the request, untouched.
    """

    __slots__ = ("command", "end", "flags", "kept", "offset", "payload", "rest", "unique")

    def __init__(
        self, unique: int, command: int, offset: int, length: int, payload: Buffer | None = None
    ) -> None:
        self.unique = unique
        self.command = command
        self.flags = 0
        self.offset = offset
        self.end = offset + length
        self.payload = payload
        self.rest = 0
        self.kept: bytearray | None = None

    @property
    def length(self) -> int:
        return self.end - self.offset

    @property
    def changes(self) -> bool:
        """Whether it changes the bytes of its range."""
        return self.command in _CHANGING


class RequestTable:
    """See the module."""

    __slots__ = ("_changing", "flying", "held_back")

    def __init__(self) -> None:
        self.flying: dict[int, Request] = {}
        """By `unique`, oldest first: sent, or to be sent as soon as there is an engine."""
        self.held_back: list[Request] = []
        """Oldest first."""
        self._changing: dict[int, Request] = {}  # those of `flying` that change bytes

    def __len__(self) -> int:
        return len(self.flying) + len(self.held_back)

    def take(self, request: Request) -> bool:
        """A new request. False where it has to wait; `answered` tells when it may go."""
        if request.command in _CHANGING:
            if self._overlaps(request, self._changing.values()) or (
                self.held_back and self._overlaps(request, self.held_back)
            ):
                self.held_back.append(request)
                return False
            self._changing[request.unique] = request
        self.flying[request.unique] = request
        return True

    def data_of(self, unique: int) -> int | None:
        """Bytes of data that a successful answer brings, None where nothing of that name is under way."""
        request = self.flying.get(unique)
        if request is None:
            return None
        return 0 if request.command else request.end - request.offset  # NBD_CMD_READ is 0

    def answered(self, unique: int) -> list[Request]:
        """`flying[unique]` is done with. Returns what may be sent now."""
        del self.flying[unique]
        if self._changing.pop(unique, None) is None or not self.held_back:
            return []
        waiting, self.held_back = self.held_back, []
        return [request for request in waiting if self.take(request)]

    def give_up(self) -> list[Request]:
        """Everything, oldest first among those that flew and those that waited; none of it remains."""
        given_up = [*self.flying.values(), *self.held_back]
        self.flying.clear()
        self._changing.clear()
        self.held_back.clear()
        return given_up

    @staticmethod
    def _overlaps(request: Request, others: Iterable[Request]) -> bool:
        start, end = request.offset, request.end
        for other in others:  # noqa: SIM110 - a generator costs more than all of its comparisons
            if other.offset < end and start < other.end:
                return True
        return False
