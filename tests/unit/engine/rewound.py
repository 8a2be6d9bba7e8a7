"""A copy on a simulated disk that was fed, with snapshots in between, and is rewound under deaths. It knows
what it held at each position, and what has to be true at any instant (rules D1, E3, H)."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import cast

from farshore.core import rewinding, turning
from farshore.core.geometry import Geometry
from farshore.core.history import at_or_after
from farshore.engine.rewinding import Ground, Rewind
from farshore.errors import FarshoreError
from farshore.model.copy_config import TurnIntent
from farshore.model.header import Header
from farshore.model.layers import Layer, LayerKind
from farshore.model.messages import Buffer
from farshore.model.options import Role
from farshore.model.positions import History, Position, Stretch
from farshore.model.role_change import RewindIntent
from farshore.model.volumes import WRITE, ZERO, Operation
from farshore.store.header import HeaderFile
from farshore.store.past_segments import PastSegments
from farshore.store.preserve import PreserveStore
from farshore.store.segments import Segments
from farshore.store.volume import Volume
from farshore.wire import frame
from farshore.wire.frame import FrameStamp
from sim.disk import Died, Disk
from sim.files import SimFile, SimFiles

REGION = 4096
REGIONS = 12
SIZE = (REGIONS - 1) * REGION + 1536
SIZES = {1: SIZE, 2: 3 * REGION}
GEOMETRY = Geometry(SIZES, REGION, REGION)
GROUP, COPY, G, H, STREAM = b"g" * 16, b"c" * 16, b"1" * 16, b"2" * 16, b"c" * 16
HISTORY = History((Stretch(G, 10), Stretch(H, 10)))
SEGMENT = 16 << 10
PLENTY = 8 << 20
Images = dict[int, bytes]


def base_for(layers: Iterable[Layer], history: History, start: Position | None, goal: Position) -> Layer:
    """The newest layer from which frames behind `start` lead to `goal`. Raises FarshoreError."""
    found: Layer | None = None
    for layer in layers:
        mark = layer.mark
        if layer.kind not in rewinding.MOMENTS or mark is None or not history.holds(mark):
            continue
        starts_before = start is not None and start.sequence <= mark.sequence
        if mark == goal or (starts_before and at_or_after(history, goal, mark)):
            found = layer
    if found is None or not history.holds(goal):
        raise rewinding.out_of_reach(
            "no snapshot from which the journal still has every frame lies before it"
        )
    return found


class DiskVolume:
    """A volume on the simulated disk, as far as a rewind uses one."""

    def __init__(self, file: SimFile) -> None:
        self.file = file

    def read(self, offset: int, length: int) -> bytes:
        return self.file.pread(length, offset)

    def write(self, data: Buffer, offset: int) -> None:
        self.file.pwrite(data, offset)

    def write_many(self, offsets: list[int], pieces: list[Buffer]) -> dict[int, int]:
        for offset, piece in zip(offsets, pieces, strict=True):
            self.file.pwrite(piece, offset)
        return {}

    def zero(self, offset: int, length: int, may_unmap: bool) -> None:
        self.file.zero(offset, length)

    def fdatasync(self) -> None:
        self.file.fdatasync()


class Life:
    """One copy that was fed, with snapshots in between, and is then rewound under deaths."""

    def __init__(self, seed: int, limit: int = PLENTY) -> None:
        self.random = Random(seed)
        self.limit = limit
        self.disk = Disk(self.random)
        files = SimFiles(self.disk)
        for name in ("/c", "/data"):
            files.mkdir(name)
        for volume, size in SIZES.items():
            files.open(f"/data/{volume}", create=True).pwrite(self.random.randbytes(size), 0)
        files.fsync_dir("/")
        files.fsync_dir("/data")
        history = History((Stretch(G, 10),))
        HeaderFile.create(files, "/c/header", Header(GROUP, COPY, Role.SECONDARY, history)).close()
        files.fsync_dir("/c")
        self.files = files
        self.head = Position(G, 10)
        self.open()
        self.ground.journal.clear(self.head)
        self.images: dict[Position, Images] = {}
        self.moments: dict[bytes, Images] = {}
        self.note()

    def open(self) -> None:
        self.files = files = SimFiles(self.disk)
        volumes = {volume: DiskVolume(files.open(f"/data/{volume}")) for volume in SIZES}
        for volume in volumes.values():
            volume.file.settle()
        past = PastSegments.open(files, "/c/journal", STREAM, PLENTY)
        journal = Segments.open(files, "/c/journal", STREAM, SEGMENT)
        assert journal.damaged is None
        journal.past = past
        store = PreserveStore.open(files, "/c/preserve", GEOMETRY, self.limit)
        past.marks = rewinding.marks(store.layers, HISTORY)
        header = HeaderFile.open(files, "/c/header")
        self.ground = Ground(header, store, journal, cast("dict[int, Volume]", volumes), GEOMETRY)

    def present(self) -> Images:
        return {volume: self.ground.read(volume, 0, size) for volume, size in SIZES.items()}

    def note(self) -> None:
        self.images[self.head] = self.present()

    # -- being fed ----------------------------------------------------------------------------

    def feed(self, count: int) -> None:
        for _ in range(count):
            dice = self.random.random()
            if dice < 0.15 or not self.moments:
                self.snapshot()
            elif dice < 0.2:
                self.turn()
            elif dice < 0.3:
                self.trim()
            else:
                self.frame()
        self.sync()
        history = self.ground.header.header.history
        clean = replace(self.ground.header.header, history=history.extended_to(self.head.sequence))
        self.ground.header.write(replace(clean, clean=True, journaling=True))

    def frame(self) -> None:
        ground, operations, payloads = self.ground, list[Operation](), list[Buffer | None]()
        for _ in range(self.random.randint(1, 4)):
            volume = self.random.choice((1, 1, 2))
            at = self.random.randrange(SIZES[volume] // 512) * 512
            length = min(self.random.choice((512, 1024, 6144)), SIZES[volume] - at)
            code = self.random.choice((WRITE, WRITE, ZERO))
            operations.append((volume, code, at, length))
            payloads.append(self.random.randbytes(length) if code == WRITE else None)
        stamp = FrameStamp(GROUP, self.head.generation, self.head.sequence + 1, 0, self.head)
        data = bytes(frame.encode(stamp, operations, payloads))
        reached = Position(self.head.generation, self.head.sequence + len(operations))
        ground.journal.append([(reached, data)], self.head)
        ground.journal.sync()
        for (volume, code, at, length), payload in zip(operations, payloads, strict=True):
            regions = GEOMETRY.regions_of(at, length)
            ground.preserve.save([(volume, regions.start, regions.stop)], ground.read)
            if code == WRITE and payload is not None:
                ground.volumes[volume].write(payload, at)
            else:
                ground.volumes[volume].zero(at, length, may_unmap=False)
        self.head = reached
        self.note()

    def sync(self) -> None:
        self.ground.sync()

    def trim(self) -> None:
        self.sync()
        past = self.ground.journal.past
        assert past is not None
        past.marks = rewinding.marks(self.ground.preserve.layers, HISTORY)
        self.ground.journal.trim(self.head)
        self.ground.journal.sync()

    def turn(self) -> None:
        """The primary has begun a generation."""
        if self.head.generation == H:
            return
        self.head = Position(H, self.head.sequence)
        self.ground.journal.continue_at(self.head)
        self.ground.journal.sync()
        header = self.ground.header
        header.write(
            replace(header.header, history=header.header.history.extended_to(self.head.sequence).forked(H))
        )
        self.note()

    def snapshot(self) -> None:
        self.trim()
        layer = Layer(
            self.random.randbytes(16), LayerKind.SNAPSHOT, tuple(sorted(SIZES.items())), "noon", self.head
        )
        self.ground.preserve.begin(layer, 0)
        self.moments[layer.id] = self.present()

    # -- being rewound ------------------------------------------------------------------------

    def wish(self, goal: Position) -> TurnIntent:
        ground = self.ground
        past = ground.journal.past
        assert past is not None
        start = past.start or ground.journal.start
        base = base_for(ground.preserve.layers, ground.header.header.history, start, goal)
        turn = self.random.randbytes(16)
        return TurnIntent(turn, (), RewindIntent(base.id, goal, "before", 5.0))

    def attempt(self, turn: TurnIntent) -> None:
        """What the engine does at its start."""
        header = self.ground.header.header
        if header.role is Role.PRIMARY:
            return
        assert turn.rewind is not None
        promoted = turning.promoted(Rewind(self.ground, turn, turn.rewind).run(), turn, [])
        self.ground.header.write(promoted.header)
        self.ground.journal.clear()

    def crash(self) -> None:
        self.files.end()
        self.disk.steps_left = None
        if self.random.random() < 0.7:
            self.disk.power_loss()
        self.open()

    def check(self, goal: Position) -> None:
        """At any instant: what the header says is what there is."""
        header, store = self.ground.header.header, self.ground.preserve
        rescue = rewinding.open_rewind(header)
        if header.role is Role.PRIMARY:
            assert self.present() == self.images[goal], "the image is another one than was wished for"
            assert header.history.head == goal, "the history ends elsewhere"
            assert header.resync is None
        elif rescue is None:
            assert self.present() == self.images[self.head], "it was overwritten before that was said"
            assert header.history.head == self.head
        else:
            assert self.shown(rescue) == self.images[self.head], "the rescue does not show the present"
        for layer in store.layers:
            if layer.kind is LayerKind.RESCUE:
                assert self.shown(layer.id) == self.images[self.head]
            else:
                assert self.shown(layer.id) == self.moments[layer.id], "a snapshot has changed"

    def shown(self, layer: bytes) -> Images:
        ground = self.ground
        return {
            volume: b"".join(
                ground.preserve.read(layer, volume, region, ground.read)
                for region in range(GEOMETRY.regions(volume))
            )
            for volume in SIZES
        }

    def rewind(self, turn: TurnIntent, patience: int = 60) -> None:
        """To its end, under deaths."""
        assert turn.rewind is not None
        for attempt in range(patience):
            self.disk.steps_left = self.random.randrange(60 + attempt * 40)
            try:
                self.attempt(turn)
            except Died:
                self.crash()
                self.check(turn.rewind.position)
            else:
                self.disk.steps_left = None
                self.check(turn.rewind.position)
                return
        raise AssertionError("it never ends")

    def goals(self) -> list[Position]:
        past = self.ground.journal.past
        assert past is not None
        found = []
        for goal in self.images:
            try:
                self.wish(goal)
            except FarshoreError:
                continue
            found.append(goal)
        return found
