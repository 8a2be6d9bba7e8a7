"""The control socket takes several requests and descriptors, answers when it can, and bounds everybody."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.engine.control_server import MOST_CONNECTIONS, UNREAD_LIMIT, Call, ControlServer
from farshore.engine.reactor import Reactor
from farshore.errors import FarshoreError
from farshore.wire import control
from tests.waiting import wait_until


class _Serving:
    """A control server on a loop in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reactor = Reactor()
        self.waiting: list[Call] = []
        self.server = ControlServer(self.reactor, str(path), self._handle)
        self._thread = threading.Thread(target=self.reactor.run)
        self._thread.start()

    def _handle(self, call: Call) -> None:
        if call.op == "echo":
            call.reply(call.args)
        elif call.op == "wait":
            self.waiting.append(call)
        elif call.op == "much":
            call.reply({"text": "x" * (1 << 20)})
        elif call.op == "take":
            names = []
            for descriptor in call.descriptors:
                names.append(descriptor.getsockname()[1])
                descriptor.close()
            call.reply({"ports": names})
        else:
            raise FarshoreError("usage", "no such thing")

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.path))
        sock.settimeout(10.0)
        return sock

    def close(self) -> None:
        self.reactor.post(self.server.close)
        self.reactor.post(self.reactor.stop)
        self._thread.join(10.0)
        self.reactor.close()


@pytest.fixture
def serving(socket_directory: Path) -> Iterator[_Serving]:
    made = _Serving(socket_directory / "ctl")
    yield made
    made.close()


def _replies(sock: socket.socket, count: int) -> list[control.Reply]:
    decoder, replies = control.Decoder(), list[control.Reply]()
    while len(replies) < count:
        data = sock.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        replies += map(control.as_reply, decoder.feed(data))
    return replies


def _request(number: int, op: str, **args: object) -> bytes:
    return control.encode_request(control.Request(number, op, args))


def test_answers_come_when_they_are_ready(serving: _Serving) -> None:
    with serving.connect() as sock:
        sock.sendall(_request(1, "wait") + _request(2, "echo", word="hi") + _request(3, "dance"))
        second, third = _replies(sock, 2)
        assert (second.id, second.result) == (2, {"word": "hi"})
        assert third.id == 3
        assert third.error is not None
        assert third.error.code.name == "usage"
        serving.reactor.post(lambda: serving.waiting[0].reply({"late": True}))
        (first,) = _replies(sock, 1)
        assert (first.id, first.result) == (1, {"late": True})


def test_an_answer_to_somebody_who_has_left_goes_nowhere(serving: _Serving) -> None:
    with serving.connect() as sock:
        sock.sendall(_request(1, "wait"))
        wait_until(lambda: serving.waiting)
    wait_until(lambda: not serving.server.connections)
    serving.reactor.post(lambda: serving.waiting[0].reply({}))
    with serving.connect() as sock:
        sock.sendall(_request(1, "echo"))
        assert _replies(sock, 1)[0].result == {}


def test_a_descriptor_comes_with_its_request(serving: _Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed, serving.connect() as sock:
        socket.send_fds(sock, [_request(1, "take")], [passed.fileno()])
        assert _replies(sock, 1)[0].result == {"ports": [passed.getsockname()[1]]}


def test_what_breaks_the_protocol_ends_its_connection_only(serving: _Serving) -> None:
    with serving.connect() as good, serving.connect() as bad:
        bad.sendall(b"\xff\xff\xff\xff" + b"x" * 100)
        assert bad.recv(10) == b""
        good.sendall(_request(1, "echo"))
        assert _replies(good, 1)[0].result == {}


def test_somebody_who_reads_no_answers_is_not_listened_to(serving: _Serving) -> None:
    with serving.connect() as deaf, serving.connect() as good:
        for number in range(64):
            deaf.sendall(_request(number, "much"))
        good.sendall(_request(1, "echo"))
        assert _replies(good, 1)[0].result == {}
        unread = max(each._outbound.size for each in serving.server.connections)
        assert unread < UNREAD_LIMIT + (68 << 20)
        assert len(_replies(deaf, 64)) == 64


def test_connections_are_bounded_and_come_free_again(serving: _Serving) -> None:
    sockets = [serving.connect() for _ in range(MOST_CONNECTIONS)]
    wait_until(lambda: len(serving.server.connections) == MOST_CONNECTIONS)
    with serving.connect() as more:
        assert more.recv(1) == b""
    for sock in sockets:
        sock.close()
    wait_until(lambda: not serving.server.connections)
    with serving.connect() as sock:
        sock.sendall(_request(1, "echo"))
        assert _replies(sock, 1)[0].result == {}


def test_no_descriptor_is_left_behind(serving: _Serving) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as passed, serving.connect() as sock:
            socket.send_fds(sock, [b"\xff\xff\xff\xff"], [passed.fileno()] * 3)
            assert sock.recv(1) == b""
    wait_until(lambda: count() <= before)
