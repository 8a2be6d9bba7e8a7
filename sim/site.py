"""One machine with one process on it: what the two shells of the simulator have in common.

A site has a disk, a boot id and clocks of its own, and at most one process. The process drives one
core: every input is a turn in which the core's actions are carried out in order, and completions
that come up within a turn are appended behind them, as the engine does it. Processes are killed and
machines crash at any moment, in the middle of a durable step too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from farshore.core.actions import Action, Note, SyncVolumes, WriteHeader
from farshore.model.header import Header
from farshore.model.layers import Layer
from farshore.store.header import HeaderFile
from sim.disk import SECTOR, Disk, Node, Strike
from sim.files import SimFiles
from sim.net import Net
from sim.steps import Doom, Step, Steps
from sim.volume import DIRECTORY, Volumes, path_of
from sim.world import Life, World

STATE: Final = "/state"
HEADER: Final = f"{STATE}/header"
_WALL: Final = 1_700_000_000.0
TICK: Final = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a site stands: what it shares with all others."""

    world: World
    net: Net
    sizes: dict[int, int]
    on_death: Callable[[Site, bool], None]
    """Told after a process has died; True when its machine died with it."""


class Site:
    """See the module. Subclasses hold the core and know how to start it."""

    role = ""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.world = place.world
        self.net = place.net
        self.sizes = place.sizes
        self.name = name
        self.disk = Disk(place.world.random)
        self.disk.struck = self._struck
        self.boots = 1
        self.wall_skew = 0.0
        self.latency = 0.004
        """The longest ordinary durable step of the next process, in seconds."""
        self.life = Life("nobody")
        self.life.alive = False
        self.files: SimFiles
        self.steps: Steps
        self.volumes: Volumes
        self.header_file: HeaderFile
        self.was_up = False
        """A process has come as far as having a core."""
        self.power_failed = False
        """A sync has failed since the last loss of power: the cache may show what the disk lacks."""
        self.next_doom: Doom | None = None
        """Waits for the next process."""
        self._queue: deque[Action] = deque()
        self._draining = False
        self._inside = False
        self._marks: dict[int, int] = {}
        files = SimFiles(self.disk)
        for directory in (STATE, DIRECTORY):
            files.mkdir(directory)
        files.fsync_dir("/")

    def _struck(self, strike: Strike) -> None:
        self.world.reach(f"{self.role} disk: {strike.operation} of {strike.suffix} failed")

    # -- the machine ----------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self.life.alive

    @property
    def boot(self) -> str:
        """The kernel's boot id."""
        return f"{self.name}-{self.boots}"

    def format(self, content: dict[int, bytes]) -> None:
        """Makes the volumes, with this content."""
        files = SimFiles(self.disk)
        for volume, data in content.items():
            file = files.open(path_of(volume), create=True)
            file.pwrite(data, 0)
            file.fdatasync()
        files.fsync_dir(DIRECTORY)

    def file_of(self, volume: int) -> Node:
        """The file of a volume."""
        node = self.disk.names[path_of(volume)]
        assert node is not None
        return node

    def node_of(self, volume: int) -> Node:
        """What a volume holds, as God sees it: its file, with all that a start would do to it first."""
        return self.file_of(volume)

    def images(self) -> dict[int, bytearray]:
        """What the volumes hold now; not copies."""
        return {volume: self.node_of(volume).current for volume in self.sizes}

    def settled(self, volume: int, offset: int, length: int) -> bool:
        """Whether a range holds now what it will hold after any loss of power."""
        return self.node_of(volume).versions(offset, length)

    @property
    def empty(self) -> bool:
        """True when the volumes hold nothing but zeroes."""
        return not any(any(image) for image in self.images().values())

    # -- the process ----------------------------------------------------------------------------

    def begin_process(self) -> None:
        """A new process: nothing of an earlier one is left but the disk and its cache."""
        self.life = Life(self.name)
        self.files = SimFiles(self.disk)
        self.steps = Steps(self.world, self.life, self.disk, self.die)
        self.steps.slowest = self.latency
        self.steps.doom, self.next_doom = self.next_doom, None
        self._queue.clear()
        self._draining = self._inside = False
        self.files.lock(f"{STATE}/lock")
        self.volumes = Volumes(self.files, self.sizes)

    def opens(self, load: Callable[[], None]) -> bool:
        """Opens the process's files; False when it died, or could not."""
        errno = self.steps.carry_out("open", Step(load, lambda _: None))
        if errno:
            self.world.note(self.name, "could not start, errno", errno)
            self.die(False)
        return self.life.alive

    def distrust_cache(self) -> None:
        """After an unclean stop a sync may have failed that nobody recorded: read the disk itself (C3)."""
        for volume in self.sizes:
            self.file_of(volume).drop_clean()
        if self.power_failed:
            self.power_failed = False
            self.cache_lost()

    def cache_lost(self) -> None:
        """A sync had failed; now the volumes show what it left of them."""

    def die(self, machine: bool) -> None:
        """The process is killed, or the machine crashes under it; now."""
        life = self.life
        if life.alive:
            life.alive = False
            self.world.note(self.name, "machine crash" if machine else "killed")
            self.steps.abandon()
            self.files.end()
            if machine:
                self.net.machine_gone(life)
            else:
                self.net.process_gone(life)
        if machine:
            self.disk.power_loss()
            self.boots += 1
            self.power_failed = False
        self.disk_is_left(machine)
        self.place.on_death(self, machine)

    def disk_is_left(self, power_lost: bool) -> None:
        """Nobody uses the disk any more."""

    def ended(self) -> None:
        """The process has ended by itself, after a clean stop."""
        self.life.alive = False
        self.files.end()
        self.net.process_gone(self.life)
        self.world.note(self.name, "ended")

    def start(self) -> bool:
        """A new process. False when it died or gave up before it was up."""
        raise TypeError(f"{self.name} has no process")

    def stop(self) -> list[Action]:
        """Asks the core for a clean stop."""
        raise TypeError(f"{self.name} has no process")

    @property
    def faulted(self) -> bool:
        """The core says that a disk failed."""
        return False

    # -- turns ----------------------------------------------------------------------------------

    def clock(self) -> tuple[float, float]:
        """Monotonic and wall seconds here. The monotonic clock starts anew with each boot."""
        return self.world.now + 100.0 * self.boots, _WALL + self.world.now + self.wall_skew

    def set_clock(self) -> None:
        """Gives the core the time."""

    def end_turn(self) -> None:
        """All actions of a turn have been carried out."""

    def turn(self, do: Callable[..., list[Action]], *arguments: Any) -> None:
        """One input to the core, and everything that comes of it."""
        if not self.life.alive:
            return
        if not self._inside:
            self.set_clock()
        self._queue.extend(do(*arguments))
        self.drain()

    def whole_turn(self, inputs: Callable[[], None]) -> None:
        """Several inputs that make up one turn."""
        if not self.life.alive:
            return
        self.set_clock()
        self._inside = True
        inputs()
        self._inside = False
        self.drain()

    def drain(self) -> None:
        """Carries out what the core has asked for, in order; never within itself."""
        if self._draining:
            return
        self._draining = True
        while self._queue and self.life.alive:
            self.carry_out(self._queue.popleft())
        self._draining = False
        if self.life.alive and not self._inside:
            self.end_turn()

    def carry_out(self, action: Action) -> None:
        """Begins one action."""
        raise TypeError(f"{self.name} does not know {action}")

    # -- actions that both shells know ----------------------------------------------------------

    def write_header(self, action: WriteHeader, report: Callable[..., list[Action]]) -> None:
        """Replaces the header."""

        def run() -> None:
            self.header_file.write(action.header)
            self.header_durable(action.header)

        self.steps.begin("header", Step(run, lambda errno: self.turn(report, action.ticket, errno)))

    def layer_begins(self, layer: Layer) -> None:
        """A layer of the preserve store is about to begin."""

    def header_durable(self, header: Header) -> None:
        """A header has become durable."""

    def sync_volumes(self, action: SyncVolumes, report: Callable[..., list[Action]]) -> None:
        """Syncs the volumes; it covers what was written when its turn came."""

        def prepare() -> None:
            self._marks = self.volumes.begin_sync()

        def run() -> None:
            try:
                self.volumes.end_sync(self._marks)
            except OSError:
                self.power_failed = True  # also where the process dies before it hears of it
                raise

        def done(errno: int) -> None:
            if errno:
                self.sync_failed()
            self.turn(report, action.ticket, errno)

        self.steps.begin("sync", Step(run, done, prepare))

    def sync_failed(self) -> None:
        """A sync of the volumes has failed."""

    def noted(self, action: Note) -> None:
        """An event for the operator."""
        self.world.note(self.name, f"[{action.kind}]", action.fields)
        fields = action.fields
        name = f"{fields['state']} ({fields['reason']})" if action.kind == "link-state" else ""
        self.world.reached[f"note {action.kind} {name}".rstrip()] += 1

    def regions(self, size: int) -> list[tuple[int, int, int]]:
        """(volume, offset, length) of every region of this size."""
        assert size % SECTOR == 0
        return [
            (volume, offset, min(size, total - offset))
            for volume, total in self.sizes.items()
            for offset in range(0, total, size)
        ]
