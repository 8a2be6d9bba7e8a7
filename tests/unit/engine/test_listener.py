"""A listener that cannot get a descriptor leaves its clients waiting and the loop in peace."""

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from farshore.engine.listener import PAUSE, Listener
from farshore.engine.reactor import Reactor
from tests.unit.engine.turning import turn_until


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _every_descriptor_below() -> list[int]:
    found: list[int] = []
    while True:
        try:
            found.append(os.dup(0))
        except OSError:
            return found


def test_clients_wait_while_there_are_no_descriptors(few_descriptors: None) -> None:
    reactor, taken = Reactor(), list[socket.socket]()
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    listener = Listener(reactor, server, taken.append)
    with socket.create_connection(listener.address) as client:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        taken_up = _every_descriptor_below()
        turns, deadline = 0, reactor.now + PAUSE / 2
        while reactor.now < deadline:
            reactor.turn(0.1)
            turns += 1
        assert taken == []
        assert turns < 20
        for descriptor in taken_up:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        turn_until(reactor, lambda: taken)
    taken[0].close()
    listener.close()
    reactor.close()
