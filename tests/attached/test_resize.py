"""A mounted file system grows with its volume, while it is written to, and so does its copy."""

from pathlib import Path

import pytest

from tests.attached.attaching import attached, device, left, mounted
from tests.attached.writers import Database, Files, Writer
from tests.cluster import Cluster
from tests.interop.programs import run
from tests.requires import requires, requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [requires("mkfs.ext4", "fsck.ext4", "resize2fs", "blockdev"), requires_fuse(), requires_root()]
MIB = 1 << 20


def _may_grow_mounted() -> bool:
    """Whether the kernel lets us have a mounted ext4 grow: CAP_SYS_RESOURCE, which root may lack."""
    (line,) = [
        each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("CapEff")
    ]
    return bool(int(line.split()[1], 16) >> 24 & 1)


@pytest.mark.timeout(180)
def test_a_mounted_file_system_grows_under_load_and_outlives_a_dead_engine(
    sites: Cluster, tmp_path: Path
) -> None:
    a = sites.a
    sites.group("orders", {"data": "48MiB"})
    sites.link("orders", mode="sync")
    sites.wait("orders")
    more = bytes(range(256)) * (60 * MIB // 256)  # for which there was no room before
    with attached(a, "orders/data") as (made,):
        path = str(made["path"])
        run("mkfs.ext4", "-q", path)
        with mounted(path, tmp_path / "mounted") as root:
            writers = Files(root / "files", 7), Database(root / "shop", "WAL")
            for each in writers:
                each.start()
            _all_go_on(writers)
            a.done("group", "resize", "orders", "data", "96MiB")
            assert int(run("blockdev", "--getsize64", path)) == 96 * MIB
            assert device(a, "orders/data")["size"] == 96 * MIB
            if _may_grow_mounted():
                run("resize2fs", path)
                (root / "more").write_bytes(more)
            a.kill_engine("orders")
            _all_go_on(writers)
            for each in writers:
                each.end()
        run("fsck.ext4", "-f", "-p", path)
        run("resize2fs", path)
        with mounted(path, tmp_path / "mounted") as root:
            (root / "more").write_bytes(more)
        run("fsck.ext4", "-f", "-n", path)
        assert device(a, "orders/data")["pid"] == made["pid"], "one process all the time"
    assert left(a) == []
    sites.equal("orders")
    taken = tmp_path / "taken"  # what is at b, as it would be used when a is lost
    run("cp", "--sparse=always", sites.b.image("orders"), taken)
    assert taken.stat().st_size == 96 * MIB
    run("fsck.ext4", "-f", "-n", taken)


def _all_go_on(writers: tuple[Writer, ...]) -> None:
    now = [each.done for each in writers]
    wait_until(
        lambda: all(each.done > was + 3 for each, was in zip(writers, now, strict=True)),
        60.0,
        what="all that is written to go on",
    )


@pytest.mark.timeout(120)
def test_a_volume_on_a_disk_grows_only_as_far_as_the_disk(site: Cluster, tmp_path: Path) -> None:
    """What the disk held behind the volume's end is not in the volume afterwards."""
    backing = tmp_path / "disk.img"
    with backing.open("wb") as file:
        file.truncate(8 * MIB)
    loop = run("losetup", "--find", "--show", backing).strip()
    try:
        a = site.a
        a.done("group", "create", "disk", "--volume", f"data={loop}")
        run_refused = a.farshore("group", "resize", "disk", "data", "16MiB", "--json")
        assert run_refused.returncode == 4
        assert "size-mismatch" in run_refused.stderr
        with backing.open("r+b") as file:
            file.truncate(16 * MIB)
            file.seek(8 * MIB)
            file.write(b"old!" * (MIB // 4))
        run("losetup", "--set-capacity", loop)
        a.kill_engine("disk")  # the next one finds a disk that is larger than its volume
        a.until("disk", lambda seen: seen.writes == "flowing", "the engine to be back")
        assert a.group("disk").volumes[0].size == 8 * MIB
        a.done("group", "resize", "disk", "data", "12MiB")
        with a.client("disk") as client:
            assert client.read(8 * MIB - 4096, 4096 + 4 * MIB) == bytes(4096 + 4 * MIB)
            client.write(12 * MIB - 4096, b"end!" * 1024)
            client.flush()
        a.kill_engine("disk")
        a.until("disk", lambda seen: seen.writes == "flowing", "the engine to be back")
        assert a.group("disk").volumes[0].size == 12 * MIB
    finally:
        for each in site.hosts.values():
            each.farshore("node", "stop", "--engines")
        run("losetup", "--detach", loop)
