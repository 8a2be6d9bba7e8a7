"""Devices for long: engines that die under file systems, and memory that only comes back through the device.

Short forms are in `tests/device`. FARSHORE_SEED chooses other moments; the seed is printed.
"""

import os
from pathlib import Path

import pytest

from tests.device.conftest import MakeDevice, attach, sites  # noqa: F401 - fixtures
from tests.device.limits import in_both_forms, requires_memory_limits
from tests.device.rounds import FILE_SYSTEMS, Scene
from tests.device.writeback import Pressure
from tests.integration.conftest import Sites
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [
    requires("mkfs.ext4", "fsck.ext4", "mkfs.xfs", "xfs_repair"),
    requires_fuse(),
    requires_root(),
]

KILLS = 150
MEMORY_ROUNDS = 50


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", sorted(FILE_SYSTEMS))
def test_file_systems_outlive_many_engines(
    kind: str,
    sites: Sites,  # noqa: F811
    attach: MakeDevice,  # noqa: F811
    tmp_path: Path,
    processes: Processes,
) -> None:
    seed = int(os.environ.get("FARSHORE_SEED", "1"))
    print(f"seed {seed}", flush=True)
    scene = Scene(sites, attach, tmp_path, processes, kind)
    scene.play(rounds=KILLS, seed=seed)
    assert scene.reconnects >= KILLS


@requires_memory_limits()
@pytest.mark.timeout(3600)
@in_both_forms()
def test_fifty_rounds_of_writeback_through_the_device_end(
    everybody: bool,
    disk_path: Path,
    socket_directory: Path,
    attach: MakeDevice,  # noqa: F811
    processes: Processes,
) -> None:
    pressure = Pressure(disk_path, socket_directory, attach, processes)
    assert pressure.play(rounds=MEMORY_ROUNDS, everybody=everybody) > 0
