"""What cannot be attached, detached or built on, told from the command line; nothing is changed by it."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from farshore.errors import CODES, FarshoreError
from tests.attached.attaching import attached, device, left, mounted, tear_off
from tests.attached.namespace import ended, may_make_namespaces, user_without_links, view_without_fuse
from tests.badinput.mounting import requires_mount, small_disk
from tests.cluster import Cluster, Host
from tests.interop.programs import run
from tests.processes import Processes, running
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [requires("mkfs.ext4"), requires_fuse(), requires_root()]

requires_namespaces = pytest.mark.skipif(
    not may_make_namespaces(), reason="needs to make namespaces of mounts"
)


def refused(host: Host, words: str, code: str, following: str) -> str:
    """What a command says that has to be refused."""
    ended = host.farshore(*words.split())
    assert ended.stdout == "", words
    what, *more = ended.stderr.splitlines()
    assert what.endswith(f"({code})"), (words, ended.stderr)
    assert ended.returncode == CODES[code].exit_code, (words, ended.stderr)
    assert following in more[-1], (words, ended.stderr)
    return what


def test_what_is_refused_around_an_attached_volume(sites: Cluster, tmp_path: Path) -> None:
    a, b = sites.a, sites.b
    sites.group("orders", {"data": "32MiB", "log": "8MiB"})
    sites.link("orders", mode="sync")
    sites.group("spare", {"data": "8MiB"})
    sites.wait("orders")
    refused(b, "device attach orders", "wrong-role", "run the command on a")
    refused(a, "device attach none", "not-found", "farshore group list")
    refused(a, "device attach orders/none", "not-found", "data, log")
    refused(a, "device detach orders/data", "not-found", "farshore device list")
    refused(a, f"device attach orders --at {tmp_path}/x", "usage", "orders/VOLUME")
    with attached(a, "orders/data", "--at", str(tmp_path / "disk")) as (made,):
        path = made["path"]
        refused(a, "device attach orders/data", "exists", "farshore device detach orders/data")
        refused(a, f"device attach spare --at {tmp_path}/disk", "exists", "another path")
        refused(a, "group delete orders", "in-use", "farshore device detach orders/data")
        refused(a, "export delete orders/data", "in-use", "farshore device detach orders/data")
        run("mkfs.ext4", "-q", path)
        _shade(a, path, tmp_path / "place")
        with mounted(path, tmp_path / "mounted") as root:
            assert str(root) in refused(a, "device detach orders/data", "in-use", "umount")
            _refuse_own(sites, [path, made["file"], f"{root}/volume.img", f"{root}/none/volume.img"])
            refused(a, f"--state {root} node start", "own-device", "another file system")
        with Path(path).open("rb"):
            said = refused(a, "device detach orders/data", "in-use", "stop what uses it")
            assert f"process {os.getpid()} (" in said
        assert device(a, "orders/data")["pid"] == made["pid"]
    assert left(a) == []
    refused(a, "device detach orders", "not-found", "farshore device list")


def _shade(host: Host, device: str, place: Path) -> None:
    """A file system of ours mounted over a volume: the volume's next engine does not look below it."""
    place.mkdir()
    host.done("group", "create", "shaded", "--volume", f"data={place}/volume.img,size=1MiB")
    with mounted(device, place):
        host.kill_engine("shaded")
        group = host.until("shaded", lambda group: group.health == "failed", "its engine to be refused")
        assert "own devices" in str(group.why)
    host.until("shaded", lambda group: group.writes == "flowing", "the volume to be served again")
    host.done("group", "delete", "shaded")


def _refuse_own(sites: Cluster, paths: list[str]) -> None:
    """Our own devices, and what lies on them, are no volumes and no places; nothing is asked there."""
    a, b = sites.a, sites.b
    link = a.directory / "way"
    link.symlink_to(paths[-1])
    b.done("node", "allow", "a", "--path", "/**")
    for pid in running(a.state, "farshore.device"):
        a.kill(
            pid, signal.SIGSTOP
        )  # whoever asks it for something now waits until the command's time is over
    node, last = a.node, str(link)
    try:
        for path in (*paths, last):
            volumes = [{"name": "data", "path": path, "size": 1 << 20}]
            for doing in (
                partial(node.create_group, "other", volumes),
                partial(node.add_volumes, "spare", [{**volumes[0], "name": "more"}]),
                partial(node.create_link, "spare", "b", places={"data": path}),
            ):
                with pytest.raises(FarshoreError) as caught:
                    doing()
                assert caught.value.code.name == "own-device", caught.value.what
        refused(a, f"group create other --volume data={last}", "own-device", "another file system")
        refused(a, f"device attach spare --at {paths[-1]}", "own-device", "another file system")
        assert a.node.status().groups
    finally:
        for pid in running(a.state, "farshore.device"):
            a.kill(pid, signal.SIGCONT)


@pytest.fixture
def alone(tmp_path: Path, processes: Processes) -> Iterator[Host]:
    """A node with one group, on a small disk of its own."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        host = Host(disk.path, "d", processes)
        try:
            host.start()
            host.done("group", "create", "g", "--volume", f"data={tmp_path / 'g.img'},size=4MiB")
            yield host
        finally:
            tear_off(host)
            for pid in running(host.state):
                host.kill(pid)


@requires_mount
def test_a_full_state_disk(alone: Host) -> None:
    filler = alone.directory.parent / "filler"

    def fill() -> None:
        with filler.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while file.write(bytes(4096)):
                pass

    fill()
    refused(alone, "device attach g", "disk-full", "free space")
    assert list((alone.state / "devices").iterdir()) == []
    filler.unlink()
    (made,) = alone.done("device", "attach", "g", "--json")["devices"]
    alone.hold()
    fill()
    alone.kill(made["pid"])
    alone.until("g", lambda _: device(alone, "g/data")["state"] == "attached", "the device to be there again")
    alone.done("device", "detach", "g")
    assert left(alone) == []
    assert alone.done("device", "list", "--json")["devices"] == []


@requires_namespaces
def test_a_kernel_without_fuse(processes: Processes, tmp_path: Path) -> None:
    with view_without_fuse(processes) as words:
        host = Host(tmp_path, "n", processes, words)
        with ended(host):
            _refused_altogether(host, "not-found", "modprobe fuse")
        doctor = json.loads(host.farshore("doctor", "--json").stdout)
        checks = {each["name"]: each for each in doctor["checks"]}
        assert (checks["devices"]["result"], checks["devices"]["next"]) == ("warn", "modprobe fuse")


@requires_namespaces
@requires("fusermount3")
def test_a_user_without_permission(processes: Processes) -> None:
    with user_without_links(processes, may_use_fuse=False) as host:
        _refused_altogether(host, "permission", "may use FUSE")
        refused(host, "device attach g --way loop", "permission", "--way file")
        refused(host, "device attach g --way kernel", "usage", "--way auto")


def _refused_altogether(host: Host, code: str, following: str) -> None:
    host.start()
    host.done("group", "create", "g", "--volume", f"data={host.directory / 'g.img'},size=1MiB")
    refused(host, "device attach g", code, following)
    assert host.done("device", "list", "--json")["devices"] == []
    assert list((host.state / "devices").iterdir()) == []
    with host.client("g") as client:
        client.write(0, b"served all the same")
