"""A device whose process is killed, whose engine stays away for too long, or whose node is stopped."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.attached.attaching import attached, device, left, mounted, until_state
from tests.cluster import Cluster, Host
from tests.interop.programs import run
from tests.requires import requires, requires_fuse, requires_root
from tests.waiting import wait_until

pytestmark = [requires("mkfs.ext4", "fsck.ext4"), requires_fuse(), requires_root()]

_MIB = 1 << 20


def _kinds(host: Host) -> list[str]:
    return [each.kind for each in host.node.events().events]


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_a_killed_process_is_replaced_when_nothing_holds_what_it_left(site: Cluster, tmp_path: Path) -> None:
    a = site.a
    site.group("orders", {"data": "32MiB"})
    with attached(a, "orders", "--at", str(tmp_path / "disk")) as (made,):
        run("mkfs.ext4", "-q", made["path"])
        with mounted(made["path"], tmp_path / "mounted") as root:
            _sync(root / "kept")
            a.kill(made["pid"])
            ended = until_state(a, "orders/data", "ended")
            assert str(root) in ended["why"]
            assert ended["next"] == f"umount {root}"
            assert {"device-ended", "device-failed"} <= set(_kinds(a))
            said = a.farshore("device", "detach", "orders")
            assert (said.returncode, f"umount {root}" in said.stderr) == (4, True)
            with pytest.raises(OSError, match="Input/output error"):
                _sync(root / "more")
        again = until_state(a, "orders/data", "attached")
        assert (tmp_path / "disk").resolve() == Path(again["path"])
        with mounted(again["path"], tmp_path / "mounted") as root:  # it recovers, as after a loss of power
            assert (root / "kept").read_bytes() == b"held"
        run("fsck.ext4", "-f", "-n", again["path"])
        a.kill(again["pid"])
        wait_until(
            lambda: device(a, "orders/data")["pid"] not in (None, again["pid"]), what="another process"
        )
        until_state(a, "orders/data", "attached")
        a.hold()
    assert left(a) == []


def test_an_engine_that_stays_away_for_too_long(site: Cluster) -> None:
    a = site.a
    site.group("orders", {"data": "8MiB"})
    image = a.image("orders")
    with attached(a, "orders", "--hold", "1s") as (made,):
        _write(made["path"], b"before")
        away = image.rename(image.with_suffix(".away"))
        a.kill_engine("orders")
        with pytest.raises(OSError, match="Input/output error"):  # after a second, and no sooner than that
            _write(made["path"], b"lost")
        failed = until_state(a, "orders/data", "failed")
        assert "away for longer than 1 s" in failed["why"]
        assert "works again by itself" in failed["next"]
        wait_until(lambda: "device-state" in _kinds(a), what="the event")
        doctor = {each.name: each for each in a.node.doctor().checks}
        assert doctor["device of orders/data"].result == "fail"
        status = str(a.done("status"))
        assert f"{made['path']} (failed)" in status
        away.rename(image)
        until_state(a, "orders/data", "attached")
        _write(made["path"], b"after")
    assert image.read_bytes()[:6] == b"aftere"
    with attached(a, "orders") as (made,):
        a.done("group", "add", "orders", "--volume", f"more={image.with_suffix('.more')},size=1MiB")
        _write(made["path"], b"again")  # by the engine that was started for the other volume
    assert image.read_bytes()[:5] == b"again"


def test_a_node_that_is_stopped(site: Cluster, tmp_path: Path) -> None:
    a = site.a
    site.group("orders", {"data": "32MiB"})
    with attached(a, "orders", "--at", str(tmp_path / "disk")) as (made,):
        run("mkfs.ext4", "-q", made["path"])
        with mounted(made["path"], tmp_path / "mounted") as root:
            refused = a.farshore("node", "stop", "--devices", "--engines")
            assert (refused.returncode, str(root) in refused.stderr) == (4, True)
            assert a.engine("orders")
            a.done("node", "stop", "--engines")
            writer = threading.Thread(target=lambda: _sync(root / "held"), daemon=True)
            writer.start()
            writer.join(0.5)
            assert writer.is_alive(), "the file system waits while there is no engine"
            a.start()
            writer.join(30)
            assert not writer.is_alive()
            assert device(a, "orders/data")["pid"] == made["pid"]
        a.done("node", "stop", "--devices")
        assert left(a) == []
        assert not (tmp_path / "disk").is_symlink()
        a.start()
        again = until_state(a, "orders/data", "attached")
        a.hold()
        assert (tmp_path / "disk").resolve() == Path(again["path"])
        with mounted(str(tmp_path / "disk"), tmp_path / "mounted") as root:
            assert (root / "held").read_bytes() == b"held"
        run("fsck.ext4", "-f", "-n", again["path"])
    assert left(a) == []
    sockets = Path(json.loads((a.state / "node.json").read_text())["run"])
    a.done("node", "stop", "--engines")
    assert not sockets.exists(), "nothing of the devices keeps it"


def _sync(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"held")
        file.flush()
        os.fsync(file.fileno())
