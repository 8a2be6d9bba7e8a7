"""A line that `export --format fstab` printed: mounted by `mount -a`, and by systemd after its device."""

import os
import subprocess
from pathlib import Path

import pytest

from farshore.cli import fstab
from farshore.client.answers import Device
from tests.attached.attaching import attached
from tests.cluster import Cluster
from tests.interop.programs import run
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [requires("mkfs.ext4"), requires_fuse(), requires_root()]

_GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")
_UNIT = "farshore-device@srv-a\\x2db-devices-0123456789abcdef.service"


def test_mount_mounts_what_the_line_names(site: Cluster, tmp_path: Path, socket_directory: Path) -> None:
    site.group("orders", {"data": "32MiB"})
    at, mount, table = socket_directory / "a link", tmp_path / "mounted", tmp_path / "fstab"
    mount.mkdir()
    with attached(site.a, "orders/data", "--at", str(at)):
        words = ("export", "orders/data", "--format", "fstab", "--mount", str(mount))
        table.write_text(site.a.done(*words))
        run("mkfs.ext4", "-q", at)
        run("mount", "--all", "--fstab", table)
        try:
            (mount / "file").write_text("here")
            assert run("findmnt", "-n", "-o", "SOURCE", mount).strip() == os.path.realpath(at)
            run("mount", "--all", "--fstab", table)  # again changes nothing
            assert (mount / "file").read_text() == "here"
        finally:
            run("umount", mount)


@pytest.mark.skipif(not _GENERATOR.exists(), reason="needs systemd (Debian package systemd)")
def test_systemd_mounts_after_the_devices_unit_and_waits_for_no_device(tmp_path: Path) -> None:
    table, made = tmp_path / "fstab", tmp_path / "units"
    made.mkdir()
    device = Device("0123456789abcdef", "orders", "data", "attached", at="/run/farshore-orders")
    table.write_text(fstab.line(device, "/srv/orders", _UNIT) + "\n")
    subprocess.run(
        [_GENERATOR, made, made, made],
        env={"SYSTEMD_FSTAB": str(table), "SYSTEMD_LOG_TARGET": "console"},
        check=True,
        timeout=30,
    )
    unit = (made / "srv-orders.mount").read_text()
    assert f"Requires={_UNIT}" in unit
    assert f"After={_UNIT}" in unit
    assert "What=/run/farshore-orders\n" in unit
    assert ".device" not in unit
    assert (made / "remote-fs.target.wants/srv-orders.mount").is_symlink()
    assert not list(made.glob("*.device.d")), "nothing that udev would have to announce"
