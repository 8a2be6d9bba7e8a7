"""Units, hardening, order and journal on a host whose first process is systemd.

One host for all: each test leaves it as it found it, running with a group `orders`.
"""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from farshore.demo.nbd_client import NbdClient
from tests.requires import program
from tests.service.machine import Machine, requires_machine
from tests.waiting import wait_until

pytestmark = requires_machine

ENGINE = "farshore-engine@var-lib-farshore-copies-orders-a.service"
_SETTINGS = '[node]\nname = "a"\nlisten = "127.0.0.1:7411"\n'
_MIB = 1 << 20
_UNITS = ("systemctl", "list-units", "--output=json", "farshore-*")


@pytest.fixture(scope="module")
def host(machine: Machine) -> Machine:
    """A host that has booted, with a node that runs since then and a group `orders`."""
    machine.write("/etc/farshore/farshore.toml", _SETTINGS)
    wants = machine.path("/etc/systemd/system/multi-user.target.wants")
    (wants / "farshore-node.service").symlink_to("../farshore-node.service")
    machine.boot()
    machine.done("farshore", "group", "create", "orders", "--volume", "data=/srv/orders.img,size=8MiB")
    return machine


def client(host: Machine) -> NbdClient:
    """An application with the volume open, outside of the machine."""
    uri = host.done("farshore", "export", "orders").strip()
    return NbdClient(uri.replace("socket=", f"socket={host.live('/')}"))


def pid(host: Machine, unit: str) -> int:
    """The main process of a unit, as the machine counts; 0 when there is none."""
    return int(host.shown(unit, "MainPID")[0])


def device_unit(host: Machine) -> str:
    """The unit of the only device."""
    (unit,) = [each["unit"] for each in json.loads(host.done(*_UNITS)) if "device@" in each["unit"]]
    return str(unit)


def entries(host: Machine, *matches: str) -> list[dict[str, Any]]:
    """Entries of the journal."""
    return [json.loads(line) for line in host.done("journalctl", "--output=json", *matches).splitlines()]


def test_the_node_goes_and_comes_and_no_engine_notices(host: Machine) -> None:
    application = client(host)
    engine, node = pid(host, ENGINE), pid(host, "farshore-node.service")
    assert host.shown("farshore-node.service", "StatusText")[0].startswith("node a listens for peers on")
    assert host.shown(ENGINE, "StatusText") == ["primary of group orders"]
    application.write(0, b"1" * 512)
    host.done("systemctl", "restart", "farshore-node.service")  # as an upgrade does
    application.write(0, b"2" * 512)
    host.done("systemctl", "kill", "--signal=KILL", "farshore-node.service")

    def another() -> bool:
        return (
            pid(host, "farshore-node.service") not in (0, node)
            and host.tried("farshore", "status").returncode == 0
        )

    wait_until(another, 30, what="systemd has started the node again")
    host.done("farshore", "node", "stop")
    wait_until(lambda: host.shown("farshore-node.service", "ActiveState") == ["inactive"], 30)
    assert application.read(0, 512) == b"2" * 512
    host.done("systemctl", "start", "farshore-node.service")
    assert pid(host, ENGINE) == engine
    found = json.loads(host.done("farshore", "events", "--json"))["events"]
    assert {each["kind"] for each in found if "engine" in each["kind"]} == {
        "engine-started",
        "engine-adopted",
    }
    application.close()


def test_an_engine_that_died_or_hangs_is_replaced(host: Machine) -> None:
    host.write(
        f"/run/systemd/system/{ENGINE}.d/quick.conf", "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n"
    )
    host.done("systemctl", "daemon-reload")
    first = pid(host, ENGINE)
    for signal in ("KILL", "STOP"):
        before = pid(host, ENGINE)
        host.done("systemctl", "kill", f"--signal={signal}", "--kill-whom=main", ENGINE)

        def another(before: int = before) -> bool:
            return pid(host, ENGINE) not in (0, before) and host.shown(ENGINE, "ActiveState") == ["active"]

        wait_until(another, 30, interval=0.1, what=f"another engine after SIG{signal}")
    assert pid(host, ENGINE) != first
    group = json.loads(host.done("farshore", "status", "orders", "--json"))["groups"][0]
    assert group["writes"] == "flowing"


def test_stopping_the_target_stops_everything_and_starting_it_brings_it_back(host: Machine) -> None:
    host.done("systemctl", "stop", "farshore.target")
    assert pid(host, "farshore-node.service") == 0
    wait_until(lambda: pid(host, ENGINE) == 0, 30, what="the engine has ended, after the target")
    host.done("systemctl", "start", "farshore.target")
    wait_until(lambda: host.shown(ENGINE, "ActiveState") == ["active"], 30, what="the engine")
    assert host.tried("systemctl", "--failed", "--quiet").stdout == ""


