"""Requests of NBD clients that cannot be done: each is answered, and the connection stays good."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from farshore.demo.nbd_client import NbdError
from farshore.wire.nbd import constants as nbd
from tests.badinput.scene import SIZE, Scene
from tests.fault.connection import Connection

_MOST = 32 << 20
_OPTION_REPLY = struct.Struct(">QIII")


@pytest.fixture
def client(scene: Scene) -> Iterator[Connection]:
    """A connection to orders that has to be as good at the end as at the beginning."""
    content = os.urandom(4096)
    with scene.a.client("orders") as other:
        other.write(0, content)
    connection = Connection(scene.a.uri("orders"))
    yield connection
    assert connection.read(0, 4096) == content
    assert connection.refused(nbd.NBD_CMD_WRITE, 0, 4096, 0, content) == 0
    connection.close()
    assert scene.a.group("orders").health == "protected"
    scene.cluster.equal("orders")


@pytest.mark.parametrize("offset", [SIZE - 511, SIZE, SIZE + 4096, (1 << 64) - 512])
def test_beyond_the_end(client: Connection, offset: int) -> None:
    assert _read(client, offset, 512) == errno.EINVAL
    assert client.refused(nbd.NBD_CMD_WRITE, offset, 512, 0, bytes(512)) == errno.ENOSPC
    for command in (nbd.NBD_CMD_TRIM, nbd.NBD_CMD_WRITE_ZEROES, nbd.NBD_CMD_CACHE):
        assert client.refused(command, offset, 512) in (errno.EINVAL, errno.ENOSPC)


def test_longer_than_a_request_may_be(client: Connection) -> None:
    assert _read(client, 0, _MOST + 512) in (errno.EINVAL, errno.EOVERFLOW)
    assert client.refused(nbd.NBD_CMD_WRITE, 0, _MOST + 512, 0, bytes(_MOST + 512)) == errno.EINVAL
    with pytest.raises(NbdError):
        client.read(0, (1 << 32) - 1)


def test_no_request_at_all(client: Connection) -> None:
    assert client.refused(99, 0, 512) == errno.EINVAL
    assert client.refused(nbd.NBD_CMD_FLUSH, 0, 0, flags=1 << 12) == errno.EINVAL
    assert client.refused(nbd.NBD_CMD_WRITE, 0, 512, 1 << 13, bytes(512)) == errno.EINVAL
    assert client.refused(nbd.NBD_CMD_WRITE_ZEROES, 0, 512, flags=1 << 11) == errno.EINVAL
    assert client.refused(nbd.NBD_CMD_BLOCK_STATUS, 0, 512) == errno.EINVAL  # nothing was negotiated for it


def test_errors_among_good_requests(client: Connection) -> None:
    before = client.read(8192, 4096)
    wanted = {}
    for number in range(60):
        if number % 3:
            wanted[client.post_write(8192, before)] = 0
        else:
            wanted[client.post_write(SIZE - 100, bytes(4096))] = errno.ENOSPC
    answered = dict(client.reply() for _ in wanted)
    assert answered == wanted


def test_an_export_that_is_not_there(scene: Scene, client: Connection) -> None:
    path = parse_qs(urlsplit(scene.a.uri("orders")).query)["socket"][0]
    with pytest.raises(NbdError, match="none"):
        Connection(f"nbd+unix:///none?socket={path}")
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(10)
        door.connect(path)
        _exactly(door, 18)
        door.sendall(struct.pack(">I", 3))
        assert _go(door, b"none") == [nbd.NBD_REP_ERR_UNKNOWN]
        assert _go(door, b"x" * 5000)[-1] & 1 << 31  # longer than a name may be
        assert _go(door, b"data")[-1] == nbd.NBD_REP_ACK
    assert client.size == SIZE


def _read(client: Connection, offset: int, length: int) -> int:
    client.post(nbd.NBD_CMD_READ, offset, length)
    return client.reply()[1]


def _go(door: socket.socket, name: bytes) -> list[int]:
    """Asks for an export; the kinds of the answers."""
    data = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
    door.sendall(struct.pack(">QII", nbd.NBD_IHAVEOPT, nbd.NBD_OPT_GO, len(data)) + data)
    kinds: list[int] = []
    while not kinds or (kinds[-1] != nbd.NBD_REP_ACK and not kinds[-1] & 1 << 31):
        _, _, kind, length = _OPTION_REPLY.unpack(_exactly(door, _OPTION_REPLY.size))
        _exactly(door, length)
        kinds.append(kind)
    return kinds


def _exactly(door: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = door.recv(length - len(data))
        assert more, "the server closed the connection"
        data += more
    return data
