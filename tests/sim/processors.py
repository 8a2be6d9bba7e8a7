"""Simulated lives on all processors of this machine."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool


@contextmanager
def processors() -> Iterator[Pool]:
    """One worker for each. They end by SIGTERM itself: our own handler of it, which they would inherit, is
    Python's, and one that is told of it just before it waits for its next task would wait for ever."""
    context = multiprocessing.get_context("fork")
    with context.Pool(os.cpu_count() or 2, signal.signal, (signal.SIGTERM, signal.SIG_DFL)) as pool:
        yield pool
