"""The demo's line carries what it is given, takes its time, and when it is cut it is silent."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from farshore.demo.line import Line
from tests.waiting import wait_until

_DELAY = 0.03


@dataclass
class Far:
    """The other end: echoes what arrives, on every connection."""

    address: tuple[str, int]
    accepted: int = 0


@pytest.fixture
def far() -> Iterator[Far]:
    listener = socket.create_server(("127.0.0.1", 0))
    end = Far(listener.getsockname())

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(65536):
                    connection.sendall(piece)
            except ConnectionError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            end.accepted += 1
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield end
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def line(far: Far) -> Iterator[Line]:
    line = Line(far.address, _DELAY)
    yield line
    line.close()


def _connect(line: Line) -> socket.socket:
    host, _, port = line.address.rpartition(":")
    connection = socket.create_connection((host, int(port)), 10)
    connection.settimeout(10)
    return connection


def _echoed(connection: socket.socket, content: bytes) -> bytes:
    sender = threading.Thread(target=connection.sendall, args=(content,), daemon=True)
    sender.start()
    received = bytearray()
    while len(received) < len(content):
        piece = connection.recv(1 << 20)
        if not piece:
            break
        received += piece
    sender.join(10)
    return bytes(received)


def _asked(connection: socket.socket) -> bytes:
    connection.sendall(b"x")
    return connection.recv(1)


def test_everything_arrives_in_order_and_is_counted(line: Line) -> None:
    content = bytes(range(256)) * 50_000
    with _connect(line) as connection:
        assert _echoed(connection, content) == content
        wait_until(lambda: line.carried == 2 * len(content))
    wait_until(lambda: line.carried == 2 * len(content), what="the count after the connection's end")


def test_a_round_trip_takes_twice_the_delay(line: Line) -> None:
    with _connect(line) as connection:
        began = time.monotonic()
        assert _echoed(connection, b"x") == b"x"
        assert time.monotonic() - began >= 2 * _DELAY


def test_a_cut_line_is_silent_and_tells_nobody(line: Line) -> None:
    with _connect(line) as before:
        assert _echoed(before, b"x") == b"x"
        wait_until(lambda: line.carried == 2)
        line.cut()
        before.sendall(b"lost")
        before.settimeout(4 * _DELAY)
        with pytest.raises(TimeoutError):
            before.recv(1)
        with _connect(line) as during:
            during.sendall(b"lost too")
            during.settimeout(4 * _DELAY)
            with pytest.raises(TimeoutError):
                during.recv(1)
        assert line.carried == 2


def test_a_healed_line_resets_what_was_and_serves_what_comes(line: Line, far: Far) -> None:
    with _connect(line) as before:
        assert _echoed(before, b"x") == b"x"
        line.cut()
        before.sendall(b"lost")
        with _connect(line) as waiting:
            waiting.sendall(b"y")
            line.heal()
            assert waiting.recv(1) == b"y"
        with pytest.raises(ConnectionError):
            before.recv(1)
        assert far.accepted == 2


def test_a_far_end_that_is_gone_is_a_reset(far: Far) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()
    line = Line(nobody)
    try:
        with pytest.raises(ConnectionError), _connect(line) as connection:  # the reset may be first
            _asked(connection)
    finally:
        line.close()


def test_one_ends_farewell_reaches_the_other(line: Line) -> None:
    with _connect(line) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
