"""A small NBD client for tests that must send what no real client sends. Blocking, one connection."""

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

_REQUEST = struct.Struct(">IHHQQI")
READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16


class NbdClient:
    """Connected to an export by its name, with simple replies only."""

    def __init__(self, address: Path | tuple[str, int], export: str) -> None:
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(20.0)
        try:
            self.sock.connect(str(address) if isinstance(address, Path) else address)
            self.take(18)
            name = export.encode()
            option = struct.pack(">QII", 0x49484156454F5054, 1, len(name)) + name
            self.sock.sendall(struct.pack(">I", 3) + option)
            self.size, self.flags = struct.unpack(">QH", self.take(10))
        except OSError:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def take(self, size: int) -> bytes:
        """Exactly that many bytes; ConnectionResetError where the server ends the connection."""
        data = bytearray()
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            data += piece
        return bytes(data)

    def send(
        self, command: int, cookie: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0
    ) -> None:
        """One request, its answer not awaited."""
        self.sock.sendall(
            _REQUEST.pack(0x25609513, flags, command, cookie, offset, length or len(data)) + data
        )

    def answer(self) -> tuple[int, int]:
        """(error, cookie) of the next simple reply."""
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert magic == 0x67446698
        return error, cookie

    def call(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> int:
        """One request and its error."""
        self.send(command, 77, offset, length, data, flags)
        error, cookie = self.answer()
        assert cookie == 77
        return error

    def read(self, offset: int, length: int) -> bytes:
        """What stands there."""
        assert self.call(READ, offset, length) == 0
        return self.take(length)
