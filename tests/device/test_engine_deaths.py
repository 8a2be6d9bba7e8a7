"""A mounted file system under load while its engine is killed and started again: it waits, and goes on.

What has to hold: no program sees an error or a wrong byte, the file system is clean, and the copy at the
peer is the same byte for byte, with the same clean file system in it. Soak rounds: `tests/soak`.
"""

from pathlib import Path

import pytest

from tests.device.conftest import MakeDevice
from tests.device.rounds import FILE_SYSTEMS, Scene
from tests.integration.conftest import Sites
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [
    requires("mkfs.ext4", "fsck.ext4", "mkfs.xfs", "xfs_repair"),
    requires_fuse(),
    requires_root(),
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", sorted(FILE_SYSTEMS))
def test_a_file_system_outlives_its_engines(
    kind: str, sites: Sites, attach: MakeDevice, tmp_path: Path, processes: Processes
) -> None:
    scene = Scene(sites, attach, tmp_path, processes, kind)
    scene.play(rounds=4, seed=7)
    assert scene.reconnects >= 4
    assert scene.held > 0
