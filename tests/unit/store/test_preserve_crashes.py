"""The preserve store on a simulated disk, used at random until it dies: each moment stays what it was."""

import errno
from random import Random

import pytest

from farshore.core.geometry import Geometry
from farshore.model.layers import Layer, LayerKind, Run
from farshore.store.preserve import PreserveStore
from sim.disk import Died, Disk, Strike
from sim.files import SimFile, SimFiles

REGION = 4096
REGIONS = 24
SIZE = (REGIONS - 1) * REGION + 1536
GEOMETRY = Geometry({1: SIZE}, REGION, REGION)
DEATHS = 6


class Life:
    """A store and a volume on a simulated disk, used at random until they die."""

    late_saves = False
    """Broken on purpose: a region is saved behind its overwrite."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.disk = Disk(random)
        self.moments: dict[bytes, bytes] = {}
        self.files = SimFiles(self.disk)
        self.files.mkdir("/c")
        self.files.open("/volume", create=True).pwrite(self.random.randbytes(SIZE), 0)
        self.files.fsync_dir("/")
        self.open()

    def open(self) -> None:
        self.files = SimFiles(self.disk)
        self.volume: SimFile = self.files.open("/volume")
        self.volume.settle()
        self.store = PreserveStore.open(self.files, "/c/preserve", GEOMETRY, 1 << 20)

    def live(self, _volume: int, offset: int, length: int) -> bytes:
        return self.volume.pread(length, offset)

    def put(self, _volume: int, offset: int, length: int, content: bytes | None) -> None:
        self.volume.pwrite(bytes(length) if content is None else content, offset)

    def act(self) -> None:
        dice, layers = self.random.random(), self.store.layers
        if not layers or dice < 0.1:
            self.begin()
        elif dice < 0.75:
            self.overwrite()
        elif dice < 0.85:
            self.volume.fdatasync()
        elif dice < 0.93:
            self.drop(self.random.choice(layers))
        elif known := [each for each in layers if each.id in self.moments]:
            self.roll_back(self.random.choice(known))

    def begin(self) -> None:
        self.volume.fdatasync()
        layer = Layer(self.random.randbytes(16), LayerKind.SNAPSHOT, ((1, SIZE),))
        self.moments[layer.id] = self.volume.pread(SIZE, 0)  # also where it dies: it may be there
        self.store.begin(layer, self.random.choice((0, 3 * REGION)))

    def overwrite(self) -> None:
        first = self.random.randrange(REGIONS)
        run: Run = (1, first, min(REGIONS, first + self.random.randint(1, 5)))
        offset = run[1] * REGION
        length = min(run[2] * REGION, SIZE) - offset
        content = self.random.choice((bytes(length), self.random.randbytes(length)))
        if self.late_saves:
            self.volume.pwrite(content, offset)
        self.store.save([run], self.live)
        self.volume.pwrite(content, offset)

    def drop(self, layer: Layer) -> None:
        for _ in range(100):
            if self.store.hand_down(layer.id):
                break
        self.store.drop(layer.id)
        self.moments.pop(layer.id, None)

    def roll_back(self, layer: Layer) -> None:
        ids = [each.id for each in self.store.layers]
        gone = ids[ids.index(layer.id) :]
        for each in gone[1:]:
            self.moments.pop(each, None)
        self.store.restore(layer.id, self.put)
        self.volume.fdatasync()
        assert self.volume.pread(SIZE, 0) == self.moments[layer.id]
        self.store.drop(*gone)
        del self.moments[layer.id]

    def crash(self) -> None:
        self.files.end()
        self.disk.steps_left = None
        if self.random.random() < 0.7:
            self.disk.power_loss()
        self.open()
        self.check()

    def check(self) -> None:
        for layer in self.store.layers:
            if layer.id not in self.moments:
                continue  # a roll-back to an older one was under way
            found = b"".join(self.store.read(layer.id, 1, region, self.live) for region in range(REGIONS))
            assert found == self.moments[layer.id], f"layer {layer.id.hex()[:6]}"


def lived(seed: int) -> Life:
    life = Life(Random(seed))
    for _ in range(DEATHS):
        life.disk.steps_left = life.random.randrange(120)
        try:
            for _ in range(60):
                life.act()
        except Died:
            pass
        life.crash()
    life.check()
    return life


@pytest.mark.parametrize("seed", range(80))
def test_whatever_dies_when_each_moment_reads_as_it_was(seed: int) -> None:
    lived(seed)


def test_saving_behind_the_overwrite_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Life, "late_saves", True)
    with pytest.raises(AssertionError):
        for seed in range(80):
            lived(seed)


@pytest.mark.parametrize("operation", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_save_that_failed_keeps_nothing_and_may_be_tried_again(operation: str, code: int) -> None:
    life = Life(Random(7))
    life.begin()
    life.overwrite()
    saved = life.store.saved()
    life.disk.strikes.append(Strike(operation, ".layer", code))
    missing = next(region for region in range(REGIONS) if all(not a <= region < b for _, a, b in saved))
    with pytest.raises(OSError):
        life.store.save([(1, missing, missing + 1)], life.live)
    assert life.store.saved() == saved
    life.store.save([(1, missing, missing + 1)], life.live)
    life.crash()
    assert any(first <= missing < stop for _, first, stop in life.store.saved())
