"""The shortest NBD negotiation that fio, nbdinfo and nbdcopy accept from a server.

Fixed newstyle; one export whatever its name; simple replies only. Every option that is not needed
for that is answered as unsupported. Blocking, since nothing else happens meanwhile.
"""

import socket
import struct

FLAGS = 1 | 4 | 8 | 256
"""Transmission flags: has flags, FLUSH, FUA, MULTI_CONN."""

_GREETING = b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3)
_NO_ZEROES = 2
_EXPORT_NAME, _ABORT, _INFO, _GO = 1, 2, 6, 7
_ACK, _INFO_REPLY, _UNSUPPORTED = 1, 3, 0x80000001
_REPLY_MAGIC = 0x3E889045565A9


class ClientLeft(Exception):
    """The client closed the connection."""


def receive(conn: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes, or ClientLeft."""
    data = bytearray()
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            raise ClientLeft
        data += piece
    return bytes(data)


def negotiate(conn: socket.socket, size: int) -> None:
    """Bring `conn` into transmission, for an export of `size` bytes; ClientLeft if it only looked."""
    conn.sendall(_GREETING)
    (client_flags,) = struct.unpack(">I", receive(conn, 4))
    while True:
        _, option, length = struct.unpack(">QII", receive(conn, 16))
        receive(conn, length)
        if option == _EXPORT_NAME:
            padding = b"" if client_flags & _NO_ZEROES else bytes(124)
            conn.sendall(struct.pack(">QH", size, FLAGS) + padding)
            return
        if option in (_INFO, _GO):
            _reply(conn, option, _INFO_REPLY, struct.pack(">HQH", 0, size, FLAGS))
            _reply(conn, option, _ACK)
            if option == _GO:
                return
        elif option == _ABORT:
            _reply(conn, option, _ACK)
            raise ClientLeft
        else:
            _reply(conn, option, _UNSUPPORTED)


def _reply(conn: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    conn.sendall(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)
