"""The real file layer passes the suite, on memory and on a disk."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.store.platform import FileLayer, RealFiles
from tests.unit.store.file_layer_suite import FileLayerSuite

HOLDER = """
import sys
from farshore.store.platform import RealFiles
lock = RealFiles().lock(sys.argv[1])
print(1, flush=True)
input()
"""


class TestRealFiles(FileLayerSuite):
    @pytest.fixture
    def layer(self) -> FileLayer:
        return RealFiles()

    @pytest.fixture(params=["memory", "disk"])
    def root(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
        if request.param == "memory":
            yield str(tmp_path)
            return
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="farshore-") as path:
            yield path


def test_zeroed_allocation_has_blocks_and_a_punched_range_has_none(tmp_path: Path) -> None:
    file = RealFiles().open(str(tmp_path / "file"), create=True)
    file.allocate_zeroed(1 << 20)
    assert (tmp_path / "file").stat().st_blocks * 512 >= 1 << 20
    file.punch(0, 1 << 20)
    assert (tmp_path / "file").stat().st_blocks * 512 < 1 << 20


def test_state_is_for_its_owner_only(tmp_path: Path) -> None:
    layer = RealFiles()
    layer.mkdir(str(tmp_path / "inner"))
    layer.open(str(tmp_path / "inner" / "file"), create=True)
    assert (tmp_path / "inner").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "inner" / "file").stat().st_mode & 0o777 == 0o600


def test_a_lock_is_held_against_other_processes_and_falls_with_its_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        with pytest.raises(FarshoreError) as refused:
            RealFiles().lock(path)
        assert refused.value.code.name == "state-locked"
        holder.kill()
        holder.wait()
    RealFiles().lock(path).release()
