"""A line between real sockets does what it is told, while data flows."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fault.still import still
from tests.network.line import Line
from tests.processes import Processes
from tests.waiting import wait_until


class Far:
    """What the line leads to: sends back what it gets, and counts it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        host, port = self.listener.getsockname()
        self.address = f"{host}:{port}"
        self.received = 0
        self.accepted = 0
        self.echo = True
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who waits in accept
        self._acceptor.join(10)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        with conn:
            try:
                while data := conn.recv(1 << 20):
                    self.received += len(data)
                    if self.echo:
                        conn.sendall(data)
            except ConnectionError:
                return


@pytest.fixture
def far() -> Iterator[Far]:
    found = Far()
    yield found
    found.close()


@pytest.fixture
def line(far: Far) -> Iterator[Line]:
    with Line(far.address) as found:
        yield found


def connect(line: Line) -> socket.socket:
    return socket.create_connection((line.host, line.port), timeout=10)


def exactly(conn: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def test_bytes_pass_unchanged_in_both_directions_and_are_counted(line: Line) -> None:
    sent = bytes(range(256)) * 8192
    with connect(line) as conn:
        feeder = threading.Thread(target=conn.sendall, args=(sent,))
        feeder.start()
        assert exactly(conn, len(sent)) == sent
        feeder.join()
    assert line.transferred() == (len(sent), len(sent))


def test_the_end_of_a_stream_arrives_after_its_last_byte(line: Line) -> None:
    line.delay(20)
    with connect(line) as conn:
        conn.sendall(b"last words")
        conn.shutdown(socket.SHUT_WR)
        assert exactly(conn, 100) == b"last words"
    wait_until(lambda: line.connections() == 0)


def test_delay_is_added_each_way(line: Line) -> None:
    with connect(line) as conn:
        conn.sendall(b"x")
        exactly(conn, 1)
        line.delay(40)
        began = time.monotonic()
        conn.sendall(b"x")
        exactly(conn, 1)
        assert time.monotonic() - began >= 0.08


def test_delay_does_not_limit_what_is_under_way(line: Line, far: Far) -> None:
    far.echo = False
    line.delay(100, "forward")
    began = time.monotonic()
    with connect(line) as conn:
        conn.sendall(bytes(8 << 20))
        wait_until(lambda: far.received == 8 << 20)
    assert time.monotonic() - began < 2  # a window of 256 KiB would take 3.2 s


def test_rate_bounds_throughput(line: Line, far: Far) -> None:
    far.echo = False
    line.rate(4 << 20, "forward")
    began = time.monotonic()
    with connect(line) as conn:
        conn.sendall(bytes(2 << 20))
        wait_until(lambda: far.received == 2 << 20)
    assert 0.45 <= time.monotonic() - began < 2


def test_a_slow_line_pushes_back_on_the_sender(line: Line, far: Far) -> None:
    far.echo = False
    line.rate(100_000, "forward")
    with connect(line) as conn:
        conn.settimeout(0.3)
        with pytest.raises(TimeoutError):
            conn.sendall(bytes(64 << 20))
    assert far.received < 1 << 20


def test_cut_resets_connections_and_refuses_new_ones_until_healed(line: Line) -> None:
    with connect(line) as conn:
        conn.sendall(b"x")
        exactly(conn, 1)
        line.cut()
        with pytest.raises(ConnectionResetError):
            conn.recv(1)
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                connect(line)
    line.heal()
    with connect(line) as conn:
        conn.sendall(b"back")
        assert exactly(conn, 4) == b"back"


def test_a_connection_that_comes_with_the_cut_does_not_end_the_line(line: Line, processes: Processes) -> None:
    assert line.connections() == 0
    with still(processes, [line._process.pid]):
        line._control.sendall(b'{"do": "cut"}\n')
        conn = socket.create_connection((line.host, line.port), 5)
    assert '"ok": true' in line._answers.readline()  # it found both at once, the order first
    conn.close()
    line.heal()
    assert line.connections() == 0


def test_half_open_swallows_without_a_word_and_resets_at_healing(line: Line, far: Far) -> None:
    with connect(line) as conn:
        conn.sendall(b"x")
        exactly(conn, 1)
        line.half_open()
        conn.sendall(bytes(1 << 20))
        conn.settimeout(0.2)
        with pytest.raises(TimeoutError):
            conn.recv(1)
        with connect(line) as other:
            other.sendall(b"anybody there?")
            assert (far.received, far.accepted) == (1, 1)
        conn.settimeout(10)
        line.heal()
        with pytest.raises(ConnectionResetError):
            exactly(conn, 1)


def test_half_open_one_way_lets_the_other_way_through(line: Line, far: Far) -> None:
    with connect(line) as conn:
        conn.sendall(b"x")
        exactly(conn, 1)
        line.half_open("back")
        conn.sendall(b"heard but not answered")
        wait_until(lambda: far.received == 23)
        conn.settimeout(0.2)
        with pytest.raises(TimeoutError):
            conn.recv(1)


def test_a_connection_that_lost_nothing_survives_half_open(line: Line) -> None:
    with connect(line) as conn:
        conn.sendall(b"x")
        exactly(conn, 1)
        line.half_open()
        line.heal()
        conn.sendall(b"y")
        assert exactly(conn, 1) == b"y"


def test_stall_keeps_what_was_sent_and_delivers_it_after_healing(line: Line, far: Far) -> None:
    with connect(line) as conn:
        line.stall()
        conn.sendall(b"patience")
        conn.settimeout(0.2)
        with pytest.raises(TimeoutError):
            conn.recv(1)
        assert far.received == 0
        conn.settimeout(10)
        line.heal()
        assert exactly(conn, 8) == b"patience"


def test_a_far_end_that_does_not_listen_is_a_reset() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        host, port = silent.getsockname()
        with Line(f"{host}:{port}") as line, pytest.raises(ConnectionResetError), connect(line) as conn:
            conn.recv(1)


def test_an_order_that_makes_no_sense_changes_nothing(line: Line) -> None:
    with pytest.raises(ValueError, match="not a positive number"):
        line.rate(-1)
    with connect(line) as conn:
        conn.sendall(b"x")
        assert exactly(conn, 1) == b"x"
