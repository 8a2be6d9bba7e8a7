"""A short wait for the rest of what a client is sending."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from farshore.engine import lingering

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_what_has_come_meanwhile_is_taken_along(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"request")
    room = bytearray(32)
    assert lingering.rest(ours, memoryview(room)) == 7
    assert room[:7] == b"request"


def test_no_more_is_taken_than_there_is_room_for(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"0123456789")
    assert lingering.rest(ours, memoryview(bytearray(4))) == 4
    assert ours.recv(32) == b"456789"


def test_nobody_waits_for_a_client_that_sends_nothing(pair: Pair) -> None:
    ours, _ = pair
    done = threading.Thread(target=lingering.rest, args=(ours, memoryview(bytearray(4))))
    done.start()
    done.join(10)
    assert not done.is_alive()


def test_the_end_of_the_stream_is_left_to_the_next_read(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"last")
    theirs.close()
    assert lingering.rest(ours, memoryview(bytearray(32))) == 4
    assert ours.recv(32) == b""