def test_a_hardened_engine_uses_block_devices(host: Machine, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(8 * _MIB))
    command = [program("losetup"), "--find", "--show", str(tmp_path / "disk")]
    device = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    try:
        host.done("farshore", "group", "create", "raw", "--volume", f"data={device}")
        group = json.loads(host.done("farshore", "status", "raw", "--json"))["groups"][0]
        assert (group["writes"], group["volumes"][0]["size"]) == ("flowing", 8 * _MIB)
        host.done("farshore", "group", "delete", "raw")
        units = host.done("systemctl", "list-units", "--all", "--plain", "--no-legend", "farshore-engine@*")
        assert [line.split()[0] for line in units.splitlines()] == [ENGINE], "the deleted one has left none"
    finally:
        subprocess.run([program("losetup"), "--detach", device], timeout=20, check=True)


def test_the_journal_finds_what_was_said_of_a_group(host: Machine) -> None:
    found = entries(host, "FARSHORE_GROUP=orders")
    assert {each["SYSLOG_IDENTIFIER"] for each in found} == {"farshore-node", "farshore-engine"}
    flows = next(each for each in found if each["FARSHORE_KIND"] == "writes-flow")
    assert (flows["FARSHORE_COPY"], flows["PRIORITY"], flows["_SYSTEMD_UNIT"]) == ("a", "5", ENGINE)
    assert flows["MESSAGE"] == "writes flow: sequence 0"


def test_a_setting_that_cannot_be_is_told_and_not_tried_again(host: Machine) -> None:
    engine = pid(host, ENGINE)
    host.write("/etc/farshore/farshore.toml", '[node]\nname = "A"\nlisten = 7411\n')
    assert host.tried("systemctl", "restart", "farshore-node.service").returncode != 0
    assert host.shown("farshore-node.service", "ActiveState", "NRestarts", "ExecMainStatus") == [
        "failed",
        "0",
        "2",
    ]
    (said,) = entries(host, "_SYSTEMD_UNIT=farshore-node.service", "FARSHORE_CODE=usage")
    assert said["FARSHORE_NEXT"] == "farshore config check /etc/farshore/farshore.toml"
    checked = host.tried("farshore", "config", "check", "--json")
    assert (checked.returncode, [each["line"] for each in json.loads(checked.stdout)["mistakes"]]) == (
        1,
        [2, 3],
    )
    host.write("/etc/farshore/farshore.toml", _SETTINGS)
    host.done("systemctl", "start", "farshore-node.service")
    assert pid(host, ENGINE) == engine


def test_a_support_bundle_has_what_systemd_knows(host: Machine, tmp_path: Path) -> None:
    host.done("farshore", "support-bundle", "--to", "/root/bundle.tar.gz")
    with tarfile.open(host.live("/root/bundle.tar.gz")) as archive:
        archive.extractall(tmp_path)
    found = tmp_path / "bundle"
    assert ENGINE in (found / "systemd/status").read_text()
    assert "writes flow: sequence 0" in (found / "systemd/journal").read_text()
    assert list((found / "processes").iterdir())


def test_a_device_in_use_is_not_ended_below_its_file_system(host: Machine) -> None:
    host.done("farshore", "device", "attach", "orders", "--at", "/run/orders")
    device = device_unit(host)
    first = pid(host, device)
    host.done("mkfs.ext4", "-q", "/run/orders")
    host.done("mkdir", "/mnt/used")
    host.done("mount", "/run/orders", "/mnt/used")
    host.done("systemctl", "stop", "--no-block", device)
    wait_until(lambda: "when it is not used any more" in host.shown(device, "StatusText")[0], 20)
    host.write("/mnt/used/file", "written meanwhile")
    host.done("sync", "--file-system", "/mnt/used")
    assert pid(host, device) == first
    host.done("umount", "/mnt/used")
    wait_until(lambda: pid(host, device) not in (0, first), 30, what="it ended, and is wanted: another one")
    wait_until(lambda: host.shown(device, "ActiveState") == ["active"], 30)
    host.done("mount", "-o", "ro", "/run/orders", "/mnt/used")
    assert host.live("/mnt/used/file").read_text() == "written meanwhile"
    host.done("umount", "/mnt/used")
    host.done("farshore", "device", "detach", "orders")


