"""The Debian package on a host whose first process is systemd: what an installation starts, an upgrade under
load, a removal, and an installation after that.

One host for all; each test begins with what it needs installed.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore import __version__
from tests.packages.conftest import NEXT, Debs
from tests.packages.load import PROGRAM, WRITER, Load
from tests.requires import requires, requires_fuse
from tests.service.machine import Machine, requires_machine
from tests.waiting import wait_until

pytestmark = [
    requires("dpkg-deb", "mkfs.ext4", "fsck.ext4"),
    requires_fuse(),
    requires_machine,
    pytest.mark.timeout(300),
]

NODE = "farshore-node.service"
_DPKG = ("dpkg", "--force-unsafe-io", "--no-triggers")
_WAIT_S = 60.0


@pytest.fixture(scope="module")
def host(debs: Debs) -> Iterator[Machine]:
    """A host that has booted, with both packages at hand and none installed."""
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="farshore-", dir=memory if memory.is_dir() else None))
    machine = Machine(place, installed=False)
    try:
        machine.boot()
        for name, path in (("now", debs.now), ("later", debs.later)):
            shutil.copy(path, machine.live(f"/tmp/{name}.deb"))
        shutil.copy(PROGRAM, machine.live(WRITER))
        yield machine
    finally:
        machine.close()


def install(host: Machine, name: str) -> None:
    host.done(*_DPKG, "--force-confnew", "-i", f"/tmp/{name}.deb")


def state(host: Machine, unit: str = NODE) -> str:
    return host.shown(unit, "ActiveState")[0]


def processes(host: Machine) -> dict[str, str]:
    """Unit -> pid of each engine and device."""
    words = ("systemctl", "list-units", "--output=json", "farshore-engine@*", "farshore-device@*")
    return {each["unit"]: host.shown(each["unit"], "MainPID")[0] for each in json.loads(host.done(*words))}


def answers(host: Machine) -> bool:
    return host.tried("farshore", "status").returncode == 0


def test_an_upgrade_under_load_reaches_everything_and_disturbs_nobody(host: Machine) -> None:
    install(host, "now")
    assert state(host) == "active", "a first installation starts the node"
    assert host.done("systemctl", "is-enabled", NODE) == "enabled\n"
    volumes = [f"--volume={each}=/var/lib/farshore/{each}.img,size=32MiB" for each in ("data", "log")]
    host.done("farshore", "group", "create", "orders", *volumes)
    host.done("farshore", "device", "attach", "orders/log", "--at", "/run/log-disk")
    host.done("mkfs.ext4", "-q", "/run/log-disk")
    host.done("mkdir", "-p", "/mnt/log")
    host.done("mount", "/run/log-disk", "/mnt/log")
    host.done("truncate", "--size=8M", "/mnt/log/file")
    client = Load(host.command, "client", host.done("farshore", "export", "orders/data").strip())
    file = Load(host.command, "file", "/mnt/log/file")
    before, node = processes(host), host.shown(NODE, "MainPID")
    assert len(before) == 2

    install(host, "later")
    assert NEXT in host.done("farshore", "--version")
    assert (state(host), host.shown(NODE, "MainPID") != node) == ("active", True), "the node is a new one"
    for each in (client, file):
        each.goes_on()
    assert processes(host) == before, "what carries data runs on"
    assert answers(host)

    refused = host.tried(*_DPKG, "--remove", "farshore")
    assert refused.returncode != 0
    assert all(pid in refused.stderr for pid in before.values())
    print("upgrade, client:", client.end())  # whoever has no device below him would notice what comes now

    (engine,) = [each for each in before if "engine@" in each]
    host.done("systemctl", "kill", "--signal=KILL", engine)
    wait_until(lambda: processes(host).get(engine) not in (None, "0", before[engine]), _WAIT_S)
    file.goes_on()  # a device of the earlier version, an engine of the later one
    print("upgrade and a killed engine, file:", file.end())
    host.done("umount", "/mnt/log")
    host.done("fsck.ext4", "-f", "-n", "/run/log-disk")
    host.done("farshore", "device", "detach", "orders")


def test_an_installation_after_a_removal_starts_the_node_again(host: Machine) -> None:
    host.done("farshore", "node", "stop", "--engines")
    host.done(*_DPKG, "--remove", "farshore")
    assert state(host) == "inactive"
    install(host, "now")
    assert state(host) == "active"
    assert __version__ in host.done("farshore", "--version")
    wait_until(lambda: "orders" in host.done("farshore", "group", "list"), _WAIT_S)
    assert not host.live("/usr/lib/farshore/.installing").exists()


def test_a_node_that_somebody_has_stopped_or_disabled_stays_so(host: Machine) -> None:
    host.done("systemctl", "stop", NODE)
    install(host, "later")
    assert state(host) == "inactive", "an upgrade starts nothing that did not run"
    host.done("systemctl", "start", NODE)
    host.done("farshore", "node", "stop", "--engines")
    host.done("systemctl", "disable", NODE)
    host.done(*_DPKG, "--remove", "farshore")
    install(host, "now")
    assert (state(host), host.tried("systemctl", "is-enabled", NODE).stdout) == ("inactive", "disabled\n")
