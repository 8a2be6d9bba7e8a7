"""Data of the options that carry some, decoded: names, information requests, queries for metadata contexts.

Every length is checked against what was sent before it is used, and nothing may be left over; what is wrong
is one exception, InvalidOptionError, whose text may be shown to the client. Decoding decides nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from farshore.errors import ProtocolError
from farshore.wire.nbd.constants import NBD_MAX_STRING


class InvalidOptionError(ProtocolError):
    """The data of an option is malformed. The negotiation answers it; it ends the connection only for
    EXPORT_NAME, which has no error reply."""


@dataclass(frozen=True, slots=True)
class InfoRequest:
    """Data of INFO and GO; `items` may name information that nobody knows."""

    export: str
    items: frozenset[int]


@dataclass(frozen=True, slots=True)
class MetaContextQuery:
    """Data of LIST_META_CONTEXT and SET_META_CONTEXT.

    A query is a context's full name, or, when listing, a namespace with its colon for all of its contexts.
    Queries of unknown namespaces match nothing.
    """

    export: str
    queries: frozenset[str]

    def lists(self, context: str) -> bool:
        if not self.queries:
            return True
        namespace, colon, _ = context.partition(":")
        return context in self.queries or namespace + colon in self.queries

    def selects(self, context: str) -> bool:
        return context in self.queries


class _Data:
    """A cursor over an option's data."""

    __slots__ = ("_bytes", "_position")

    def __init__(self, data: bytes) -> None:
        self._bytes = data
        self._position = 0

    def take(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if self._position > len(self._bytes):
            raise InvalidOptionError("the data ends before what it announces")
        return self._bytes[start : self._position]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def text(self) -> str:
        return _text(self.take(self.number(4)))

    def end(self) -> None:
        if self._position != len(self._bytes):
            raise InvalidOptionError("there is data behind the end of the option")


def export_name(data: bytes) -> str:
    """Data of EXPORT_NAME: nothing but the name."""
    return _text(data)


def info_request(data: bytes) -> InfoRequest:
    cursor = _Data(data)
    export = cursor.text()
    count = cursor.number(2)
    items = struct.unpack(f">{count}H", cursor.take(2 * count))
    cursor.end()
    return InfoRequest(export, frozenset(items))


def meta_context_query(data: bytes) -> MetaContextQuery:
    cursor = _Data(data)
    export = cursor.text()
    # The count is the client's word; each query takes at least four bytes, so the data's end bounds the loop.
    queries = frozenset(cursor.text() for _ in range(cursor.number(4)))
    cursor.end()
    return MetaContextQuery(export, queries)


def _text(data: bytes) -> str:
    if len(data) > NBD_MAX_STRING:
        raise InvalidOptionError(f"a string is longer than {NBD_MAX_STRING} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidOptionError("a string is not UTF-8") from error
    if "\0" in text:
        raise InvalidOptionError("a string contains NUL")
    return text
