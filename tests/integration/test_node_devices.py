"""The node keeps one process per attached volume: found again, replaced, detached, and never torn away."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.node import (
    device_states,
    devices,
    doctor,
    engine_process,
    exports,
    groups,
    reconcile,
    reshaping,
)
from farshore.node.device_store import StoredDevice
from farshore.node.devices import DeviceWish
from farshore.node.intent import GroupWish, VolumeWish
from farshore.node.node import Node
from tests.integration.live_nodes import MIB, asked, kinds, names_in, running, until


async def make(node: Node, base: Path, *volumes: str) -> None:
    wished = tuple(VolumeWish(each, str(base / f"{each}.img"), MIB) for each in volumes)
    await groups.create(node, GroupWish("orders", wished))


def device_of(node: Node, volume: str = "data") -> StoredDevice:
    (found,) = node.devices.of_group("orders", volume)
    return found


def pid_of(node: Node, device: StoredDevice) -> int:
    seen = node.device_supervisor.seen(device.key)
    return seen.pid or 0 if seen is not None and seen.running else 0


async def refused(doing: Any, code: str) -> FarshoreError:
    with pytest.raises(FarshoreError) as caught:
        await doing
    assert caught.value.code.name == code, caught.value.what
    return caught.value


def test_a_device_outlives_its_node_and_is_found_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            node = opened.node
            await make(node, tmp_path, "data")
            (shown,) = await devices.attach(node, DeviceWish("orders", at=str(tmp_path / "link"), hold=30))
            assert (shown["state"], shown["path"], shown["hold_seconds"]) == ("attached", "/dev/loop77", 30)
            device = device_of(node)
            first = pid_of(node, device)
            assert os.getsid(first) == first, "it has a session of its own"
        assert engine_process.holder(device.directory) == first
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            assert await until(lambda: pid_of(node, device)) == first
            assert "device-adopted" in kinds(node)
            assert [each["pid"] for each in await device_states.documents(node)] == [first]
            checks = {each["name"]: each for each in await doctor.checks(node)}
            assert checks["device of orders/data"]["result"] == "ok"
            assert "device of orders/data, locked" not in checks
            flusher = checks["device of orders/data, flusher"]
            assert (flusher["result"], "CAP_SYS_RESOURCE" in flusher["next"]) == ("warn", True)
            (gone,) = await devices.detach(node, "orders", "data")
            assert gone["state"] == "detached"
            assert engine_process.holder(device.directory) is None
            assert names_in(node.paths.devices) == []
            assert kinds(node)[-1] == "device-detached"

    asyncio.run(scenario())


def test_a_killed_device_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data")
            await devices.attach(node, DeviceWish("orders"))
            device = device_of(node)
            before = pid_of(node, device)
            os.kill(before, signal.SIGKILL)
            await until(lambda: pid_of(node, device) not in (0, before))
            assert kinds(node).count("device-ended") == 1
            assert kinds(node).count("device-started") == 2

    asyncio.run(scenario())


def test_a_device_in_use_is_never_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data", "wal")
            await devices.attach(node, DeviceWish("orders"))
            device, other = device_of(node), device_of(node, "wal")
            before = pid_of(node, device)
            (other.directory / "in-use").touch()
            error = await refused(devices.detach(node, "orders", "wal"), "in-use")
            assert error.next_step == "umount /mnt"
            await refused(devices.stop_all(node), "in-use")
            # What had been stopped before the refusal came is there again, and what refused went on.
            await until(lambda: pid_of(node, device) not in (0, before))
            assert pid_of(node, other)
            assert "device-ended" not in kinds(node)
            (other.directory / "in-use").unlink()
            await devices.stop_all(node)
            assert engine_process.holder(other.directory) is None
            assert len(node.devices.all()) == 2, "they are attached again by the next start"

    asyncio.run(scenario())


def test_a_device_in_use_is_not_ended_by_a_node_that_has_not_met_it_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "STOP_SECONDS", 0.2)

    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            await make(opened.node, tmp_path, "data")
            await devices.attach(opened.node, DeviceWish("orders"))
            device = device_of(opened.node)
            before = pid_of(opened.node, device)
        (device.directory / "in-use").touch()
        async with running(tmp_path / "a", "a") as opened:
            await refused(devices.detach(opened.node, "orders", "data"), "in-use")
            await refused(devices.stop_all(opened.node), "in-use")
            assert engine_process.holder(device.directory) == before
            (device.directory / "in-use").unlink()
            await devices.detach(opened.node, "orders", "data")
            assert engine_process.holder(device.directory) is None

    asyncio.run(scenario())


def test_a_device_that_does_not_say_whether_it_stops_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "STOP_SECONDS", 0.3)

    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data")
            await devices.attach(node, DeviceWish("orders"))
            device = device_of(node)
            before = pid_of(node, device)
            (device.directory / "stuck").touch()
            error = await refused(devices.detach(node, "orders", "data"), "timeout")
            assert "it stays attached" in error.means
            assert (pid_of(node, device), node.devices.all()) == (before, [device])
            (device.directory / "stuck").unlink()
            os.kill(before, signal.SIGKILL)
            await until(lambda: pid_of(node, device) not in (0, before))
            await devices.detach(node, "orders", "data")

    asyncio.run(scenario())


def test_what_cannot_be_attached_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data", "unfit")
            exported = await exports.all_exports(node)
            await refused(devices.attach(node, DeviceWish("orders", read_only=True)), "permission")
            assert (await exports.all_exports(node)) == exported
            error = await refused(devices.attach(node, DeviceWish("orders")), "permission")
            assert error.next_step == "ls -l /dev/fuse"
            assert node.devices.all() == []
            assert names_in(node.paths.devices) == []
            await devices.attach(node, DeviceWish("orders", "data"))
            again = await refused(devices.attach(node, DeviceWish("orders", "data")), "exists")
            assert "farshore device detach orders/data" in again.next_step
            for wish, code in (
                (DeviceWish("orders", "none"), "not-found"),
                (DeviceWish("none"), "not-found"),
                (DeviceWish("orders", way="tape"), "usage"),
                (DeviceWish("orders", hold=0), "usage"),
                (DeviceWish("orders", hold=float("nan")), "usage"),
                (DeviceWish("orders", "unfit", at="here"), "usage"),
                (DeviceWish("orders", "unfit", at=str(tmp_path)), "exists"),
                (DeviceWish("orders", "unfit", at=str(tmp_path / "no" / "link")), "not-found"),
            ):
                await refused(devices.attach(node, wish), code)
            await refused(devices.detach(node, "orders", "unfit"), "not-found")
            assert len(node.devices.all()) == 1

    asyncio.run(scenario())


def test_one_link_leads_to_one_device(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            await make(opened.node, tmp_path, "data", "wal")
            wish = DeviceWish("orders", at=str(tmp_path / "link"))
            error = await refused(devices.attach(opened.node, wish), "usage")
            assert "orders/VOLUME" in error.next_step

    asyncio.run(scenario())


def test_what_an_attached_volume_stands_on_cannot_be_taken_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data", "wal")
            await devices.attach(node, DeviceWish("orders", "data"))
            for doing in (
                groups.delete(node, "orders"),
                exports.delete(node, "orders", None),
                reshaping.remove(node, "orders", "data"),
            ):
                error = await refused(doing, "in-use")
                assert "farshore device detach orders/data" in error.next_step
            await reshaping.remove(node, "orders", "wal")
            await devices.detach(node, "orders", None)
            await groups.delete(node, "orders")

    asyncio.run(scenario())


def test_attaching_exports_what_is_not_exported(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data")
            await exports.delete(node, "orders", "data")
            await devices.attach(node, DeviceWish("orders", read_only=True))
            (shown,) = await exports.all_exports(node)
            assert shown["read_only"]
            assert device_of(node).config.socket in shown["uri"]
            assert asked(node.copies.of_group("orders")[0], "reload")

    asyncio.run(scenario())


def test_changes_of_a_devices_state_are_events(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a") as opened:
            node = opened.node
            await make(node, tmp_path, "data")
            await devices.attach(node, DeviceWish("orders"))
            (device_of(node).directory / "state").write_text("waiting")

            def states() -> list[str]:
                return [
                    each["fields"]["state"]
                    for each in node.journal.after(0)
                    if each["kind"] == "device-state"
                ]

            await until(lambda: states() == ["waiting"])
            (device_of(node).directory / "state").unlink()
            await until(lambda: states() == ["waiting", "attached"])

    asyncio.run(scenario())


def test_a_record_that_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path / "a", "a", keep_engines=True) as opened:
            node = opened.node
            await make(node, tmp_path, "data", "wal")
            await devices.attach(node, DeviceWish("orders"))
            await devices.stop_all(node)
            damaged, cut = device_of(node).directory, device_of(node, "wal").directory
            (damaged / "device.json").write_text("{")
            (cut / "device.json").unlink()
        async with running(tmp_path / "a", "a") as opened:
            assert list(opened.node.devices.unreadable) == [damaged]
            assert not cut.exists(), "it was cut off while it was made or removed"
            assert await device_states.documents(opened.node) == []
            checks = [each for each in await doctor.checks(opened.node) if each["name"] == "device"]
            assert [str(damaged) in each["text"] for each in checks] == [True]

    asyncio.run(scenario())
