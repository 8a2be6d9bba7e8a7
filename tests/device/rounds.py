"""Rounds of engines that die under a mounted file system, and what is looked at afterwards."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from farshore.model.options import LinkOptions, Mode
from tests.device.attaching import Attached, mounted
from tests.device.load import Loads, digests_in
from tests.integration.conftest import Sites
from tests.interop.programs import run
from tests.loops import block_device_on
from tests.processes import Processes
from tests.waiting import wait_until

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How to make one and how to look whether it is clean."""

    size: int
    make: tuple[str, ...]
    check: tuple[str, ...]
    options: tuple[str, ...]


FILE_SYSTEMS = {
    "ext4": FileSystem(
        64 * MIB, ("mkfs.ext4", "-q", "-F"), ("fsck.ext4", "-f", "-n"), ("-o", "discard,errors=remount-ro")
    ),
    "xfs": FileSystem(384 * MIB, ("mkfs.xfs", "-q", "-f"), ("xfs_repair", "-n"), ("-o", "discard")),
}


class Scene:
    """Two sites, a link, a device on the primary's volume with a file system on it."""

    def __init__(
        self,
        sites: Sites,
        attach: Callable[..., Attached],
        room: Path,
        processes: Processes,
        kind: str,
    ) -> None:
        self.kind = FILE_SYSTEMS[kind]
        self.name = kind
        self.room = room
        self.processes = processes
        options = LinkOptions(mode=Mode.SYNC)
        self.engine, self.far, self.door = sites.pair({"data": self.kind.size}, options)
        self.images = [sites.image(site, "data") for site in ("a", "b")]
        self.far.start()
        self.engine.start()
        self.engine.wait_until_clean()
        self.device = attach(self.engine)
        self.path = self.device.start()
        self.reconnects = self.held = 0

    def play(self, rounds: int, seed: int) -> None:
        """Loads on it, an engine that is killed in each round, and then all that has to hold."""
        chosen = random.Random(seed)
        run(*self.kind.make, self.path)
        at = self.room / "mounted"
        with mounted(self.path, at, *self.kind.options) as root:
            loads = Loads(self.processes, root, self.room, seed)
            for _ in range(rounds):
                loads.go_on_for(chosen.randrange(5, 60))
                self._kill_and_start()
            digests = loads.end()
            assert digests_in(root, list(digests)) == digests
        run(*self.kind.check, self.path)
        self._look_at_both(digests)

    def _kill_and_start(self) -> None:
        self.engine.kill()
        waiting = self.device.wait_for("waiting")
        wait_until(lambda: self.device.status()["held"], 30.0, what="somebody waits for the device")
        self.held = max(self.held, self.device.status()["held"])
        assert waiting["path"] == str(self.path)
        self.engine.start()
        self.device.wait_for("attached", 30.0)
        self.reconnects = self.device.status()["reconnects"]

    def _look_at_both(self, digests: dict[str, str]) -> None:
        assert self.device.detach() == 0
        self.engine.wait_until_clean(60.0)
        near, far = (image.read_bytes() for image in self.images)
        assert near == far
        taken = self.room / "taken"  # what is at the peer, taken away from there and used
        taken.write_bytes(far)
        run(*self.kind.check, taken)
        with block_device_on(taken) as loop, mounted(loop, self.room / "far") as root:
            assert digests_in(root, list(digests)) == digests
        taken.unlink()
