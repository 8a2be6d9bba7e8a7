"""What systemd is told, and that telling it never holds anybody up."""

import os
import socket
from pathlib import Path

import pytest

from farshore.systemd.notify import Notifier
from tests.unit.systemd.entries import Listening


def test_what_a_service_says_is_a_line_each(listening: Listening) -> None:
    notifier = Notifier(str(listening.path))
    notifier.ready("serves  two\ngroups")
    notifier.status("one")
    notifier.alive()
    notifier.stopping("ends")
    told = [listening.next() for _ in range(4)]
    assert told == [
        b"READY=1\nSTATUS=serves two groups",
        b"STATUS=one",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=ends",
    ]


def test_an_abstract_socket_is_one_too() -> None:
    name = f"farshore-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(f"\0{name}")
        Notifier(f"@{name}").alive()
        assert door.recv(100) == b"WATCHDOG=1"


def test_without_systemd_nothing_is_said() -> None:
    notifier = Notifier.take({})
    notifier.ready("x")
    assert notifier.beat is None


def test_no_child_speaks_for_us() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    assert Notifier.take(environ).beat == 1.0
    assert environ == {"A": "b"}


@pytest.mark.parametrize(
    "environ",
    [
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "3000000"},
    ],
    ids=["of another process", "no number", "none", "nobody to tell"],
)
def test_a_watchdog_that_does_not_wait_for_us(environ: dict[str, str]) -> None:
    assert Notifier.take(environ).beat is None


def test_a_socket_that_is_gone_or_full_holds_nobody_up(listening: Listening, tmp_path: Path) -> None:
    Notifier(str(tmp_path / "gone")).alive()
    notifier = Notifier(str(listening.path))
    for _ in range(10_000):  # more than fits into the socket's queue
        notifier.alive()
    assert listening.next() == b"WATCHDOG=1"
