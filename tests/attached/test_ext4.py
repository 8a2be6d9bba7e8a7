"""Files and databases on an attached volume, while what serves it dies; hundreds of times in `tests/soak`."""

import random
from pathlib import Path

import pytest

from tests.attached.file_system import torment_file_system
from tests.cluster import Cluster
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [requires("mkfs.ext4", "fsck.ext4"), requires_fuse(), requires_root()]

SEED = 20261123


@pytest.mark.timeout(180)
def test_files_and_databases_notice_no_death_below_them(sites: Cluster, tmp_path: Path) -> None:
    done = torment_file_system(sites, tmp_path, random.Random(SEED), ("engine", "node", "both", "engine"))
    print(done)
    assert min(done) > 4
