"""Which mounts lie on a device, as the kernel tells it."""

from pathlib import Path

from farshore.device.leaving import main, mounted
from farshore.store.mounts import mounts

_MOUNTS = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 7:3 / /srv/with\\040blank rw,relatime - ext4 /dev/loop3 rw
31 30 7:4 / /srv/other rw - xfs /dev/loop4 rw
32 30 7:3 /deep /srv/with\\040blank/\\134again rw - ext4 /dev/loop3 rw
"""


def test_mounts_of_a_device_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(_MOUNTS)
    table = mounts(str(tmp_path / "mountinfo"))
    assert mounted((7, 3), table) == ["/srv/with blank", "/srv/with blank/\\again"]
    assert mounted((7, 9), table) == []


def test_what_it_is_called_without_is_told() -> None:
    assert main([]) == 2


def test_nothing_is_unmounted_while_the_system_is_up(tmp_path: object) -> None:
    assert main([str(tmp_path)]) == 0, "not even looked for"
