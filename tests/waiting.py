"""Waiting on conditions. A test never sleeps for a time that it hopes is long enough.

Every wait has an end, and one that ends without its condition says which condition that was.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T], timeout: float = 10.0, *, interval: float = 0.01, what: str = ""
) -> T:
    """Asks `predicate` every `interval` seconds until it is true, and returns what it answered.

    Raises AssertionError after `timeout` seconds, naming `what` and the last answer. The predicate is
    asked once more at the very end, so that a machine that stood still does not fail a test.
    """
    pulse = threading.Event()
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        answer = predicate()
        if answer:
            return answer
        if late:
            raise AssertionError(f"not within {timeout} s: {what or predicate!r}; last answer {answer!r}")
        pulse.wait(interval)


def until_listening(path: Path) -> None:
    """Waits until somebody takes connections at a Unix socket; its name is there a moment before that."""

    def taken() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            return one.connect_ex(str(path)) == 0

    wait_until(taken, what=f"somebody to listen at {path}")
