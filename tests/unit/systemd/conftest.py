"""A socket that stands for systemd's, or for its journal's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.systemd.entries import Listening


@pytest.fixture
def listening(socket_directory: Path) -> Iterator[Listening]:
    door = Listening(socket_directory / "socket")
    yield door
    door.close()
