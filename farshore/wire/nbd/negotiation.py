"""The fixed newstyle handshake, server side, as a state machine: bytes in, bytes to send and an outcome.

    greeting ─> CLIENT_FLAGS ─> OPTION ⇄ SKIP       SKIP passes over an option too long to look at
                     │            │ GO or EXPORT_NAME of an export that exists ─> Ready
                     │            │ STARTTLS where TLS is wanted ─> Securing ─ `secured` ─> OPTION
                     └────────────┴ ABORT, a broken rule, too much of anything ─> Closed

Always true: an option that fails changes nothing, except that a failed SET_META_CONTEXT leaves no contexts
selected, as the protocol says; at most MAX_OPTION bytes of input are kept; any split of the input gives the
same output (but for bytes behind STARTTLS). EXPORT_NAME has no error reply: where it fails the connection is
closed.
It owns no clock: the caller bounds how long a handshake may take.

An address is either without TLS, and then STARTTLS is refused, or with TLS for everything: until it stands no
option but STARTTLS and ABORT is looked at, and nothing that came before it counts afterwards. A byte behind
STARTTLS, which nobody may send before the answer, ends the connection: it could be somebody else's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from farshore.errors import IllegalEvent
from farshore.wire.nbd.constants import (
    MAX_DRAINED_OPTION,
    MAX_OPTION,
    MAX_OPTIONS,
    NBD_FLAG_C_FIXED_NEWSTYLE,
    NBD_FLAG_C_NO_ZEROES,
    NBD_FLAG_FIXED_NEWSTYLE,
    NBD_FLAG_NO_ZEROES,
    NBD_FLAG_SEND_DF,
    NBD_IHAVEOPT,
    NBD_INFO_BLOCK_SIZE,
    NBD_INFO_DESCRIPTION,
    NBD_INFO_EXPORT,
    NBD_INFO_NAME,
    NBD_MAGIC,
    NBD_OPT_ABORT,
    NBD_OPT_EXPORT_NAME,
    NBD_OPT_GO,
    NBD_OPT_INFO,
    NBD_OPT_LIST,
    NBD_OPT_LIST_META_CONTEXT,
    NBD_OPT_SET_META_CONTEXT,
    NBD_OPT_STARTTLS,
    NBD_OPT_STRUCTURED_REPLY,
    NBD_REP_ACK,
    NBD_REP_ERR_INVALID,
    NBD_REP_ERR_TLS_REQD,
    NBD_REP_ERR_TOO_BIG,
    NBD_REP_ERR_UNKNOWN,
    NBD_REP_ERR_UNSUP,
    NBD_REP_INFO,
    NBD_REP_MAGIC,
    NBD_REP_META_CONTEXT,
    NBD_REP_SERVER,
)
from farshore.wire.nbd.export import ExportCatalogue, ExportInfo
from farshore.wire.nbd.options import (
    InvalidOptionError,
    MetaContextQuery,
    export_name,
    info_request,
    meta_context_query,
)
from farshore.wire.nbd.outcome import Closed, Outcome, Ready, Securing

_pack_option_reply = struct.Struct(">QIII").pack
_OPTION_HEADER = struct.Struct(">QII")
_KNOWN_CLIENT_FLAGS: Final = NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES
_RESERVED: Final = bytes(124)


@dataclass(frozen=True, slots=True)
class _Option:
    """The header of the option whose data is being received."""

    number: int
    length: int

    @property
    def refused(self) -> bool:
        """Its data is skipped, not looked at."""
        return self.length > MAX_OPTION


@dataclass(frozen=True, slots=True)
class _Selected:
    """The contexts of the last SET_META_CONTEXT; they hold for the export it named and no other."""

    export: str = ""
    contexts: tuple[tuple[int, str], ...] = ()


class Negotiation:
    """One connection's handshake. Send `greeting`, then feed what arrives until `outcome` is set."""

    greeting: Final = struct.pack(
        ">QQH", NBD_MAGIC, NBD_IHAVEOPT, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES
    )

    def __init__(self, exports: ExportCatalogue, *, tls: bool = False) -> None:
        self.outcome: Outcome | None = None
        self._exports = exports
        self._tls = tls
        self._secured = False
        self._input = bytearray()
        self._client_flags: int | None = None
        self._option: _Option | None = None
        self._skip = 0
        self._options_seen = 0
        self._structured = False
        self._selected = _Selected()
        self._handlers: dict[int, Callable[[bytes], bytes]] = {
            NBD_OPT_EXPORT_NAME: self._export_name,
            NBD_OPT_ABORT: self._abort,
            NBD_OPT_LIST: self._list,
            NBD_OPT_STARTTLS: self._start_tls,
            NBD_OPT_INFO: self._info,
            NBD_OPT_GO: self._go,
            NBD_OPT_STRUCTURED_REPLY: self._structured_reply,
            NBD_OPT_LIST_META_CONTEXT: self._list_meta_context,
            NBD_OPT_SET_META_CONTEXT: self._set_meta_context,
        }

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take what arrived, return what to send. Raises IllegalEvent once there is an outcome."""
        if self.outcome is not None:
            raise IllegalEvent(type(self.outcome).__name__, "feed")
        self._input += data
        return self._steps()

    def secured(self) -> None:
        """TLS stands: the options begin anew. Raises IllegalEvent where none was asked for."""
        if not isinstance(self.outcome, Securing):
            raise IllegalEvent(type(self.outcome).__name__, "secured")
        self.outcome, self._secured = None, True
        self._structured, self._selected = False, _Selected()

    def _steps(self) -> bytes:
        sent: list[bytes] = []
        while self.outcome is None:
            reply = self._step()
            if reply is None:
                break
            sent.append(reply)
        return b"".join(sent)

    def _step(self) -> bytes | None:
        """Take one message off the input and return its answer, or None where the message is not all here."""
        if self._client_flags is None:
            head = self._take(4)
            return None if head is None else self._take_client_flags(int.from_bytes(head, "big"))
        if self._option is None:
            head = self._take(_OPTION_HEADER.size)
            return None if head is None else self._begin_option(*_OPTION_HEADER.unpack(head))
        if self._option.refused:
            return self._skip_option(self._option)
        data = self._take(self._option.length)
        if data is None:
            return None
        number, self._option = self._option.number, None
        return self._answer(number, data)

    def _take(self, count: int) -> bytes | None:
        if len(self._input) < count:
            return None
        taken = bytes(self._input[:count])
        del self._input[:count]
        return taken

    def _close(self, reason: str) -> bytes:
        self.outcome = Closed(reason)
        self._input.clear()
        return b""

    def _take_client_flags(self, flags: int) -> bytes:
        if flags & ~_KNOWN_CLIENT_FLAGS:
            return self._close(f"unknown client flags {flags:#x}")
        self._client_flags = flags
        return b""

    def _begin_option(self, magic: int, number: int, length: int) -> bytes:
        self._options_seen += 1
        if magic != NBD_IHAVEOPT:
            return self._close("an option does not begin with the option magic")
        if self._options_seen > MAX_OPTIONS:
            return self._close(f"more than {MAX_OPTIONS} options")
        if length > MAX_DRAINED_OPTION:
            return self._close(f"option {number} announces {length} bytes")
        if number == NBD_OPT_EXPORT_NAME and length > MAX_OPTION:
            return self._close("the export's name is too long")
        if number != NBD_OPT_EXPORT_NAME and not self._fixed_newstyle:
            # Such a client does not understand the replies of the other options.
            return self._close(f"option {number} from a client without fixed newstyle")
        self._option = _Option(number, length)
        self._skip = length
        return b""

    @property
    def _fixed_newstyle(self) -> bool:
        return bool((self._client_flags or 0) & NBD_FLAG_C_FIXED_NEWSTYLE)

    def _skip_option(self, option: _Option) -> bytes | None:
        skipped = min(self._skip, len(self._input))
        del self._input[:skipped]
        self._skip -= skipped
        if self._skip:
            return None
        self._option = None
        if option.number == NBD_OPT_ABORT:
            return self._answer(option.number, b"")
        if option.number == NBD_OPT_SET_META_CONTEXT:
            self._selected = _Selected()
        if self._in_the_clear and option.number != NBD_OPT_STARTTLS:
            return self._refuse_in_the_clear(option.number)
        if option.number not in self._handlers:
            return _error(option.number, NBD_REP_ERR_UNSUP, "this server does not know the option")
        return _error(option.number, NBD_REP_ERR_TOO_BIG, f"options are limited to {MAX_OPTION} bytes")

    def _answer(self, number: int, data: bytes) -> bytes:
        if self._in_the_clear and number not in (NBD_OPT_STARTTLS, NBD_OPT_ABORT):
            return self._refuse_in_the_clear(number)
        handler = self._handlers.get(number)
        if handler is None:
            return _error(number, NBD_REP_ERR_UNSUP, "this server does not know the option")
        try:
            return handler(data)
        except InvalidOptionError as invalid:
            if number == NBD_OPT_EXPORT_NAME:
                return self._close(str(invalid))
            return _error(number, NBD_REP_ERR_INVALID, str(invalid))

    @property
    def _in_the_clear(self) -> bool:
        return self._tls and not self._secured

    def _refuse_in_the_clear(self, number: int) -> bytes:
        if number == NBD_OPT_EXPORT_NAME:
            return self._close("a client without TLS at an address that wants it")
        return _error(number, NBD_REP_ERR_TLS_REQD, "this address speaks TLS only")

    def _export_name(self, data: bytes) -> bytes:
        name = export_name(data)
        export = self._exports.find(name)
        if export is None:
            return self._close(f"no export {name[:64]!r}")
        zeroes = b"" if (self._client_flags or 0) & NBD_FLAG_C_NO_ZEROES else _RESERVED
        self._enter_transmission(export)
        return struct.pack(">QH", export.size, self._flags_of(export)) + zeroes

    def _abort(self, _data: bytes) -> bytes:
        self._close("the client aborted the negotiation")
        return _reply(NBD_OPT_ABORT, NBD_REP_ACK)

    def _list(self, data: bytes) -> bytes:
        _no_data(data)
        sent = []
        for name in self._exports.names():
            export = self._exports.find(name)
            if export is not None:
                text = name.encode()
                described = struct.pack(">I", len(text)) + text + export.description.encode()
                sent.append(_reply(NBD_OPT_LIST, NBD_REP_SERVER, described))
        sent.append(_reply(NBD_OPT_LIST, NBD_REP_ACK))
        return b"".join(sent)

    def _start_tls(self, data: bytes) -> bytes:
        _no_data(data)
        if not self._tls:
            return _error(NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP, "there is no TLS at this address")
        if self._secured:
            raise InvalidOptionError("TLS stands already")
        if self._input:
            return self._close("bytes behind STARTTLS, before its answer")
        self.outcome = Securing()
        return _reply(NBD_OPT_STARTTLS, NBD_REP_ACK)

    def _structured_reply(self, data: bytes) -> bytes:
        _no_data(data)
        self._structured = True
        return _reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK)

    def _info(self, data: bytes) -> bytes:
        _, reply = self._describe(NBD_OPT_INFO, data)
        return reply

    def _go(self, data: bytes) -> bytes:
        export, reply = self._describe(NBD_OPT_GO, data)
        if export is not None:
            self._enter_transmission(export)
        return reply

    def _describe(self, option: int, data: bytes) -> tuple[ExportInfo | None, bytes]:
        """INFO and GO answer alike: the export, unless that failed, and the replies."""
        request = info_request(data)
        export = self._exports.find(request.export)
        if export is None:
            return None, _error(option, NBD_REP_ERR_UNKNOWN, "there is no such export")
        items = [struct.pack(">HQH", NBD_INFO_EXPORT, export.size, self._flags_of(export))]
        if NBD_INFO_NAME in request.items:
            items.append(struct.pack(">H", NBD_INFO_NAME) + export.name.encode())
        if NBD_INFO_DESCRIPTION in request.items and export.description:
            items.append(struct.pack(">H", NBD_INFO_DESCRIPTION) + export.description.encode())
        if NBD_INFO_BLOCK_SIZE in request.items:
            sizes = (export.min_block, export.preferred_block, export.max_block)
            items.append(struct.pack(">HIII", NBD_INFO_BLOCK_SIZE, *sizes))
        replies = [_reply(option, NBD_REP_INFO, item) for item in items]
        return export, b"".join([*replies, _reply(option, NBD_REP_ACK)])

    def _flags_of(self, export: ExportInfo) -> int:
        """DF means something in structured replies only, and may be offered only with them."""
        withheld = 0 if self._structured else NBD_FLAG_SEND_DF
        return export.transmission_flags & ~withheld

    def _list_meta_context(self, data: bytes) -> bytes:
        option = NBD_OPT_LIST_META_CONTEXT
        query, export = self._context_query(data)
        if export is None:
            return _error(option, NBD_REP_ERR_UNKNOWN, "there is no such export")
        sent = [_context_reply(option, 0, name) for name in export.contexts if query.lists(name)]
        return b"".join([*sent, _reply(option, NBD_REP_ACK)])

    def _set_meta_context(self, data: bytes) -> bytes:
        option = NBD_OPT_SET_META_CONTEXT
        self._selected = _Selected()
        query, export = self._context_query(data)
        if export is None:
            return _error(option, NBD_REP_ERR_UNKNOWN, "there is no such export")
        contexts = tuple(
            (number, name) for number, name in enumerate(export.contexts, start=1) if query.selects(name)
        )
        self._selected = _Selected(export.name, contexts)
        sent = [_context_reply(option, number, name) for number, name in contexts]
        return b"".join([*sent, _reply(option, NBD_REP_ACK)])

    def _context_query(self, data: bytes) -> tuple[MetaContextQuery, ExportInfo | None]:
        if not self._structured:
            raise InvalidOptionError("metadata contexts need structured replies, negotiated first")
        query = meta_context_query(data)
        return query, self._exports.find(query.export)

    def _enter_transmission(self, export: ExportInfo) -> None:
        selected = self._selected
        contexts = selected.contexts if selected.export == export.name else ()
        leftover = bytes(self._input)
        self._input.clear()
        self.outcome = Ready(export, self._structured, contexts, leftover)


def _no_data(data: bytes) -> None:
    if data:
        raise InvalidOptionError("this option has no data")


def _reply(option: int, kind: int, payload: bytes = b"") -> bytes:
    return _pack_option_reply(NBD_REP_MAGIC, option, kind, len(payload)) + payload


def _error(option: int, kind: int, message: str) -> bytes:
    return _reply(option, kind, message.encode())


def _context_reply(option: int, number: int, name: str) -> bytes:
    return _reply(option, NBD_REP_META_CONTEXT, struct.pack(">I", number) + name.encode())
