"""Engines that are away: what is held, for how long, and who is let in again."""

import errno
import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import ExportIntent, TurnIntent
from tests.device.attaching import Attached, open_direct
from tests.device.conftest import SIZE, MakeDevice
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.interop.programs import run
from tests.processes import Processes
from tests.requires import requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [requires_fuse(), requires_root()]

_PAGE = 4096
MIB = 1 << 20


def _write(path: Path, number: int) -> int:
    """One page, past every cache: what the system said."""
    with path.open("r+b", buffering=0) as file:
        return os.pwrite(file.fileno(), bytes([number]) * _PAGE, number * _PAGE)


def _errno_of(future: "Future[int]") -> int | None:
    error = future.exception(30)
    return error.errno if isinstance(error, OSError) else None


def _holding(device: Attached, count: int) -> None:
    wait_until(lambda: device.status()["held"] == count, what=f"{count} are held: {device.status()}")


def test_requests_are_held_until_the_engine_is_back(engine: Engine, sites: Sites, attach: MakeDevice) -> None:
    device = attach(engine, way="file")
    path = device.start()
    _write(path, 1)
    engine.kill()
    status = device.wait_for("waiting")
    assert "engine" in status["why"]
    assert status["next"].startswith("farshore ")
    with ThreadPoolExecutor(4) as pool:
        held = [pool.submit(_write, path, number) for number in (2, 3, 4)]
        read = pool.submit(path.read_bytes)
        _holding(device, 4)
        engine.start()
        assert [each.result(30) for each in held] == [_PAGE] * 3
        found = read.result(30)
    assert found[_PAGE : 2 * _PAGE] == b"\1" * _PAGE
    image = sites.image("a", "data").read_bytes()
    assert [image[number * _PAGE] for number in range(6)] == [0, 1, 2, 3, 4, 0]
    status = device.wait_for("attached")
    assert (status["held"], status["reconnects"], status["why"]) == (0, 1, "")


