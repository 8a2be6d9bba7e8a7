"""The lock of a process, taken while others look whether somebody holds it."""

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.node.engine_process import holder
from farshore.store.platform import Lock, RealFiles
from farshore.store.process_lock import take_lock


@pytest.fixture
def looking(tmp_path: Path) -> Iterator[int]:
    """Somebody in the middle of a look."""
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    yield descriptor
    os.close(descriptor)


def test_who_looks_is_not_seen_as_the_holder_by_another_who_looks(tmp_path: Path, looking: int) -> None:
    assert holder(tmp_path) is None


def test_who_looks_keeps_no_process_from_taking_the_lock(tmp_path: Path, looking: int) -> None:
    taken: list[Lock] = []
    process = threading.Thread(target=lambda: taken.append(take_lock(RealFiles(), str(tmp_path))))
    process.start()
    process.join(0.1)
    assert taken == []
    fcntl.flock(looking, fcntl.LOCK_UN)
    process.join(10)
    assert len(taken) == 1
    assert holder(tmp_path) == os.getpid()
    taken[0].release()
    assert holder(tmp_path) is None
