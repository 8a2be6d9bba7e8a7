"""Builders of replies in the transmission phase.

Where structured replies were negotiated, READ and BLOCK_STATUS are always answered in chunks and everything
else by simple replies, which are shorter. Without them every answer is simple; READ's data follows its
header. Data itself is never copied here: headers are returned, the caller sends the data behind them.
Exactly the last chunk of a request carries `done`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from farshore.wire.nbd.constants import (
    NBD_CMD_BLOCK_STATUS,
    NBD_CMD_READ,
    NBD_MAX_STRING,
    NBD_REPLY_FLAG_DONE,
    NBD_REPLY_TYPE_BLOCK_STATUS,
    NBD_REPLY_TYPE_ERROR,
    NBD_REPLY_TYPE_ERROR_OFFSET,
    NBD_REPLY_TYPE_NONE,
    NBD_REPLY_TYPE_OFFSET_DATA,
    NBD_REPLY_TYPE_OFFSET_HOLE,
    NBD_SIMPLE_REPLY_MAGIC,
    NBD_STRUCTURED_REPLY_MAGIC,
)

# Magic, flags and type are packed as one number.
_CHUNK: Final = NBD_STRUCTURED_REPLY_MAGIC << 32
_DONE: Final = NBD_REPLY_FLAG_DONE << 16
_pack_simple = struct.Struct(">QQ").pack
_pack_chunk = struct.Struct(">QQI").pack
_pack_data = struct.Struct(">QQIQ").pack
_pack_hole = struct.Struct(">QQIQI").pack
_pack_error = struct.Struct(">QQIIH").pack
_pack_status = struct.Struct(">QQII").pack
_pack_offset = struct.Struct(">Q").pack


def simple_reply(cookie: int, error: int = 0) -> bytes:
    """16 bytes. To a successful READ without structured replies, its data follows."""
    return _pack_simple(NBD_SIMPLE_REPLY_MAGIC << 32 | error, cookie)


def simple_replies(cookies: Iterable[int], error: int = 0) -> bytes:
    """One simple reply for each cookie, in order."""
    taken = list(cookies)
    if len(taken) == 1:
        return _pack_simple(NBD_SIMPLE_REPLY_MAGIC << 32 | error, taken[0])
    words = [NBD_SIMPLE_REPLY_MAGIC << 32 | error] * (2 * len(taken))
    words[1::2] = taken
    return struct.pack(f">{len(words)}Q", *words)


def error_reply(command: int, cookie: int, error: int, *, structured: bool, message: str = "") -> bytes:
    """The whole answer to a request that failed before any chunk of it was sent."""
    if structured and command in (NBD_CMD_READ, NBD_CMD_BLOCK_STATUS):
        return error_chunk(cookie, error, message)
    return simple_reply(cookie, error)


def done_chunk(cookie: int) -> bytes:
    """Ends a structured reply; success if no error chunk came before."""
    return _pack_chunk(_CHUNK | _DONE | NBD_REPLY_TYPE_NONE, cookie, 0)


def offset_data_header(cookie: int, offset: int, length: int, *, done: bool = True) -> bytes:
    """Header of a chunk of data; exactly `length` (at least 1) bytes, read from `offset`, follow it."""
    if length < 1:
        raise ValueError("a data chunk describes at least one byte")
    head = _CHUNK | _DONE | NBD_REPLY_TYPE_OFFSET_DATA if done else _CHUNK | NBD_REPLY_TYPE_OFFSET_DATA
    return _pack_data(head, cookie, 8 + length, offset)


def offset_hole_chunk(cookie: int, offset: int, length: int, *, done: bool = True) -> bytes:
    """`length` (at least 1) bytes at `offset` read as zeroes. Not for a READ with DF that also has data."""
    if length < 1:
        raise ValueError("a hole chunk describes at least one byte")
    head = _CHUNK | (_DONE if done else 0) | NBD_REPLY_TYPE_OFFSET_HOLE
    return _pack_hole(head, cookie, 12, offset, length)


def error_chunk(cookie: int, error: int, message: str = "", *, done: bool = True) -> bytes:
    """The request failed; nothing is said of parts of it."""
    text = _message(error, message)
    head = _CHUNK | (_DONE if done else 0) | NBD_REPLY_TYPE_ERROR
    return _pack_error(head, cookie, 6 + len(text), error, len(text)) + text


def error_offset_chunk(
    cookie: int, error: int, offset: int, message: str = "", *, done: bool = True
) -> bytes:
    """The request failed at `offset`, which lies within it; data chunks before that stand."""
    text = _message(error, message)
    head = _CHUNK | (_DONE if done else 0) | NBD_REPLY_TYPE_ERROR_OFFSET
    return _pack_error(head, cookie, 14 + len(text), error, len(text)) + text + _pack_offset(offset)


def block_status_chunk(
    cookie: int, context_id: int, descriptors: Sequence[tuple[int, int]], *, done: bool = True
) -> bytes:
    """One context's answer: (length, flags) descriptors that follow one another from the request's offset."""
    if not descriptors:
        raise ValueError("a block status chunk has at least one descriptor")
    head = _CHUNK | (_DONE if done else 0) | NBD_REPLY_TYPE_BLOCK_STATUS
    count = 2 * len(descriptors)
    words = struct.pack(f">{count}I", *[word for descriptor in descriptors for word in descriptor])
    return _pack_status(head, cookie, 4 + len(words), context_id) + words


def _message(error: int, message: str) -> bytes:
    """The text of an error chunk, cut to the protocol's length of a string at a character's end."""
    if error == 0:
        raise ValueError("an error chunk needs an error")
    text = message.encode()
    if len(text) <= NBD_MAX_STRING:
        return text
    return text[:NBD_MAX_STRING].decode(errors="ignore").encode()
