"""Processes that are made to stand still for a moment, so that what they have done can be looked at."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import Processes
from tests.waiting import wait_until


@contextmanager
def still(processes: Processes, pids: Iterable[int]) -> Iterator[None]:
    """None of these processes runs within the block. Those that are alive afterwards go on."""
    stopped = list(pids)
    for pid in stopped:
        processes.adopt(pid)
    try:
        for pid in stopped:
            processes.kill(pid, signal.SIGSTOP)
        for pid in stopped:
            wait_until(lambda pid=pid: _stands(pid), interval=0.0005, what=f"process {pid} to stand still")  # type: ignore[misc]
        yield
    finally:
        for pid in stopped:
            processes.kill(pid, signal.SIGCONT)


def any_moment(seconds: float) -> None:
    """Returns that much later. For moments drawn at random: whatever is the case then is what is wanted."""
    then = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= then, seconds + 10, interval=0.005, what="a moment")


def _stands(pid: int) -> bool:
    """Whether every thread is stopped, or gone."""
    states = []
    for each in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(each.read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue  # the thread has ended
    return all(state in "TtZX" for state in states)
