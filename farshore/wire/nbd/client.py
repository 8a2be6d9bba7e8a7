"""The client's half of the NBD protocol: a handshake, requests as bytes, and replies out of a stream.

    greeting ─> flags and GO are sent ─> INFO ... ACK ─> Served
         │               └ an error reply ─> Refused
         └ ABORT is never needed: whoever does not like what it was served closes the connection

Simple replies only: they may come in any order, and nothing more is needed to read and write. Always true:
any split of a stream gives the same outcome; what a server may make us keep is bounded; bytes that follow
no rule are a ProtocolError, after which the connection is of no use. Nothing here owns a socket or a clock.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from farshore.errors import IllegalEvent, ProtocolError
from farshore.model.messages import Buffer
from farshore.wire.nbd.constants import (
    MIN_BLOCK,
    NBD_FLAG_C_FIXED_NEWSTYLE,
    NBD_FLAG_C_NO_ZEROES,
    NBD_FLAG_FIXED_NEWSTYLE,
    NBD_FLAG_NO_ZEROES,
    NBD_FLAG_READ_ONLY,
    NBD_IHAVEOPT,
    NBD_INFO_BLOCK_SIZE,
    NBD_INFO_DESCRIPTION,
    NBD_INFO_EXPORT,
    NBD_MAGIC,
    NBD_OPT_GO,
    NBD_REP_ACK,
    NBD_REP_INFO,
    NBD_REP_MAGIC,
    NBD_REQUEST_MAGIC,
    NBD_SIMPLE_REPLY_MAGIC,
)

REPLY_HEADER: Final = 16
"""Bytes of a simple reply, without data."""
_MOST_OPTION_REPLY: Final = 64 << 10
_MOST_OPTION_REPLIES: Final = 1000
_REP_ERROR: Final = 1 << 31

_GREETING: Final = struct.Struct(">QQH")
_OPTION: Final = struct.Struct(">QII")
_OPTION_REPLY: Final = struct.Struct(">QIII")
_EXPORT: Final = struct.Struct(">HQH")
_BLOCK_SIZE: Final = struct.Struct(">HIII")
_REPLY: Final = struct.Struct(">IIQ")
_pack_request = struct.Struct(">IHHQQI").pack

Reply: TypeAlias = tuple[int, int, memoryview | None]
"""(cookie, NBD error value or 0, data of a READ that succeeded). The data is a slice of the caller's buffer
and is valid only until that is reused."""


@dataclass(frozen=True, slots=True)
class Served:
    """The export is ours to use: the transmission phase begins with `leftover`. Sizes in bytes."""

    size: int
    flags: int
    description: str
    min_block: int
    leftover: bytes

    @property
    def read_only(self) -> bool:
        return bool(self.flags & NBD_FLAG_READ_ONLY)


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answers, and does not serve that export. `reason` is for people."""

    reason: str


Outcome: TypeAlias = Served | Refused