def left_by_devices(host: Machine) -> list[str]:
    """Mounts and loop devices of this machine's devices."""
    table = host.done("cat", "/proc/1/mountinfo").splitlines()
    loops = host.done("losetup", "--list", "--noheadings", "--output=NAME,BACK-FILE").splitlines()
    return [line for line in table if " fuse.farshore " in line] + [
        line for line in loops if "/run/farshore/" in line
    ]


def test_what_a_killed_device_leaves_is_taken_away_when_nothing_holds_it(host: Machine) -> None:
    def said() -> dict[str, Any]:
        (device,) = json.loads(host.done("farshore", "device", "list", "--json"))["devices"]
        return dict(device)

    host.done("farshore", "device", "attach", "orders", "--at", "/run/orders")
    device = device_unit(host)
    first = pid(host, device)
    host.done("mkfs.ext4", "-q", "/run/orders")
    host.done("mkdir", "-p", "/mnt/used")
    host.done("mount", "/run/orders", "/mnt/used")
    host.done("systemctl", "kill", "--signal=KILL", "--kill-whom=main", device)
    wait_until(lambda: said()["state"] == "ended" and said()["next"] == "umount /mnt/used", 30)
    refused = host.tried("farshore", "device", "detach", "orders")
    assert (refused.returncode, "umount /mnt/used" in refused.stderr) == (4, True)
    host.done("umount", "/mnt/used")
    wait_until(lambda: said()["state"] == "attached", 30, what="it is made again")
    assert pid(host, device) not in (0, first)
    assert len(left_by_devices(host)) == 2, "its mount and its loop device, and none of the one that died"
    host.done("mount", "/run/orders", "/mnt/used")
    host.done("systemctl", "restart", "farshore-node.service")
    refused = host.tried("farshore", "device", "detach", "orders")
    assert (refused.returncode, "mounted on /mnt/used" in refused.stderr) == (4, True)
    host.done("umount", "/mnt/used")
    host.done("farshore", "device", "detach", "orders")
    assert left_by_devices(host) == []


def test_a_node_that_comes_back_detaches_what_was_killed_in_its_absence(host: Machine) -> None:
    host.done("farshore", "device", "attach", "orders", "--at", "/run/orders")
    host.done("systemctl", "stop", "farshore-node.service")
    host.done("systemctl", "kill", "--signal=KILL", "--kill-whom=main", device_unit(host))
    assert len(left_by_devices(host)) == 2
    host.done("systemctl", "start", "farshore-node.service")
    host.done("farshore", "device", "detach", "orders")
    assert left_by_devices(host) == []
    assert host.tried("test", "-L", "/run/orders").returncode == 1


def test_at_a_shutdown_file_systems_go_first_and_a_boot_brings_everything_back(host: Machine) -> None:
    host.done("farshore", "device", "attach", "orders", "--at", "/run/orders")
    device = device_unit(host)
    host.done("mkfs.ext4", "-q", "/run/orders")
    host.done("mkdir", "/mnt/known", "/mnt/by-hand")
    host.done("mount", "/run/orders", "/mnt/by-hand")
    host.write("/mnt/by-hand/file", "written before the shutdown")  # and nobody has synced it
    # What systemd stops where it would unmount a file system that says _netdev.
    witness = f"farshore status orders --json >/var/lib/witness; systemctl is-active {ENGINE}"
    host.write(
        "/run/systemd/system/on-top.service",
        "[Unit]\nAfter=remote-fs-pre.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"ExecStart=/bin/true\nExecStop=/bin/sh -c '{witness} >/var/lib/active'\n",
    )
    host.done("systemctl", "daemon-reload")
    host.done("systemctl", "start", "on-top.service")
    host.power_off()
    assert json.loads(host.path("/var/lib/witness").read_text())["groups"][0]["writes"] == "flowing"
    assert host.path("/var/lib/active").read_text() == "active\n"
    options = f"_netdev,x-systemd.requires={device}"
    host.write("/etc/fstab", f"/run/orders /mnt/known ext4 {options} 0 0\n")
    host.boot()
    assert host.shown("mnt-known.mount", "ActiveState") == ["active"], "mounted at boot, device and all"
    assert host.live("/mnt/known/file").read_text() == "written before the shutdown"
    for unit in (ENGINE, device):
        said = [each["MESSAGE"] for each in entries(host, f"UNIT={unit}")]
        assert any("Deactivated successfully" in each for each in said), f"{unit} had not ended in order"
    host.done("systemctl", "stop", device)
    assert host.shown("mnt-known.mount", "ActiveState") == ["inactive"], "it lies on the device"
