"""Requests of the transmission phase: one pass over a receive buffer turns it into a list of tuples.

This is the hot path of every write, so one call parses all complete requests of a batch, a request is a
plain tuple, and valid READs and WRITEs take a branch without a call. Always true: any split of a stream
gives the same requests in the same order; a request that fails validation is returned with its error and
keeps the connection alive, its payload skipped; only a lost frame boundary (wrong magic) or a payload too
large to skip is fatal. Payloads are slices of the caller's buffer and are valid only until it is reused.
The parser executes nothing, answers nothing and copies no payload.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from farshore.wire.nbd.constants import (
    MAX_DRAINED_PAYLOAD,
    MAX_PAYLOAD,
    MIN_BLOCK,
    NBD_CMD_BLOCK_STATUS,
    NBD_CMD_CACHE,
    NBD_CMD_DISC,
    NBD_CMD_FLAG_DF,
    NBD_CMD_FLAG_FAST_ZERO,
    NBD_CMD_FLAG_FUA,
    NBD_CMD_FLAG_NO_HOLE,
    NBD_CMD_FLAG_REQ_ONE,
    NBD_CMD_FLUSH,
    NBD_CMD_READ,
    NBD_CMD_TRIM,
    NBD_CMD_WRITE,
    NBD_CMD_WRITE_ZEROES,
    NBD_EINVAL,
    NBD_ENOSPC,
    NBD_EPERM,
    NBD_REQUEST_MAGIC,
    NBD_SUCCESS,
)

REQUEST_HEADER: Final = 28  # bytes

# (command, flags, cookie, offset, length, payload or None, error). The error is 0, or the NBD error value
# to answer with at once; a request with an error has no payload.
Request: TypeAlias = tuple[int, int, int, int, int, memoryview | None, int]

# The first eight bytes (magic, flags, command) are read as one number: one comparison recognizes a request.
_UNPACK = struct.Struct(">QQQI").unpack_from
_PLAIN_READ: Final = NBD_REQUEST_MAGIC << 32 | NBD_CMD_READ
_PLAIN_WRITE: Final = NBD_REQUEST_MAGIC << 32 | NBD_CMD_WRITE

_MODIFYING = frozenset({NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES})
# Only these move their length in bytes over the connection. The others may span the whole export in one
# request: kernels send zeroes and trims of gigabytes whatever maximum block size they were told.
_CARRYING = frozenset({NBD_CMD_READ, NBD_CMD_WRITE})
# FUA has to be taken with every command once it is advertised, also where it means nothing.
_FLAGS_OF_COMMAND = {
    NBD_CMD_READ: NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF,
    NBD_CMD_WRITE: NBD_CMD_FLAG_FUA,
    NBD_CMD_FLUSH: NBD_CMD_FLAG_FUA,
    NBD_CMD_TRIM: NBD_CMD_FLAG_FUA,
    NBD_CMD_CACHE: NBD_CMD_FLAG_FUA,
    NBD_CMD_WRITE_ZEROES: NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
    NBD_CMD_BLOCK_STATUS: NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection's requests are measured against. Sizes in bytes; `min_block` a power of two.

    `block_status`: at least one metadata context was negotiated for this export.
    """

    size: int
    read_only: bool = False
    structured: bool = False
    block_status: bool = False
    min_block: int = MIN_BLOCK
    max_payload: int = MAX_PAYLOAD


class Partial(NamedTuple):
    """A valid WRITE whose header is here and whose payload is not, or not all of it.

    `payload_at` is the index in the buffer of the first payload byte; those up to `end` have arrived. A
    caller that receives the rest into a buffer of its own appends the request itself and does not show its
    bytes to the parser again.
    """

    command: int
    flags: int
    cookie: int
    offset: int
    length: int
    payload_at: int


class Parsed(NamedTuple):
    """The result of one pass (a named tuple because one is made per batch, and at depth 1 per request).

    `consumed`: index behind the last byte that the caller may forget; it shows the rest again, first, the
    next time. `need`: bytes, header included, that the incomplete request at `consumed` takes, 0 while its
    header is incomplete or there is none. `fatal`: empty, or why the connection must end.
    """

    consumed: int
    requests: list[Request]
    need: int = 0
    fatal: str = ""
    partial: Partial | None = None


