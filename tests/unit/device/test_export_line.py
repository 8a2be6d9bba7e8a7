"""One connection to an export: made, used whatever pieces things arrive in, and over at the right time."""

import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farshore.device import export_line
from farshore.device.export_line import ExportLine
from farshore.device.requests import Request
from farshore.engine.reactor import Reactor
from farshore.model.messages import Buffer
from farshore.wire.nbd import client
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.negotiation import Negotiation
from farshore.wire.nbd.outcome import Ready
from farshore.wire.nbd.replies import simple_reply
from tests.unit.engine.turning import turn_until
from tests.unit.wire.nbd.client import Exports


class _Owner:
    def __init__(self) -> None:
        self.lengths: dict[int, int] = {}
        self.found: list[tuple[int, int, bytes | None]] = []
        self.ends: list[str] = []
        self.unfit = ""
        self.exports: list[client.Served] = []

    def served(self, export: client.Served) -> str:
        self.exports.append(export)
        return self.unfit

    def replied(self, cookie: int, error: int, data: Buffer | None) -> None:
        self.found.append((cookie, error, None if data is None else bytes(data)))

    def data_of(self, cookie: int) -> int | None:
        return self.lengths.get(cookie)

    def lost(self, why: str) -> None:
        self.ends.append(why)


class _Scene:
    """A line, its owner, and a server that does what the test says."""

    def __init__(self, path: Path) -> None:
        self.reactor = Reactor()
        self.owner = _Owner()
        self.path = str(path)
        self.line = ExportLine(self.reactor, self.path, "data", self.owner)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.server: socket.socket | None = None

    def connect(self) -> socket.socket:
        """Up to the export, or to its refusal."""
        self.line.connect()
        self.server, _ = self.listener.accept()
        self.server.settimeout(10.0)
        negotiation = Negotiation(Exports())
        self.server.sendall(negotiation.greeting)
        self.until(lambda: self.line._outbound.size == 0 and self._readable())
        self.server.sendall(negotiation.feed(self.server.recv(65536)))
        self.until(lambda: bool(self.owner.exports or self.owner.ends))
        assert isinstance(negotiation.outcome, Ready) or self.owner.ends
        return self.server

    def _readable(self) -> bool:
        assert self.server is not None
        self.server.setblocking(False)
        try:
            return bool(self.server.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.server.settimeout(10.0)

    def until(self, condition: Callable[[], bool]) -> None:
        turn_until(self.reactor, condition)

    def close(self) -> None:
        self.line.close()
        for sock in (self.listener, self.server):
            if sock is not None:
                sock.close()
        self.reactor.close()


@pytest.fixture
def scene(socket_directory: Path) -> Iterator[_Scene]:
    made = _Scene(socket_directory / "nbd")
    yield made
    made.close()


def test_replies_of_all_sizes_come_whole_whatever_pieces_they_arrive_in(scene: _Scene) -> None:
    server, chosen = scene.connect(), random.Random(5)
    sizes = [0, 1, 512, 4096, 65535, 65536, 100_000, 1 << 20]
    expected, stream = [], b""
    for cookie in range(2, 60):
        length = chosen.choice(sizes)
        scene.owner.lengths[cookie] = length
        data = chosen.randbytes(length)
        expected.append((cookie, 0, data if length else None))
        stream += simple_reply(cookie) + data
    server.setblocking(False)
    sent = 0
    while sent < len(stream):
        piece = stream[sent : sent + chosen.choice([1, 15, 17, 4000, 70_000, 1 << 20])]
        try:
            sent += server.send(piece)
        except BlockingIOError:
            scene.reactor.turn(0.01)
        if chosen.random() < 0.5:
            scene.reactor.turn(0.0)
    scene.until(lambda: len(scene.owner.found) == len(expected))
    assert scene.owner.found == expected


def test_requests_leave_in_order_with_short_and_long_data(scene: _Scene) -> None:
    server = scene.connect()
    data = {2: b"a" * 100, 4: b"b" * (1 << 20), 6: b"c" * 4096, 8: b"d" * (40 << 10)}
    for cookie, payload in data.items():
        scene.line.send(Request(cookie, nbd.NBD_CMD_WRITE, cookie * 4096, len(payload), payload))
    scene.line.send(Request(10, nbd.NBD_CMD_FLUSH, 0, 0))
    got, total = bytearray(), sum(28 + len(each) for each in data.values()) + 28
    server.setblocking(False)

    def received() -> bool:
        try:
            got.extend(server.recv(1 << 20))
        except BlockingIOError:
            return False
        return len(got) == total

    scene.until(received)
    for cookie, payload in data.items():
        magic, _, command, number, offset, length = struct.unpack(">IHHQQI", got[:28])
        assert (magic, command, number, offset) == (nbd.NBD_REQUEST_MAGIC, 1, cookie, cookie * 4096)
        assert got[28 : 28 + length] == payload
        del got[: 28 + length]
    assert got == client.request(nbd.NBD_CMD_FLUSH, 0, 10, 0, 0)


def test_an_export_that_is_not_wanted_is_left_before_anything_is_asked(scene: _Scene) -> None:
    scene.owner.unfit = "another volume"
    server = scene.connect()
    assert scene.owner.ends == ["another volume"]
    assert server.recv(1) == b""
    assert not scene.line.ready


def test_nobody_there_is_told_and_tried_again_by_whoever_wants(scene: _Scene) -> None:
    Path(scene.path).unlink()
    scene.line.connect()
    assert scene.owner.ends == ["the engine does not run"]


def test_a_reply_without_sense_ends_the_connection_only_when_the_other_end_is_closed(scene: _Scene) -> None:
    """Requests that the engine has not read yet would else be carried out after those of the next one."""
    server = scene.connect()
    scene.owner.lengths[2] = 0
    scene.line.send(Request(2, nbd.NBD_CMD_FLUSH, 0, 0))
    scene.until(scene._readable)
    server.sendall(b"nonsense" * 4)
    scene.until(lambda: not scene.line.ready)
    assert server.recv(28) == client.request(nbd.NBD_CMD_FLUSH, 0, 2, 0, 0)
    assert server.recv(1) == b""  # our half is closed
    server.sendall(simple_reply(2))  # and what it still says is passed over
    assert scene.owner.ends == []
    server.close()
    scene.until(lambda: bool(scene.owner.ends))
    assert "malformed" in scene.owner.ends[0]
    assert scene.owner.found == []


def test_an_engine_that_says_nothing_is_left_after_a_while(
    scene: _Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_line, "NEGOTIATION_LIMIT", 0.1)
    scene.line.connect()
    scene.until(lambda: bool(scene.owner.ends))
    assert scene.owner.ends == ["the engine does not answer"]
