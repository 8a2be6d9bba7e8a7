"""A journal of a test's own: a socket that takes entries, and the reading of them."""

import socket
import struct
from pathlib import Path


class Listening:
    """Datagrams that were sent to a socket at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._door.bind(str(path))

    def next(self, seconds: float = 10.0) -> bytes:
        """The oldest that was not taken yet. Raises TimeoutError."""
        self._door.settimeout(seconds)
        return self._door.recv(1 << 20)

    def entry(self) -> dict[str, str]:
        """The oldest, as an entry of the journal."""
        return decoded(self.next())

    def close(self) -> None:
        self._door.close()


def decoded(data: bytes) -> dict[str, str]:
    """An entry of the native protocol, field by field; every field once."""
    fields: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        data = rest
    return fields
