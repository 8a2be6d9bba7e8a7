"""A guest of QEMU uses a volume as its disk, as `export --format qemu` says, and outlives its engine."""

import hashlib
import shlex
from pathlib import Path

import pytest

from tests.cluster import MakeCluster
from tests.interop.guest import Guest
from tests.interop.programs import run
from tests.processes import Processes
from tests.requires import requires

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


@pytest.mark.timeout(180)
def test_a_guest_makes_a_file_system_and_writes_on_while_its_engine_is_killed(
    cluster: MakeCluster, tmp_path: Path, processes: Processes
) -> None:
    made = cluster()
    made.group("vm", {"root": "64MiB"})
    made.link("vm", mode="sync")
    made.wait("vm")
    disks = shlex.split(made.a.done("export", "vm/root", "--format", "qemu"))
    guest = Guest(tmp_path, _SCRIPT, disks, processes)
    guest.until("GUEST WRITES", _LIMIT_S)
    made.a.kill_engine("vm")
    guest.until("GUEST DONE", _LIMIT_S)
    guest.ended(_LIMIT_S)
    assert guest.said.count(hashlib.sha256(b"x" * 700 * 1024).hexdigest()) == 2
    made.equal("vm")
    copy = made.b.image("vm")
    run("fsck.ext4", "-f", "-n", copy)
    for number in (1, 40):
        said = run("debugfs", "-R", f"cat /file-{number}", copy)
        assert said == f"file number {number}\n" + "y" * (256 << 10)
