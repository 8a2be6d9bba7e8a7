"""A volume as a file and as a block device: read, written, made durable, attached, detached."""

import errno
import mmap
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farshore.device import loop_device, mounting
from farshore.device.appearance import Appearance
from farshore.device.chores import Chores
from farshore.engine.reactor import Reactor
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig
from farshore.store.mounts import loop_devices
from tests.device.attaching import mounted, open_direct
from tests.device.conftest import SIZE, MakeDevice
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.interop.programs import run
from tests.processes import Processes
from tests.requires import requires, requires_fuse, requires_root
from tests.unit.engine.turning import turn_until
from tests.waiting import wait_until

pytestmark = [requires_fuse(), requires_root()]

MIB = 1 << 20


def test_root_gets_a_block_device_with_direct_io(engine: Engine, sites: Sites, attach: MakeDevice) -> None:
    device = attach(engine)
    path = device.start()
    status = device.status()
    assert status["way"] == "loop"
    assert status["state"] == "attached"
    assert status["size"] == SIZE
    assert stat.S_ISBLK(path.stat().st_mode)
    assert Path(f"/sys/block/{path.name}/loop/dio").read_text().strip() == "1"
    with path.open("r+b", buffering=0) as file:
        assert file.seek(0, os.SEEK_END) == SIZE
        file.seek(3 * MIB + 512)
        file.write(b"x" * 1024)
        os.fsync(file.fileno())
    with sites.image("a", "data").open("rb") as image:
        image.seek(3 * MIB)
        assert image.read(2048) == bytes(512) + b"x" * 1024 + bytes(512)
    assert device.detach() == 0
    assert str(path) not in [f"/dev/{each}" for each in loop_devices()]
    assert not Path(device.config.mount).exists()
    assert not Path(device.config.control).exists()


def test_a_file_is_read_and_written_in_all_sizes(engine: Engine, sites: Sites, attach: MakeDevice) -> None:
    device = attach(engine, way="file")
    path = device.start()
    assert stat.S_ISREG(path.stat().st_mode)
    expected = bytearray(SIZE)
    with path.open("r+b", buffering=0) as file:
        for offset, length in ((0, 1), (511, 3), (4096, 4096), (MIB - 7, 40_000), (2 * MIB, 3 * MIB + 5)):
            data = os.urandom(length)
            expected[offset : offset + length] = data
            assert os.pwrite(file.fileno(), data, offset) == length
        for offset, length in ((0, 512), (4000, 8192), (MIB - 100, 50_000), (2 * MIB - 1, 4 * MIB)):
            assert os.pread(file.fileno(), length, offset) == expected[offset : offset + length]
        assert os.pread(file.fileno(), 100, SIZE - 10) == bytes(10)
        assert os.pread(file.fileno(), 100, SIZE) == b""
        os.fsync(file.fileno())
    assert sites.image("a", "data").read_bytes() == expected
    assert device.detach() == 0


