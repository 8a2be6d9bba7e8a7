"""A guest of QEMU uses a volume as its disk, as `export --format qemu` says, and outlives its engine."""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.contenders.qmp import Monitor
from tests.cluster import Cluster, MakeCluster
from tests.interop.guest import Guest
from tests.interop.programs import run
from tests.processes import Processes
from tests.requires import requires
from tests.waiting import wait_until

pytestmark = requires("qemu-system-x86_64", "mkfs.ext4", "fsck.ext4", "debugfs", "dpkg-deb")

_LIMIT_S = 120.0
_SCRIPT = """
set -e
trap 'echo GUEST FAILED; dmesg | tail -20; poweroff -f' EXIT
mkfs.ext4 -q -F /dev/vda
mount -t ext4 /dev/vda /mnt
dd if=/dev/zero bs=1k count=700 2>/dev/null | tr '\\000' 'x' > /mnt/before
sync
echo GUEST WRITES
n=0
while [ $n -lt 40 ]; do
    n=$((n + 1))
    echo "file number $n" > /mnt/file-$n
    dd if=/dev/zero bs=64k count=4 2>/dev/null | tr '\\000' 'y' >> /mnt/file-$n
    sync
done
sha256sum /mnt/before | cut -c-64
umount /mnt
mount -t ext4 -o ro /dev/vda /mnt
sha256sum /mnt/before | cut -c-64
umount /mnt
if dmesg | grep -i 'i/o error'; then exit 1; fi
trap - EXIT
echo GUEST DONE
poweroff -f
"""


@pytest.fixture
def site(cluster: MakeCluster) -> Cluster:
    """A group for a guest's disk, replicated."""
    made = cluster()
    made.group("vm", {"root": "64MiB"})
    made.link("vm", mode="sync")
    made.wait("vm")
    return made


def _printed(site: Cluster) -> list[str]:
    return shlex.split(site.a.done("export", "vm/root", "--format", "qemu"))


def _equal_and_whole(site: Cluster, guest: Guest) -> None:
    assert guest.said.count(hashlib.sha256(b"x" * 700 * 1024).hexdigest()) == 2
    site.equal("vm")
    copy = site.b.image("vm")
    run("fsck.ext4", "-f", "-n", copy)
    for number in (1, 40):
        said = run("debugfs", "-R", f"cat /file-{number}", copy)
        assert said == f"file number {number}\n" + "y" * (256 << 10)


@pytest.mark.timeout(180)
def test_a_guest_makes_a_file_system_and_writes_on_while_its_engine_is_killed(
    site: Cluster, tmp_path: Path, processes: Processes
) -> None:
    guest = Guest(tmp_path, _SCRIPT, _printed(site), processes)
    guest.until("GUEST WRITES", _LIMIT_S)
    site.a.kill_engine("vm")
    guest.until("GUEST DONE", _LIMIT_S)
    guest.ended(_LIMIT_S)
    _equal_and_whole(site, guest)


def _halting(words: Sequence[str]) -> list[str]:
    """As libvirt runs a guest with the disk that is printed for it."""
    return [
        each.replace(",reconnect-delay=600", "").replace(
            "virtio-blk-pci,", "virtio-blk-pci,werror=stop,rerror=stop,"
        )
        for each in words
    ]


@pytest.mark.timeout(180)
def test_a_guest_that_is_halted_by_the_loss_of_its_engine_goes_on_where_it_was(
    site: Cluster, tmp_path: Path, socket_directory: Path, processes: Processes
) -> None:
    monitor = socket_directory / "qmp"
    words = [*_halting(_printed(site)), "-qmp", f"unix:{monitor},server=on,wait=off", "-no-shutdown"]
    guest = Guest(tmp_path, _SCRIPT, words, processes)
    guest.until("GUEST WRITES", _LIMIT_S)
    with Monitor(monitor) as qemu:
        before = site.a.kill_engine("vm")
        wait_until(lambda: qemu.do("query-status")["status"] == "io-error", 30, what="the guest to halt")
        site.a.engine("vm", other_than=before)

        def goes_on() -> bool:
            if qemu.do("query-status")["status"] == "io-error":
                qemu.do("cont")
            return "GUEST DONE" in guest.said

        wait_until(goes_on, _LIMIT_S, interval=0.2, what="the guest to go on")
        qemu.do("quit")
    guest.ended(_LIMIT_S)
    _equal_and_whole(site, guest)
