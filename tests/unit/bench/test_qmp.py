"""A monitor of QEMU that serves somebody else is tried again; whoever gives up leaves nothing open."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.contenders.base import CannotStart, Processes
from bench.contenders.qmp import Monitor
from tests.requires import requires


@pytest.fixture
def monitor(socket_directory: Path) -> Iterator[Path]:
    """Of a storage daemon without anything to store."""
    path = socket_directory / "qmp"
    processes = Processes(socket_directory / "log")
    chardev = f"socket,id=monitor,path={path},server=on,wait=off"
    processes.start(["qemu-storage-daemon", "--chardev", chardev, "--monitor", "chardev=monitor"])
    try:
        yield path
    finally:
        processes.stop()


def _open_files() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


@requires("qemu-storage-daemon")
def test_a_monitor_is_reached_while_it_starts_and_behind_clients_that_hang_up(monitor: Path) -> None:
    for _ in range(30):
        with Monitor(monitor) as qmp:
            assert qmp.do("query-block-jobs") == []
        with socket.socket(socket.AF_UNIX) as hurried:
            hurried.connect(str(monitor))


@requires("qemu-storage-daemon")
def test_what_qemu_refuses_is_said_in_its_words(monitor: Path) -> None:
    with Monitor(monitor) as qmp, pytest.raises(CannotStart, match="QEMU refused no-such-command"):
        qmp.do("no-such-command")


def test_a_monitor_that_does_not_greet_is_given_up_with_nothing_left_open(socket_directory: Path) -> None:
    path = socket_directory / "qmp"
    before = _open_files()
    with pytest.raises(CannotStart, match=r"did not greet within 0\.1 s"):
        Monitor(path, 0.1)
    assert _open_files() == before


@requires("qemu-storage-daemon")
def test_a_monitor_with_another_client_is_given_up_with_nothing_left_open(monitor: Path) -> None:
    with Monitor(monitor):
        before = _open_files()
        with pytest.raises(CannotStart, match="did not greet within"):
            Monitor(monitor, 0.1)
        assert _open_files() == before