class ClientNegotiation:
    """One connection's handshake. Feed what arrives and send what that returns until `outcome` is set."""

    def __init__(self, export: str) -> None:
        self.outcome: Outcome | None = None
        self._export = export
        self._input = bytearray()
        self._greeted = False
        self._replies = 0
        self._size: tuple[int, int] | None = None
        self._description = ""
        self._min_block = MIN_BLOCK

    def feed(self, data: Buffer) -> bytes:
        """What to send now. Raises ProtocolError, and IllegalEvent once there is an outcome."""
        if self.outcome is not None:
            raise IllegalEvent(type(self.outcome).__name__, "feed")
        self._input += data
        sent = b""
        if not self._greeted:
            greeting = self._take(_GREETING.size)
            if greeting is None:
                return b""
            sent = self._greet(*_GREETING.unpack(greeting))
        while self._option_reply():
            pass
        return sent

    def _take(self, count: int) -> bytes | None:
        if len(self._input) < count:
            return None
        taken = bytes(self._input[:count])
        del self._input[:count]
        return taken

    def _greet(self, magic: int, option_magic: int, flags: int) -> bytes:
        if (magic, option_magic) != (NBD_MAGIC, NBD_IHAVEOPT) or not flags & NBD_FLAG_FIXED_NEWSTYLE:
            raise ProtocolError("the server does not speak fixed newstyle NBD")
        self._greeted = True
        name = self._export.encode()
        items = (NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE)
        asked = struct.pack(f">I{len(name)}sH{len(items)}H", len(name), name, len(items), *items)
        no_zeroes = NBD_FLAG_C_NO_ZEROES if flags & NBD_FLAG_NO_ZEROES else 0
        head = struct.pack(">I", NBD_FLAG_C_FIXED_NEWSTYLE | no_zeroes)
        return head + _OPTION.pack(NBD_IHAVEOPT, NBD_OPT_GO, len(asked)) + asked

    def _option_reply(self) -> bool:
        """Takes one reply to GO off the input; False where there is nothing more to be done."""
        if len(self._input) < _OPTION_REPLY.size:
            return False
        magic, option, kind, length = _OPTION_REPLY.unpack_from(self._input)
        if magic != NBD_REP_MAGIC or option != NBD_OPT_GO or length > _MOST_OPTION_REPLY:
            raise ProtocolError("the server's answer to GO is malformed")
        if len(self._input) < _OPTION_REPLY.size + length:
            return False
        self._replies += 1
        if self._replies > _MOST_OPTION_REPLIES:
            raise ProtocolError("the server does not come to an end with GO")
        self._take(_OPTION_REPLY.size)
        data = self._take(length) or b""
        if kind & _REP_ERROR:
            reason = data.decode("utf-8", "replace") or f"error {kind & ~_REP_ERROR}"
            self.outcome = Refused(f"export {self._export!r} was refused: {reason}")
        elif kind == NBD_REP_INFO:
            self._note(data)
        elif kind == NBD_REP_ACK:
            self._end()
        else:
            raise ProtocolError(f"the server answers GO with {kind}")
        return self.outcome is None

    def _note(self, data: bytes) -> None:
        if len(data) < 2:
            raise ProtocolError("an information item is cut short")
        item = int.from_bytes(data[:2], "big")
        if item == NBD_INFO_EXPORT and len(data) == _EXPORT.size:
            _, size, flags = _EXPORT.unpack(data)
            self._size = size, flags
        elif item == NBD_INFO_DESCRIPTION:
            self._description = data[2:].decode("utf-8", "replace")
        elif item == NBD_INFO_BLOCK_SIZE and len(data) == _BLOCK_SIZE.size:
            self._min_block = _BLOCK_SIZE.unpack(data)[1]

    def _end(self) -> None:
        if self._size is None:
            raise ProtocolError("the server does not say how large the export is")
        leftover = bytes(self._input)
        self._input.clear()
        self.outcome = Served(*self._size, self._description, self._min_block, leftover)


def request(command: int, flags: int, cookie: int, offset: int, length: int) -> bytes:
    """28 bytes. After those of a WRITE, its `length` bytes of data follow."""
    return _pack_request(NBD_REQUEST_MAGIC, flags, command, cookie, offset, length)


class Partial(NamedTuple):
    """A READ's answer that has begun: `have` of its `length` bytes of data stand at the end of what was
    parsed. A caller that receives the rest elsewhere does not show it to the parser."""

    cookie: int
    length: int
    have: int


class Parsed(NamedTuple):
    """`consumed`: index behind the last byte that the caller may forget; the rest is shown again, first, the
    next time. With `partial`, that begins at the reply's header."""

    consumed: int
    replies: list[Reply]
    partial: Partial | None = None


class ReplyParser:
    """The replies of one connection. `data_of(cookie)` is how many bytes of data a success brings (0 but for
    a READ), and None for a cookie that no request has."""

    __slots__ = ("_data_of",)

    def __init__(self, data_of: Callable[[int], int | None]) -> None:
        self._data_of = data_of

    def parse(self, buffer: memoryview, start: int, end: int) -> Parsed:
        """All complete replies in `buffer[start:end]`. Raises ProtocolError."""
        replies: list[Reply] = []
        position, unpack, data_of = start, _REPLY.unpack_from, self._data_of
        while position + REPLY_HEADER <= end:
            magic, error, cookie = unpack(buffer, position)
            length = data_of(cookie)
            if magic != NBD_SIMPLE_REPLY_MAGIC or length is None:
                raise ProtocolError("a reply of the server is malformed, or answers nothing that was asked")
            data_at = position + REPLY_HEADER
            if error or not length:
                replies.append((cookie, error, None))
                position = data_at
            elif data_at + length <= end:
                replies.append((cookie, 0, buffer[data_at : data_at + length]))
                position = data_at + length
            else:
                return Parsed(position, replies, Partial(cookie, length, end - data_at))
        return Parsed(position, replies)
