"""Two engines whose files lie on a real disk that a test lets fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks.failing_disk import FailingDisk, build
from tests.disks.pairs import FailingPair
from tests.integration.conftest import Sites
from tests.processes import Processes


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lets a disk fail, compiled."""
    return build(tmp_path_factory.mktemp("failing-disk"))


@pytest.fixture
def disk(library: Path, tmp_path: Path) -> Iterator[FailingDisk]:
    """A disk that is well until a test says otherwise."""
    made = FailingDisk(tmp_path, library)
    yield made
    made.close()


@pytest.fixture
def failing(
    disk: FailingDisk, disk_path: Path, socket_directory: Path, processes: Processes
) -> Iterator[FailingPair]:
    """A pair of engines on it, not made yet."""
    made = Sites(processes, disk_path, socket_directory)
    pair = FailingPair(made, disk)
    yield pair
    pair.close()
    for door in made.doors:
        door.close()
