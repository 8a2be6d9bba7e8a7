"""A user who is not root has the file, through fusermount3, and no loop device."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.store.mounts import mounts
from tests.device.conftest import MakeDevice
from tests.integration.engines import Engine
from tests.requires import requires, requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [requires("fusermount3"), requires_fuse(), requires_root()]

_ROOT = Path(__file__).resolve().parents[2]
_OPEN_TO_USERS = Path("/dev/fuse").exists() and Path("/dev/fuse").stat().st_mode & 0o006 == 0o006


@pytest.mark.skipif(_OPEN_TO_USERS, reason="here users may use FUSE")
def test_a_user_who_may_not_use_fuse_is_told_so(engine: Engine, attach: MakeDevice) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    _may_run_python(nobody)
    device = attach(engine)
    for path in (device.directory, device.directory.parent):
        os.chown(path, nobody, -1)
    assert device.launch(user=nobody).wait(20) == 1
    assert device.failure().code.name == "permission"
    assert "/dev/fuse" in device.failure().what


@pytest.mark.skipif(not _OPEN_TO_USERS, reason="needs a /dev/fuse that users may open")
def test_a_user_has_the_file(engine: Engine, attach: MakeDevice) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    _may_run_python(nobody)
    device = attach(engine)
    sockets = Path(device.config.control).parent
    for path in (device.directory, device.directory.parent, sockets, Path(device.config.socket)):
        os.chown(path, nobody, -1)
    process = device.launch(user=nobody)
    wait_until(lambda: process.poll() is not None or Path(device.config.control).exists(), 20.0)
    assert process.poll() is None, device.log()
    status = device.status()
    assert (status["way"], status["path"]) == ("file", status["file"])
    assert status["flusher"] == "prctl(PR_SET_IO_FLUSHER): Operation not permitted"
    _as(nobody, f"f = open({status['file']!r}, 'r+b', 0); f.write(b'x' * 100); f.seek(0); print(f.read(3))")
    assert [each.kind for each in mounts() if each.point == device.config.mount] == ["fuse.farshore"]
    assert device.detach() == 0
    assert [each for each in mounts() if each.point == device.config.mount] == []


def test_a_user_who_wants_a_loop_device_is_refused(engine: Engine, attach: MakeDevice) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    _may_run_python(nobody)
    device = attach(engine, way="loop")
    os.chown(device.directory, nobody, -1)
    os.chown(device.directory.parent, nobody, -1)
    assert device.launch(user=nobody).wait(20) == 1
    assert device.failure().code.name == "permission"


def _as(user: int, code: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code], user=user, cwd="/", capture_output=True, text=True, timeout=20
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _may_run_python(user: int) -> None:
    """A checkout below a home directory is nobody's business."""
    ran = subprocess.run(
        [sys.executable, "-c", "import farshore"], user=user, cwd=_ROOT, capture_output=True, timeout=20
    )
    if ran.returncode:
        pytest.skip("needs a checkout that other users may read")
