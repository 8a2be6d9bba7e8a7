"""Fixtures for tests with devices: a primary's engine, alone or with a peer, and devices on it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.device.attaching import Attached, config_for
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.processes import Processes

MakeDevice: TypeAlias = Callable[..., Attached]
SIZE = 64 << 20


@pytest.fixture
def sites(tmp_path: Path, socket_directory: Path, processes: Processes) -> Iterator[Sites]:
    """Makes engines."""
    made = Sites(processes, tmp_path, socket_directory)
    yield made
    for door in made.doors:
        door.close()


@pytest.fixture
def engine(sites: Sites) -> Engine:
    """A primary alone, running, with the volume `data` in memory."""
    made = sites.alone({"data": SIZE})
    made.start()
    return made


@pytest.fixture
def attach(processes: Processes, socket_directory: Path) -> Iterator[MakeDevice]:
    """Makes devices, not started: `attach(engine, hold=5.0)`."""
    directory = Path(tempfile.mkdtemp(prefix="farshore-device-", dir="/tmp"))
    made: list[Attached] = []

    def make(engine: Engine, **fields: Any) -> Attached:
        device = Attached(processes, directory, config_for(engine, directory, socket_directory))
        device.change(**fields)
        made.append(device)
        return device

    yield make
    for device in made:
        device.clear_away()
    shutil.rmtree(directory)
