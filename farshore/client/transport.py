"""One HTTP request to a node, one answer back, over a Unix socket or TCP: what JSON over a pipe needs.

HTTP/1.0 on purpose: the answer ends with the connection, so there are no chunks, no reuse and no state
between requests. The standard library's client would do, but importing it takes twice as long as starting
Python, and `farshore status` is promised within three times that; the figures are in
docs/decisions/0010-command-line-start.md.
Raises OSError when the node cannot be reached and ValueError when what answers is not a node; it gives
those no meaning, that is the caller's.
"""

from __future__ import annotations

import _socket  # the part of socket without its enumerations, which take 5 ms to build
import time

TYPE_CHECKING = False  # as typing has it; importing typing costs as much as half a start of Python
if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 64 << 20  # bytes of an answer; status of a large node is a few hundred KiB
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quoted(text: str) -> str:
    """`text` as one segment of a path or one value of a query."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def target(path: str, query: Mapping[str, object] | None = None) -> str:
    """A request target; values that are None are left out, the others quoted."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    if not given:
        return path
    return path + "?" + "&".join(f"{name}={quoted(str(value))}" for name, value in given.items())


def request(
    address: str, method: str, target: str, body: bytes | None = None, timeout: float = 30.0
) -> tuple[int, bytes]:
    """The status and the body of the answer. `timeout`: seconds for the whole exchange."""
    deadline = time.monotonic() + timeout
    head = f"{method} {target} HTTP/1.0\r\nHost: farshore\r\nAccept: application/json\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    connection = _connected(address, timeout)
    try:
        connection.sendall(head.encode("ascii") + b"\r\n" + (body or b""))
        answer = bytearray()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no complete answer within {timeout:g} s")
            connection.settimeout(left)
            piece = connection.recv(1 << 18)
            if not piece:
                return _parsed(bytes(answer))
            answer += piece
            if len(answer) > _MOST:
                raise ValueError(f"the answer is longer than {_MOST} bytes")
    finally:
        connection.close()


def _connected(address: str, timeout: float) -> _socket.socket:
    if not address.startswith(("unix:", "/")):
        return _connected_tcp(address, timeout)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(address.removeprefix("unix:"))
    except BaseException:
        connection.close()
        raise
    return connection


def _connected_tcp(address: str, timeout: float) -> _socket.socket:
    import socket

    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"{address!r} is not an API address; write unix:PATH or HOST:PORT")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def _parsed(answer: bytes) -> tuple[int, bytes]:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not answer:
        raise ConnectionResetError("the node closed the connection without an answer")
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ", 2)
    if not blank or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip() != str(len(body)).encode():
            raise ConnectionResetError("the answer broke off")
        if name.lower() == b"transfer-encoding":
            raise ValueError("the answer is in a transfer encoding that HTTP/1.0 does not have")
    return int(words[1]), body