def test_a_disk_has_an_end(engine: Engine, attach: MakeDevice) -> None:
    path = attach(engine, way="file").start()
    with path.open("r+b", buffering=0) as file:
        assert os.pwrite(file.fileno(), b"abc", SIZE - 2) == 2
        with pytest.raises(OSError) as full:
            os.pwrite(file.fileno(), b"abc", SIZE)
        assert full.value.errno == errno.ENOSPC
        with pytest.raises(PermissionError):
            os.truncate(file.fileno(), SIZE // 2)
        with pytest.raises(PermissionError):
            os.truncate(file.fileno(), SIZE * 2)
        assert os.fstat(file.fileno()).st_size == SIZE


def test_zeroes_and_holes_are_made_without_data(engine: Engine, sites: Sites, attach: MakeDevice) -> None:
    device = attach(engine)
    path = device.start()
    with path.open("r+b", buffering=0) as file:
        file.write(b"x" * 8 * MIB)
        os.fsync(file.fileno())
    fd = open_direct(path)
    try:
        _fallocate(fd, 0x2 | 0x1, 2 * MIB, MIB)  # a hole
        _fallocate(fd, 0x10, 5 * MIB, 4096)  # zeroes
        page = mmap.mmap(-1, MIB)
        for offset, length in ((2 * MIB, MIB), (5 * MIB, 4096)):
            assert os.preadv(fd, [memoryview(page)[:length]], offset) == length
            assert page[:length] == bytes(length)
    finally:
        os.close(fd)
    image = sites.image("a", "data")
    assert image.read_bytes()[: 8 * MIB].count(b"x") == 7 * MIB - 4096
    with image.open("rb") as file:
        assert os.lseek(file.fileno(), 2 * MIB, os.SEEK_DATA) == 3 * MIB  # it is a hole there, too


def test_a_hole_may_be_longer_than_one_request_of_the_protocol(sites: Sites, attach: MakeDevice) -> None:
    engine = sites.alone({"data": 5 << 30})
    engine.start()
    image = sites.image("a", "data")
    for offset in (0, MIB, 2 << 30, (4 << 30) - 1, 4 << 30):
        with image.open("r+b") as file:
            file.seek(offset)
            file.write(b"x")
    path = attach(engine, way="file").start()
    with path.open("r+b", buffering=0) as file:
        _fallocate(file.fileno(), 0x2 | 0x1, MIB, (4 << 30) - MIB)
    with image.open("rb") as file:
        assert file.read(MIB) == b"x" + bytes(MIB - 1)
        assert os.lseek(file.fileno(), MIB, os.SEEK_DATA) == 4 << 30


def test_a_read_only_device_is_only_read(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine, read_only=True)
    path = device.start()
    assert device.status()["read_only"] is True
    with pytest.raises(OSError), path.open("r+b", buffering=0) as block:
        block.write(bytes(4096))
    with pytest.raises(OSError) as refused:
        os.close(os.open(device.status()["file"], os.O_RDWR))
    assert refused.value.errno == errno.EROFS
    assert path.read_bytes() == bytes(SIZE)
    assert device.detach() == 0


def test_a_link_leads_to_it_as_long_as_it_is_there(
    engine: Engine, attach: MakeDevice, tmp_path: Path
) -> None:
    at = tmp_path / "orders"
    device = attach(engine, at=str(at))
    path = device.start()
    assert at.readlink() == path
    device.kill()
    device.start()  # what the one that died left behind is taken over
    assert at.resolve() == device.path
    assert device.detach() == 0
    assert not at.is_symlink()


def test_what_is_in_the_way_of_the_link_stays(engine: Engine, attach: MakeDevice, tmp_path: Path) -> None:
    at = tmp_path / "orders"
    at.write_text("somebody's")
    device = attach(engine, at=str(at))
    device.launch()
    assert device.ended() == 1
    assert device.failure().code.name == "exists"
    assert at.read_text() == "somebody's"
    assert not [each for each in loop_devices().values() if device.config.id in each]


def test_a_device_in_use_is_not_detached_and_says_by_whom(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine)
    path = device.start()
    with path.open("r+b", buffering=0) as file:
        with pytest.raises(FarshoreError) as refused:
            device.ask("stop", lazy=False)
        assert refused.value.code.name == "in-use"
        assert f"process {os.getpid()} (" in refused.value.what
        file.write(b"still there")
        os.kill(device.pid, signal.SIGTERM)
        wait_until(lambda: device.events("detach-refused"))
        assert device.status()["state"] == "attached"
    os.kill(device.pid, signal.SIGTERM)
    assert device.ended() == 0


def test_a_detach_that_finds_the_mount_in_use_leaves_a_link_that_leads_to_the_device(
    engine: Engine, attach: MakeDevice, tmp_path: Path, processes: Processes
) -> None:
    at = tmp_path / "orders"
    device = attach(engine, at=str(at))
    device.start()
    inside = processes.start(["sleep", "infinity"], cwd=Path(device.config.mount))
    wait_until(lambda: Path(f"/proc/{inside.pid}/cwd").readlink() == Path(device.config.mount))
    with pytest.raises(FarshoreError) as refused:
        device.ask("stop", lazy=False)
    assert refused.value.code.name == "in-use"
    assert loop_devices()[at.readlink().name].startswith(device.config.mount)
    assert at.readlink() == device.path
    processes.kill(inside.pid)
    inside.wait(10)
    assert device.detach() == 0
    assert not at.is_symlink()


def test_a_link_never_leads_to_a_loop_device_that_may_be_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = tmp_path / "orders"
    shown = _shown_on_a_plain_file(tmp_path, at=str(at))
    seen: list[bool] = []

    def fails(_point: str, *, lazily: bool = False) -> None:  # as no kernel does when it is told to
        seen.append(at.is_symlink())
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    try:
        shown.device = shown.complete()
        with monkeypatch.context() as patched:
            patched.setattr(mounting, "unmount", fails)
            told = shown.remove()
        assert (told["refused"]["code"], seen) == ("io-error", [False])
        assert str(at.readlink()) == shown.device == told["device"]
        assert shown.remove() == {"device": None, "refused": None}
        assert not at.is_symlink()
    finally:
        shown.abandon()


def test_a_detach_whose_step_died_leaves_the_device_as_it_was(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine)
    path = device.start()
    children = Path(f"/proc/{device.pid}/task/{device.pid}/children")
    with path.open("rb"), ThreadPoolExecutor(1) as asking:
        asked = asking.submit(device.ask, "stop", lazy=False)  # it looks again and again whether that is over
        (child,) = wait_until(lambda: children.read_text().split(), what="the step that detaches")
        os.kill(int(child), signal.SIGKILL)
        with pytest.raises(FarshoreError) as refused:
            asked.result(20)
    assert refused.value.code.name == "internal"
    assert device.path == path
    assert device.detach() == 0


@requires("mkfs.btrfs")
def test_a_file_system_whose_mount_shows_another_number_is_named_all_the_same(
    sites: Sites, attach: MakeDevice, tmp_path: Path
) -> None:
    engine = sites.alone({"data": 128 * MIB})
    engine.start()
    device = attach(engine)
    path = device.start()
    run("mkfs.btrfs", "--quiet", path)
    with mounted(path, tmp_path / "mounted", "-t", "btrfs") as at:
        with pytest.raises(FarshoreError) as refused:
            device.ask("stop", lazy=False)
        assert (refused.value.code.name, f"mounted on {at}" in refused.value.what) == ("in-use", True)
    assert device.detach() == 0


def test_a_mount_that_was_taken_off_below_the_device_is_no_obstacle(
    engine: Engine, attach: MakeDevice
) -> None:
    device = attach(engine)
    path = device.start()
    run("umount", "-l", device.config.mount)
    with path.open("r+b", buffering=0) as file:
        file.write(b"the loop device holds the rest")
    assert device.path == path
    assert device.detach() == 0
    assert path.name not in loop_devices()


def test_a_loop_device_of_a_killed_process_is_found_also_when_the_dead_mount_was_taken_off(
    engine: Engine, attach: MakeDevice, tmp_path: Path
) -> None:
    device = attach(engine)
    path = device.start()
    run("mkfs.ext4", "-q", path)
    with mounted(path, tmp_path / "mounted"):
        device.kill()
        run("umount", "-l", device.config.mount)
        device.launch()
        assert device.ended() == 1
        refused = device.failure()
        assert (refused.code.name, refused.next_step) == ("in-use", f"umount {tmp_path / 'mounted'}")
    again = device.start()
    assert device.detach() == 0
    assert not {path.name, again.name} & loop_devices().keys()


def _shown_on_a_plain_file(directory: Path, at: str | None = None) -> Appearance:
    """Of a device whose mounted file is an ordinary one."""
    place = directory / "mount"
    place.mkdir()
    (place / "data").write_bytes(bytes(MIB))
    names = ("0" * 16, "orders", "data", "/nbd", "data")
    return Appearance(DeviceConfig(*names, MIB, "", str(place), "/ctl", way="loop", at=at), str(directory))


def test_a_loop_device_whose_maker_died_before_it_could_tell_is_known_all_the_same(tmp_path: Path) -> None:
    shown = _shown_on_a_plain_file(tmp_path)
    reactor = Reactor()
    chores = Chores(reactor)
    told: list[object] = []

    def dies() -> None:
        shown.complete()
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        chores.submit(dies, told.append)
        turn_until(reactor, lambda: len(told) == 1)
        assert isinstance(told[0], FarshoreError)
        assert shown.device is None
        shown.look()
        made = shown.device
        assert made is not None
        assert shown.remove() == {"device": None, "refused": None}
        assert Path(made).name not in loop_devices()
    finally:
        reactor.close()
        shown.abandon()


def test_a_device_whose_removal_ended_half_way_speaks_of_no_loop_device_that_is_not_its_own(
    tmp_path: Path,
) -> None:
    shown = _shown_on_a_plain_file(tmp_path)
    reactor = Reactor()
    chores = Chores(reactor)
    told: list[object] = []

    def half_way() -> None:
        assert shown.device is not None
        loop_device.free(shown.device)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    try:
        shown.device = shown.complete()
        assert shown.path == shown.device
        chores.submit(half_way, told.append)
        turn_until(reactor, lambda: len(told) == 1)
        assert isinstance(told[0], FarshoreError)
        assert (shown.device, shown.path) == (None, shown.file)
        assert shown.remove() == {"device": None, "refused": None}
    finally:
        reactor.close()
        if shown.device is not None:
            loop_device.free_when_unused(shown.device)


def test_the_wrong_volume_is_not_attached(engine: Engine, attach: MakeDevice) -> None:
    for wrong in ({"identity": "farshore 00 1"}, {"size": 2 * SIZE}):
        device = attach(engine, **wrong)
        device.launch()
        assert device.ended() == 1
        assert device.failure().code.name == "identity-changed"
        assert not Path(device.config.mount).exists()


def test_a_way_that_is_not_offered_is_refused(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine, way="kernel")
    device.launch()
    assert device.ended() == 1
    assert device.failure().code.name == "usage"


def test_two_processes_cannot_have_the_same_device(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine)
    path = device.start()
    first = device.pid
    second = device.launch()
    assert second.wait(20) == 1
    assert device.failure().code.name == "state-locked"
    assert path.read_bytes() == bytes(SIZE)
    os.kill(first, signal.SIGTERM)


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
