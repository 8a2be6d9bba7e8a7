"""The limit really replicates: it would be no figure to compare with if it did less than its job."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.contenders.base import Room
from bench.contenders.limit import Limit

SIZE = 8 << 20
REQUEST = struct.Struct(">IHHQQI")
READ, WRITE, DISCONNECT, FLUSH = range(4)


@pytest.fixture
def room() -> Iterator[Room]:
    with Room.make(SIZE) as found:
        yield found


@pytest.fixture
def limit(room: Room) -> Iterator[Path]:
    """The path of its socket."""
    contender = Limit(room)
    try:
        yield Path(contender.start().partition("socket=")[2])
    finally:
        contender.stop()


class Client:
    """As little of an NBD client as these tests need."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        assert self.receive(18).startswith(b"NBDMAGICIHAVEOPT")
        self.socket.sendall(struct.pack(">IQII", 3, int.from_bytes(b"IHAVEOPT", "big"), 1, 0))
        self.size, _ = struct.unpack(">QH", self.receive(10))

    def receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the limit closed the connection"
            data += piece
        return bytes(data)

    def answer(self) -> int:
        """The cookie of the next answer, which must not be an error."""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        assert (magic, error) == (0x67446698, 0)
        found: int = cookie
        return found

    def close(self) -> None:
        self.socket.sendall(request(DISCONNECT, 0, 0, 0))
        self.socket.close()


def request(kind: int, cookie: int, offset: int, length: int) -> bytes:
    return REQUEST.pack(0x25609513, 0, kind, cookie, offset, length)


def contents(room: Room) -> tuple[bytes, bytes]:
    return (room.path / "limit-a").read_bytes(), (room.path / "limit-b").read_bytes()


def test_answered_writes_lie_in_both_volumes_whatever_their_size_and_however_they_arrive(
    room: Room, limit: Path
) -> None:
    client = Client(limit)
    expected = bytearray(contents(room)[0])
    stream = bytearray()
    for cookie, (offset, length) in enumerate(
        [(0, 4096), (512, 1), (1 << 20, 3 << 20), (4096, 70_000), (8191, 2)]
    ):
        data = os.urandom(length)
        expected[offset : offset + length] = data
        stream += request(WRITE, cookie, offset, length) + data
    stream += request(FLUSH, 5, 0, 0)
    for first in range(0, len(stream), 50_021):
        client.socket.sendall(stream[first : first + 50_021])
    assert [client.answer() for _ in range(6)] == list(range(6))
    near, far = contents(room)
    assert near == expected
    assert far[: 1 << 12] == expected[: 1 << 12]
    assert far[1 << 20 : 4 << 20] == expected[1 << 20 : 4 << 20]
    client.close()


def test_a_read_sees_the_writes_before_it_in_the_same_batch(limit: Path) -> None:
    client = Client(limit)
    data = os.urandom(4096)
    client.socket.sendall(request(WRITE, 1, 8192, 4096) + data + request(READ, 2, 8192, 4096))
    found = {}
    for _ in range(2):
        cookie = client.answer()
        found[cookie] = client.receive(4096) if cookie == 2 else b""
    assert found == {1: b"", 2: data}
    client.close()


def test_a_client_that_leaves_without_a_word_does_not_disturb_the_next(room: Room, limit: Path) -> None:
    rude = Client(limit)
    rude.socket.sendall(request(WRITE, 7, 0, 4096) + bytes(4096) + request(WRITE, 8, 4096, 4096))
    rude.socket.close()
    client = Client(limit)
    assert client.size == SIZE
    client.socket.sendall(request(WRITE, 9, 0, 512) + b"n" * 512)
    assert client.answer() == 9
    near, far = contents(room)
    assert near[:512] == far[:512] == b"n" * 512
    client.close()
