"""Simulated lives on all processors of this machine, as far as nobody else needs them."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool

_BEHIND = 5


def _stand_back() -> None:
    """A worker ends by SIGTERM itself: our own handler of it, which it would inherit, is Python's, and one
    that is told of it just before it waits for its next task would wait for ever. And it lets others go
    first: tests with real clocks may run beside it, and time in a simulated life is simulated."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(_BEHIND)


@contextmanager
def processors() -> Iterator[Pool]:
    """One worker for each."""
    context = multiprocessing.get_context("fork")
    with context.Pool(os.cpu_count() or 2, _stand_back) as pool:
        yield pool
