"""A small NBD client: fixed newstyle, simple replies, blocking, over a Unix socket.

What an application needs and no more: read, write, flush, trim. Requests may be sent many at a time with
`write_all`; a connection that breaks raises ConnectionError and is of no further use, and what had not been
answered by then may or may not have been written, as with any disk that goes away.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from farshore.errors import ProtocolError
from farshore.wire.nbd import client
from farshore.wire.nbd import constants as nbd

_REPLY = struct.Struct(">IIQ")
_MOST_RECEIVED = 64 << 10
_IN_FLIGHT = 64


class NbdError(OSError):
    """The server refused a request; the connection goes on."""


class NbdClient:
    """A connection to one export. `size` is the volume's, in bytes."""

    def __init__(self, uri: str, timeout: float = 30.0) -> None:
        """`uri`: nbd+unix:///EXPORT?socket=PATH. Raises OSError, ValueError for another kind of address."""
        parts = urlsplit(uri)
        paths = parse_qs(parts.query).get("socket", [])
        if parts.scheme != "nbd+unix" or len(paths) != 1:
            raise ValueError(f"not an address of a Unix socket: {uri}")
        self._cookie = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(paths[0])
            served = self._negotiate(unquote(parts.path.removeprefix("/")))
            self.size, self.flags = served.size, served.flags
        except BaseException:
            self._socket.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the volume; at most 32 MiB at once."""
        self._send(nbd.NBD_CMD_READ, offset, length)
        self._answer()
        return self._received(length)

    def write(self, offset: int, data: bytes | memoryview, *, fua: bool = False) -> None:
        """Returns when the write is acknowledged, with `fua` when it is durable."""
        self._send(nbd.NBD_CMD_WRITE, offset, len(data), nbd.NBD_CMD_FLAG_FUA if fua else 0, data)
        self._answer()

    def write_all(self, pieces: Iterable[tuple[int, bytes | memoryview]]) -> None:
        """Many writes, up to 64 of them under way at a time; returns when all are acknowledged."""
        under_way = 0
        for offset, data in pieces:
            if under_way == _IN_FLIGHT:
                self._answer()
                under_way -= 1
            self._send(nbd.NBD_CMD_WRITE, offset, len(data), 0, data)
            under_way += 1
        for _ in range(under_way):
            self._answer()

    def flush(self) -> None:
        """Makes every acknowledged write durable."""
        self._send(nbd.NBD_CMD_FLUSH, 0, 0)
        self._answer()

    def trim(self, offset: int, length: int) -> None:
        """The range is no longer needed and reads as zeroes."""
        self._send(nbd.NBD_CMD_TRIM, offset, length)
        self._answer()

    def close(self) -> None:
        """Says goodbye where the server still listens."""
        try:
            self._send(nbd.NBD_CMD_DISC, 0, 0)
        except OSError:
            return  # there is nobody to say it to
        finally:
            self._socket.close()

    def _negotiate(self, export: str) -> client.Served:
        negotiation = client.ClientNegotiation(export)
        while negotiation.outcome is None:
            # Byte counts do not matter before the export is served: the server speaks only when asked.
            with _broken_if_late():
                data = self._socket.recv(_MOST_RECEIVED)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                try:
                    self._socket.sendall(negotiation.feed(data))
                except ProtocolError as error:
                    raise ConnectionError(error.what) from error
        if isinstance(negotiation.outcome, client.Refused):
            raise NbdError(negotiation.outcome.reason)
        return negotiation.outcome

    def _send(
        self, command: int, offset: int, length: int, flags: int = 0, data: bytes | memoryview = b""
    ) -> None:
        self._cookie += 1
        with _broken_if_late():
            self._socket.sendall(client.request(command, flags, self._cookie, offset, length))
            if data:
                self._socket.sendall(data)

    def _answer(self) -> None:
        magic, error, _ = _REPLY.unpack(self._received(_REPLY.size))
        if magic != nbd.NBD_SIMPLE_REPLY_MAGIC:
            raise ConnectionError("the server's reply is malformed")
        if error:
            raise NbdError(error, "the server refused a request")

    def _received(self, length: int) -> bytes:
        data = bytearray(length)
        view, filled = memoryview(data), 0
        with _broken_if_late():
            while filled < length:
                count = self._socket.recv_into(view[filled:])
                if not count:
                    raise ConnectionResetError("the server closed the connection")
                filled += count
        return bytes(data)


@contextmanager
def _broken_if_late() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ConnectionAbortedError("the server does not answer") from error
