"""A host of the test's own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine that is off; it is gone after the tests of a module."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    made = Machine(Path(tempfile.mkdtemp(prefix="farshore-", dir=place)))
    yield made
    made.close()
