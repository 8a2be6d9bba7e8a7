"""A file system on an attached volume, with files and databases on it, while the engine and the node die."""

import random
from collections.abc import Sequence
from pathlib import Path

from tests.attached.attaching import attached, device, left, mounted
from tests.attached.torment import torment
from tests.attached.writers import Database, Files
from tests.cluster import Cluster
from tests.interop.programs import run
from tests.loops import block_device_on


def torment_file_system(
    sites: Cluster, directory: Path, chosen: random.Random, rounds: Sequence[str]
) -> list[int]:
    """No program gets an error in any of the rounds; afterwards the file system is clean, here and at the
    copy, and everything that was confirmed is at the copy. How much each program wrote."""
    a, link = sites.a, directory / "disk"
    sites.group("orders", {"data": "64MiB"})
    sites.link("orders", mode="sync")
    sites.wait("orders")
    with attached(a, "orders/data", "--at", str(link)) as (made,):
        assert (made["way"], made["at"], link.resolve()) == ("loop", str(link), Path(made["path"]))
        run("mkfs.ext4", "-q", link)
        with mounted(str(link), directory / "mounted") as root:
            writers = (
                Files(root / "files", chosen.randrange(1 << 32)),
                Database(root / "shop", "WAL"),
                Database(root / "till", "DELETE"),
            )
            for writer in writers:
                writer.start()
            torment(a, "orders", chosen, [lambda each=each: each.done for each in writers], rounds)  # type: ignore[misc]
            for writer in writers:
                writer.end()
            died = sum(what != "node" for what in rounds)
            assert device(a, "orders/data")["reconnects"] >= died, "each new engine was found"
        run("fsck.ext4", "-f", "-n", link)
        assert device(a, "orders/data")["pid"] == made["pid"], "one process all the time"
    assert left(a) == []
    assert not link.is_symlink()
    sites.equal("orders")
    taken = directory / "taken"  # what is at b, as it would be used when a is lost
    run("cp", "--sparse=always", sites.b.image("orders"), taken)
    run("fsck.ext4", "-f", "-n", taken)
    with block_device_on(taken) as loop, mounted(str(loop), directory / "mounted") as root:
        for writer in writers:
            writer.check(root / writer.root.name)
    return [writer.done for writer in writers]
