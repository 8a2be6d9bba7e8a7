"""Turns a reactor until something holds, for tests on one thread."""

import time
from collections.abc import Callable

from farshore.engine.reactor import Reactor


def turn_until(reactor: Reactor, predicate: Callable[[], object], timeout: float = 10.0) -> None:
    """Raises AssertionError if `predicate` is still false after `timeout` seconds of turns."""
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"not within {timeout} s: {predicate!r}"
        reactor.turn(0.05)