def test_an_engine_that_stands_still_is_told_of(
    engine: Engine, attach: MakeDevice, processes: Processes
) -> None:
    device = attach(engine, way="file")
    path = device.start()
    _write(path, 1)
    processes.kill(engine.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(_write, path, 2)
            status = device.wait_for("waiting")
            assert "answered nothing for" in status["why"]
            assert status["held"] == 1
            processes.kill(engine.pid, signal.SIGCONT)
            assert writing.result(30) == _PAGE
    finally:
        processes.kill(engine.pid, signal.SIGCONT)
    status = device.wait_for("attached")
    assert (status["held"], status["reconnects"], status["why"]) == (0, 0, "")


def test_an_engine_that_stops_in_order_is_waited_for_as_well(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine, way="file")
    path = device.start()
    ended = threading.Event()

    def keep_writing() -> int:
        count = 0
        while not ended.is_set():
            count += _write(path, count % 50)
        return count

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(keep_writing)
        for _ in range(3):
            assert engine.terminate() == 0
            _holding(device, 1)
            before = device.status()["reconnects"]
            engine.start()
            wait_until(lambda: device.status()["reconnects"] > before, 20.0)  # noqa: B023
        ended.set()
        assert writing.result(30) > 0


def test_what_is_held_too_long_fails_with_a_stated_error(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine, way="file", hold=1.0)
    path = device.start()
    engine.kill()
    with ThreadPoolExecutor(2) as pool:
        assert _errno_of(pool.submit(_write, path, 1)) == errno.EIO
    status = device.status()
    assert (status["state"], status["held"]) == ("failed", 0)
    assert "longer than 1 s" in status["why"]
    with pytest.raises(OSError, match="Input/output error"):
        _write(path, 2)  # at once
    assert len(device.events("held-too-long")) == 1
    engine.start()
    device.wait_for("attached")
    assert _write(path, 3) == _PAGE
    assert device.detach() == 0
    again = attach(engine, way="file")
    assert _write(again.start(), 4) == _PAGE


def test_a_device_can_be_made_and_taken_off_while_there_is_no_engine(
    engine: Engine, attach: MakeDevice
) -> None:
    engine.kill()
    device = attach(engine)
    path = device.start()
    assert device.status()["state"] == "waiting"
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(path.read_bytes)
        wait_until(lambda: device.status()["held"])
        with pytest.raises(FarshoreError, match="in use"):
            device.ask("stop", lazy=False)
        engine.start()
        assert len(read.result(30)) == SIZE
    engine.kill()
    device.wait_for("waiting")
    assert device.detach() == 0


@pytest.mark.parametrize("change", ["another volume", "another size", "read only", "promoted anew"])
def test_nothing_is_sent_to_what_is_not_the_volume(
    change: str, engine: Engine, sites: Sites, attach: MakeDevice
) -> None:
    device = attach(engine, way="file", hold=120.0)
    path = device.start()
    _write(path, 1)
    engine.kill()
    device.wait_for("waiting")
    other = _other_engine(change, engine, sites)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(_write, path, 2)
        wait_until(lambda: device.status()["held"])
        other.start()
        assert _errno_of(held) == errno.EIO
    status = device.wait_for("failed")
    assert status["why"]
    with pytest.raises(OSError, match="Input/output error"):
        _write(path, 3)
    assert not any(sites.image("a", "data").read_bytes()[2 * _PAGE :])
    other.terminate()
    exports = (ExportIntent(1, unix=device.config.socket),)
    engine.write_intent(replace(engine.config, exports=exports, turn=None))
    engine.start()
    device.wait_for("attached")
    assert _write(path, 4) == _PAGE


def _other_engine(change: str, engine: Engine, sites: Sites) -> Engine:
    """What answers where the engine was."""
    if change == "read only":
        exports = (replace(engine.config.exports[0], read_only=True),)
        engine.write_intent(replace(engine.config, exports=exports))
        return engine
    config = engine.config
    if change == "promoted anew":
        engine.write_intent(replace(config, turn=TurnIntent(b"t" * 16)))
        return engine
    size = SIZE if change == "another volume" else SIZE // 2
    volumes = sites.volumes("other", {"data": size})
    other = replace(
        config, group=b"O" * 16 if size == SIZE else config.group, copy=b"O" * 16, volumes=tuple(volumes)
    )
    return Engine(sites.processes, sites.directory / "other", other, [])


def test_what_was_acknowledged_durable_is_so_and_what_was_not_is_asked_again(
    engine: Engine, sites: Sites, attach: MakeDevice
) -> None:
    device = attach(engine)
    path = device.start()
    fd = open_direct(path)
    os.close(fd)
    with path.open("r+b") as file:
        file.write(b"x" * (8 << 20))
        file.flush()
        engine.kill()
        with ThreadPoolExecutor(1) as pool:
            synced = pool.submit(os.fsync, file.fileno())
            wait_until(lambda: device.status()["held"])
            engine.start()
            assert synced.result(30) is None
    assert sites.image("a", "data").read_bytes()[: 8 << 20] == b"x" * (8 << 20)


def _write_much(path: Path, number: int) -> int:
    with path.open("r+b", buffering=0) as file:
        return os.pwrite(file.fileno(), bytes([number + 1]) * MIB, number % 60 * MIB)


def test_what_is_held_has_a_bound_and_the_rest_waits_with_the_kernel(
    engine: Engine, attach: MakeDevice
) -> None:
    device = attach(engine, way="file")
    path = device.start()
    engine.kill()
    device.wait_for("waiting")
    with ThreadPoolExecutor(90) as pool:
        held = [pool.submit(_write_much, path, number) for number in range(90)]
        wait_until(lambda: device.status()["held"] >= 60, 20.0)
        assert device.status()["held"] <= 66
        engine.start()
        assert [each.result(60) for each in held] == [MIB] * 90
    found = path.read_bytes()
    for number in range(60):  # where two wrote, each may have the last word, and in two pieces
        writers = {each + 1 for each in (number, number + 60) if each < 90}
        assert set(found[number * MIB : (number + 1) * MIB]) <= writers


def test_a_mount_that_somebody_breaks_off_ends_the_device(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine, way="file")
    path = device.start()
    engine.kill()
    device.wait_for("waiting")
    with ThreadPoolExecutor(70) as pool:
        held = [pool.submit(_write_much, path, number) for number in range(70)]
        wait_until(lambda: device.status()["held"] >= 60, 20.0)
        run("umount", "-f", "-l", device.config.mount)
        assert {_errno_of(each) for each in held} <= {errno.ECONNABORTED, errno.ENOTCONN, errno.EIO}
    assert device.ended() == 0
    assert device.events("unmounted")


def test_status_says_what_this_system_permits(engine: Engine, attach: MakeDevice) -> None:
    device = attach(engine, way="file")
    device.start()
    status = device.status()
    assert status["locked"] is True  # for root
    assert status["flusher"] is True or "PR_SET_IO_FLUSHER" in status["flusher"]  # containers forbid it
    with Path(f"/proc/{device.pid}/status").open() as lines:
        (locked,) = [int(line.split()[1]) for line in lines if line.startswith("VmLck:")]
    assert locked > 1024  # KiB
