"""A file system on an attached volume, while the engine and the node below it are killed at random."""

import random
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.attached.attaching import attached, device, left, mounted
from tests.attached.torment import torment
from tests.attached.writers import Database, Files
from tests.interop.programs import run
from tests.requires import requires, requires_fuse, requires_root

pytestmark = [requires("mkfs.ext4", "fsck.ext4"), requires_fuse(), requires_root()]

SEED = 20261123


@pytest.mark.timeout(180)
def test_files_and_a_database_notice_no_death_below_them(sites: Cluster, tmp_path: Path) -> None:
    a = sites.a
    sites.group("orders", {"data": "96MiB"})
    sites.link("orders", mode="sync")
    sites.wait("orders")
    link = tmp_path / "disk"
    with attached(a, "orders/data", "--at", str(link)) as (made,):
        assert (made["way"], made["at"], link.resolve()) == ("loop", str(link), Path(made["path"]))
        run("mkfs.ext4", "-q", link)
        with mounted(str(link), tmp_path / "mounted") as root:
            writers = (
                Files(root / "files", SEED),
                Database(root / "shop", "WAL"),
                Database(root / "till", "DELETE"),
            )
            for writer in writers:
                writer.start()
            torment(a, "orders", random.Random(SEED), [lambda each=each: each.done for each in writers])  # type: ignore[misc]
            for writer in writers:
                writer.end()
            assert device(a, "orders/data")["reconnects"] >= 3, "the engine died that often"
        run("fsck.ext4", "-f", "-n", link)
        assert device(a, "orders/data")["pid"] == made["pid"], "one process all the time"
    assert left(a) == []
    assert not link.is_symlink()
    sites.equal("orders")
    taken = tmp_path / "taken"  # what is at b, as it would be used when a is lost
    run("cp", "--sparse=always", sites.b.image("orders"), taken)
    run("fsck.ext4", "-f", "-n", taken)
    run("mount", "-o", "loop", taken, tmp_path / "mounted")
    try:
        for writer in writers:
            writer.check(tmp_path / "mounted" / writer.root.name)
    finally:
        run("umount", tmp_path / "mounted")