class RequestParser:
    """The parser of one connection: its limits, and how much of a refused payload is still to come."""

    __slots__ = ("_draining", "_ended", "_limits", "_refused", "_write_end")

    def __init__(self, limits: Limits) -> None:
        self._draining = 0
        self._refused: Request | None = None
        self._ended: str | None = None
        self.limits = limits

    @property
    def limits(self) -> Limits:
        """Replaced as a whole when the export changes its size; holds from the next pass on."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        if limits.min_block < 1 or limits.min_block & limits.min_block - 1:
            raise ValueError("min_block is a power of two")
        self._limits = limits
        # -1 sends every write through the full validation where the short one would not be enough.
        self._write_end = -1 if limits.read_only or limits.min_block > 1 else limits.size

    @property
    def disconnected(self) -> bool:
        """The client has sent NBD_CMD_DISC: answer what is outstanding, then close."""
        return self._ended == ""

    def parse(self, buffer: memoryview, end: int, start: int = 0) -> Parsed:
        """Parse `buffer[start:end]`, the bytes of this connection that were not consumed before."""
        if self._ended is not None:
            return Parsed(end, [], fatal=self._ended)
        requests: list[Request] = []
        position = start
        if self._draining:
            position = self._drain(start, end, requests)
        append, size, write_end = requests.append, self._limits.size, self._write_end
        read_end = -1 if self._limits.min_block > 1 else size
        most, last_header = self._limits.max_payload, end - REQUEST_HEADER
        while position <= last_header:
            head, cookie, offset, length = _UNPACK(buffer, position)
            if head == _PLAIN_WRITE:
                payload_at = position + REQUEST_HEADER
                stop = payload_at + length
                if stop <= end and 0 < length <= most and offset + length <= write_end:
                    payload = buffer[payload_at:stop]
                    append((NBD_CMD_WRITE, 0, cookie, offset, length, payload, NBD_SUCCESS))
                    position = stop
                    continue
            elif head == _PLAIN_READ and 0 < length <= most and offset + length <= read_end:
                append((NBD_CMD_READ, 0, cookie, offset, length, None, NBD_SUCCESS))
                position += REQUEST_HEADER
                continue
            step = self._parse_one(buffer, position, end, requests)
            if isinstance(step, Parsed):
                return step
            position = step
        return Parsed(position, requests)

    def _parse_one(
        self, buffer: memoryview, position: int, end: int, requests: list[Request]
    ) -> int | Parsed:
        """Any request, with full validation: where the next one begins, or the result that ends this pass."""
        head, cookie, offset, length = _UNPACK(buffer, position)
        if head >> 32 != NBD_REQUEST_MAGIC:
            return self._fail(position, requests, "a request does not begin with the request magic")
        command, flags = head & 0xFFFF, head >> 16 & 0xFFFF
        payload_at = position + REQUEST_HEADER
        if command == NBD_CMD_DISC:
            self._ended = ""
            requests.append((command, flags, cookie, offset, length, None, NBD_SUCCESS))
            return Parsed(end, requests)
        error = self._validate(command, flags, offset, length)
        if command != NBD_CMD_WRITE:
            requests.append((command, flags, cookie, offset, length, None, error))
            return payload_at
        if length > MAX_DRAINED_PAYLOAD:
            return self._fail(position, requests, "a write announces more payload than can be skipped")
        stop: int = payload_at + length
        if error:
            # A client may not recognize the answer to a request that it is still sending.
            self._draining = length
            self._refused = (command, flags, cookie, offset, length, None, error)
            return self._drain(payload_at, end, requests)
        if stop > end:
            partial = Partial(command, flags, cookie, offset, length, payload_at)
            return Parsed(position, requests, REQUEST_HEADER + length, partial=partial)
        requests.append((command, flags, cookie, offset, length, buffer[payload_at:stop], error))
        return stop

    def _drain(self, position: int, end: int, requests: list[Request]) -> int:
        """Skip what is here of a refused payload; its request is answered once all of it has passed."""
        skipped = min(self._draining, end - position)
        self._draining -= skipped
        if not self._draining and self._refused is not None:
            requests.append(self._refused)
            self._refused = None
        return position + skipped

    def _fail(self, position: int, requests: list[Request], reason: str) -> Parsed:
        self._ended = reason
        return Parsed(position, requests, fatal=reason)

    def _validate(self, command: int, flags: int, offset: int, length: int) -> int:
        """The NBD error value that refuses this request, or 0. It needs the header alone."""
        limits = self._limits
        allowed = _FLAGS_OF_COMMAND.get(command)
        if allowed is None or flags & ~allowed:
            return NBD_EINVAL
        if flags & NBD_CMD_FLAG_DF and not limits.structured:
            return NBD_EINVAL
        if limits.read_only and command in _MODIFYING:
            return NBD_EPERM
        if command == NBD_CMD_FLUSH:
            return NBD_EINVAL if offset or length else NBD_SUCCESS
        if command == NBD_CMD_BLOCK_STATUS and not limits.block_status:
            return NBD_EINVAL
        # An empty operation has no place in a sequence of writes, and an empty READ no structured answer.
        if length == 0 or (offset | length) & limits.min_block - 1:
            return NBD_EINVAL
        if length > limits.max_payload and command in _CARRYING:
            return NBD_EINVAL
        if offset + length > limits.size:
            return NBD_ENOSPC if command in _MODIFYING else NBD_EINVAL
        return NBD_SUCCESS
