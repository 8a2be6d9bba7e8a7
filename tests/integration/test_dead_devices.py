"""What a killed device leaves in the kernel is aborted and taken away, without anybody having to answer."""

import asyncio
import ctypes
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig, to_json
from farshore.node import dead_devices
from farshore.store.mounts import mounts
from farshore.store.own_mounts import KIND
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock
from tests.requires import requires_fuse, requires_root

pytestmark = [requires_fuse(), requires_root()]


@pytest.fixture
def config() -> Iterator[DeviceConfig]:
    """Of a device whose mount is there. Nobody answers what is asked of it, until the test is over."""
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as room:
        point = Path(room) / "mount"
        point.mkdir()
        fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
        libc = ctypes.CDLL(None)
        assert libc.mount(b"farshore", bytes(point), KIND.encode(), ctypes.c_ulong(6), options) == 0
        yield DeviceConfig(
            "0" * 16, "g", "v", "/nbd", "v", 4096, "", str(point), "/ctl", at=str(Path(room) / "at")
        )
        os.close(fuse)
        libc.umount2(bytes(point), 2)


def directory_of(config: DeviceConfig, directory: Path) -> Path:
    (directory / "device.json").write_text(json.dumps(to_json(config)))
    return directory


def test_a_question_that_nobody_answers_is_ended(config: DeviceConfig, tmp_path: Path) -> None:
    said: list[int | None] = []

    def ask() -> None:
        try:
            list(Path(config.mount).iterdir())
        except OSError as error:
            said.append(error.errno)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(0.2)
    assert asking.is_alive()
    asyncio.run(dead_devices.abort(directory_of(config, tmp_path)))
    asking.join(10)
    assert said


def test_the_mount_and_the_link_go(config: DeviceConfig, tmp_path: Path) -> None:
    at = Path(str(config.at))
    at.symlink_to("/dev/loop77")
    (tmp_path / "link").write_text("/dev/loop77")
    directory = directory_of(config, tmp_path)
    asyncio.run(dead_devices.clear(directory))
    assert not any(mount.point == config.mount for mount in mounts())
    assert not Path(config.mount).exists()
    assert not at.is_symlink()
    asyncio.run(dead_devices.clear(directory))  # there is nothing left, which is as good
    asyncio.run(dead_devices.abort(directory))


def test_a_link_of_somebody_else_stays(config: DeviceConfig, tmp_path: Path) -> None:
    at = Path(str(config.at))
    at.symlink_to("/dev/sda")
    (tmp_path / "link").write_text("/dev/loop77")
    asyncio.run(dead_devices.clear(directory_of(config, tmp_path)))
    asyncio.run(dead_devices.clear(directory_of(replace(config, at=str(tmp_path)), tmp_path)))
    assert at.is_symlink()


def test_nothing_is_taken_from_a_process_that_lives(config: DeviceConfig, tmp_path: Path) -> None:
    lock = take_lock(RealFiles(), str(tmp_path))
    with pytest.raises(FarshoreError) as refused:
        asyncio.run(dead_devices.clear(directory_of(config, tmp_path)))
    lock.release()
    assert refused.value.code.name == "state-locked"
    assert any(mount.point == config.mount for mount in mounts())
