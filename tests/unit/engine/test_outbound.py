"""What is queued leaves in order and whole; frames that have not begun to leave can be taken back."""

import random
import socket
from collections.abc import Iterator

import pytest

from farshore.engine.outbound import Outbound


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


def _drain(sock: socket.socket) -> bytes:
    arrived = b""
    while True:
        try:
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            return arrived
        arrived += piece


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_buffers_arrives_as_it_was_queued(
    pair: tuple[socket.socket, socket.socket], seed: int
) -> None:
    chance = random.Random(seed)
    left, right = pair
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    queue, expected, arrived = Outbound(), b"", b""
    for _ in range(200):
        data = chance.randbytes(chance.choice((1, 16, 1000, 70_000)))
        if chance.random() < 0.5:
            queue.append(memoryview(data))
        else:
            queue.append_frame(data[:1], data[1:] + b"!")
            data += b"!"
        expected += data
        if chance.random() < 0.5:
            queue.send_to(left)
            arrived += _drain(right)
        assert queue.size == len(expected) - len(arrived)
    while queue:
        queue.send_to(left)
        arrived += _drain(right)
    assert arrived == expected
    assert queue.size == 0


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (0, b"hello" + b"bye"),  # nothing has left: no frame is owed
        (3, b"lo" + b"bye"),
        (5, b"hello"[5:] + b"bye"),
        (6, b"P" + b"frame one" + b"bye"),  # half a prefix has left: its frame has to follow
        (7, b"frame one" + b"bye"),
        (10, b"me one" + b"bye"),
        (16, b"bye"),
        (17, b"P" + b"frame two" + b"bye"),
        (30, b""),
    ],
)
def test_frames_are_taken_back_unless_they_have_begun_to_leave(sent: int, left: bytes) -> None:
    queue = Outbound()
    queue.append(b"hello")
    queue.append_frame(b"pP", b"frame one")
    queue.append_frame(b"pP", b"frame two")
    queue.append(b"bye")
    queue.sent(sent)
    queue.drop_frames()
    rest = b""
    while queue:
        piece = bytes(queue.first(100))
        rest += piece
        queue.sent(len(piece))
    assert rest == left


def test_a_socket_that_takes_nothing_costs_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    left, _ = pair
    queue = Outbound()
    while queue.size < 1 << 20:
        queue.append(bytes(65536))
        queue.send_to(left)
        if queue:
            break
    waiting = queue.size
    assert queue.send_to(left) == 0
    assert queue.size == waiting
