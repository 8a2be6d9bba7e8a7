"""The demo's NBD client against a server that is not ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.demo.nbd_client import NbdClient, NbdError
from tests.processes import Processes
from tests.requires import program, requires
from tests.waiting import until_listening

pytestmark = requires("nbdkit")
_SIZE = 8 << 20


@pytest.fixture
def uri(processes: Processes, socket_directory: Path) -> str:
    """A volume of zeroes, in memory."""
    path = socket_directory / "nbd.sock"
    processes.start([program("nbdkit"), "--foreground", "--unix", path, "memory", f"{_SIZE}"])
    until_listening(path)
    return f"nbd+unix:///?socket={path}"


@pytest.fixture
def client(uri: str) -> Iterator[NbdClient]:
    client = NbdClient(uri)
    yield client
    client.close()


def test_what_is_written_is_read_also_by_another_client(client: NbdClient, uri: str) -> None:
    assert client.size == _SIZE
    client.write(4096, b"abc" * 1000, fua=True)
    client.flush()
    other = NbdClient(uri)
    assert other.read(4095, 3002) == b"\0" + b"abc" * 1000 + b"\0"
    other.close()


def test_many_writes_are_under_way_at_once_and_all_arrive(client: NbdClient) -> None:
    client.write_all((number * 4096, bytes([number % 251]) * 4096) for number in range(500))
    for number in (0, 63, 64, 65, 499):
        assert client.read(number * 4096, 4096) == bytes([number % 251]) * 4096


def test_a_trimmed_range_reads_as_zeroes(client: NbdClient) -> None:
    client.write(0, b"x" * 8192)
    client.trim(0, 4096)
    assert client.read(0, 8192) == b"\0" * 4096 + b"x" * 4096


def test_a_refused_request_is_an_error_and_not_the_end(client: NbdClient) -> None:
    with pytest.raises(NbdError):
        client.write(_SIZE, b"x")
    assert client.read(0, 1) == b"\0"


def test_a_server_that_dies_is_a_broken_connection(client: NbdClient, processes: Processes, uri: str) -> None:
    processes.close()
    with pytest.raises(ConnectionError):
        client.read(0, 1)
    with pytest.raises(OSError):
        NbdClient(uri)


@pytest.mark.parametrize("uri", ["nbd://host/x", "nbd+unix:///x", "/a/path"])
def test_only_unix_sockets_are_spoken_to(uri: str) -> None:
    with pytest.raises(ValueError, match="Unix"):
        NbdClient(uri)
