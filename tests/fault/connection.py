"""An NBD connection with many requests under way, whose answers are matched by their cookies."""

import struct

from farshore.demo.nbd_client import NbdClient
from farshore.wire.nbd import constants as nbd

_REPLY = struct.Struct(">IIQ")


class Connection(NbdClient):
    """The demo's client, with each step of a request in the caller's hands."""

    def post(self, command: int, offset: int, length: int, flags: int = 0, data: bytes = b"") -> int:
        """Sends a request; its cookie."""
        self._send(command, offset, length, flags, data)
        return self._cookie

    def post_write(self, offset: int, data: bytes, *, fua: bool = False) -> int:
        """Sends a write; its cookie."""
        flags = nbd.NBD_CMD_FLAG_FUA if fua else 0
        return self.post(nbd.NBD_CMD_WRITE, offset, len(data), flags, data)

    def reply(self) -> tuple[int, int]:
        """The next answer that carries no data: its cookie, and the errno as NBD numbers it, 0 for none."""
        magic, error, cookie = _REPLY.unpack(self._received(_REPLY.size))
        if magic != nbd.NBD_SIMPLE_REPLY_MAGIC:
            raise ConnectionError("the server's reply is malformed")
        return cookie, error

    def refused(self, command: int, offset: int, length: int, flags: int = 0, data: bytes = b"") -> int:
        """Sends one request that carries no data back, and waits; the errno, 0 if it was done after all."""
        cookie = self.post(command, offset, length, flags, data)
        answered, error = self.reply()
        assert answered == cookie
        return error
