"""The preserve store: what a moment held is read again, whatever was overwritten since, within a bound."""

import errno
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from farshore.core.geometry import Geometry
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position
from farshore.store import layer_list
from farshore.store.layer_file import FIRST, UNREAD, LayerFile
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore, Read, default_limit

REGION = 4096
SIZES = {1: 20 * REGION + 512, 4: 3 * REGION}
PLENTY = 1 << 30


def layer(number: int, kind: LayerKind = LayerKind.SNAPSHOT) -> Layer:
    return Layer(bytes([number]) * 16, kind, tuple(sorted(SIZES.items())), f"n{number}", None, 1.5)


class Scene:
    """A store beside two volumes in memory."""

    def __init__(self, directory: Path, limit: int = PLENTY) -> None:
        self.path = str(directory / "preserve")
        self.limit = limit
        self.volumes = {volume: bytearray(bytes([volume]) * size) for volume, size in SIZES.items()}
        self.volumes[1][2 * REGION : 4 * REGION] = bytes(2 * REGION)
        self.store = self.opened()

    def opened(self) -> PreserveStore:
        geometry = Geometry(dict(SIZES), REGION, REGION)
        return PreserveStore.open(RealFiles(), self.path, geometry, self.limit)

    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()

    def live(self, volume: int, offset: int, length: int) -> bytes:
        return bytes(self.volumes[volume][offset : offset + length])

    def put(self, volume: int, offset: int, length: int, content: bytes | None) -> None:
        self.volumes[volume][offset : offset + length] = bytes(length) if content is None else content

    def write(self, volume: int, first: int, stop: int, value: int) -> None:
        self.store.save([(volume, first, stop)], self.live)
        end = min(stop * REGION, SIZES[volume])
        self.volumes[volume][first * REGION : end] = bytes([value]) * (end - first * REGION)

    def image(self, moment: Layer) -> dict[int, bytearray]:
        return {
            volume: bytearray().join(
                self.store.read(moment.id, volume, region, self.live) for region in range(-(-size // REGION))
            )
            for volume, size in SIZES.items()
        }

    def copy(self) -> dict[int, bytearray]:
        return {volume: bytearray(data) for volume, data in self.volumes.items()}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_each_layer_reads_as_its_moment_also_for_the_next_process(scene: Scene) -> None:
    moments = []
    for number in range(1, 5):
        moments.append((layer(number), scene.copy()))
        scene.store.begin(layer(number), 0)
        scene.write(1, number, 21, 10 + number)
        scene.write(4, 0, number % 3 + 1, 20 + number)
        scene.write(1, number, number + 2, 30 + number)
    for _ in range(2):
        assert [each.name for each in scene.store.layers] == ["n1", "n2", "n3", "n4"]
        for each, image in moments:
            assert scene.image(each) == image
        scene.reopen()


def test_a_region_is_saved_once_and_zeroes_take_no_room(scene: Scene) -> None:
    scene.store.begin(layer(1), 0)
    scene.write(1, 0, 1, 9)
    used = scene.store.used
    scene.write(1, 0, 1, 8)
    assert scene.store.used == used
    scene.write(1, 2, 4, 7)
    assert scene.store.used - used < 100
    assert scene.store.saved() == [(1, 0, 1), (1, 2, 4)]


def test_restoring_brings_a_moment_back_and_can_be_done_again(scene: Scene) -> None:
    before = scene.copy()
    for number in (1, 2, 3):
        scene.store.begin(layer(number), 0)
        scene.write(1, number, 21, number)
        scene.write(4, 1, 3, number)
    scene.store.restore(layer(1).id, scene.put)
    scene.reopen()
    scene.volumes[1][5 * REGION] = 77  # cut off in the middle
    scene.store.restore(layer(1).id, scene.put)
    assert scene.volumes == before


def test_a_layer_in_the_middle_goes_and_the_others_stay_what_they_are(scene: Scene) -> None:
    moments = []
    for number in (1, 2, 3):
        moments.append((layer(number), scene.copy()))
        scene.store.begin(layer(number), 0)
        scene.write(1, 4 * number, 4 * number + 6, number)
    for gone in (2, 3):
        for _ in range(10):
            if scene.store.hand_down(layer(gone).id):
                break
        scene.store.drop(layer(gone).id)
        scene.write(1, 0, 21, 90 + gone)
        moments = [each for each in moments if each[0].id != layer(gone).id]
        for each, image in moments:
            assert scene.image(each) == image
        scene.reopen()
    assert scene.store.hand_down(layer(1).id)
    scene.store.drop(layer(1).id)
    assert (scene.store.layers, scene.store.used) == ((), 0)


def test_e2_a_rescue_of_everything_leaves_room_for_the_undo_of_everything(tmp_path: Path) -> None:
    """Where nobody has chosen a bound: a rescue stays until an operator deletes it."""
    size = sum(SIZES.values())
    scene = Scene(tmp_path, limit=default_limit(size) - default_limit(0) + 2 * FIRST)
    for number, kind in ((1, LayerKind.RESCUE), (2, LayerKind.UNDO)):
        moment, image = layer(number, kind), scene.copy()
        scene.store.begin(moment, size)
        for volume, bytes_of in SIZES.items():
            scene.write(volume, 0, -(-bytes_of // REGION), 10 * number)
        assert scene.image(moment) == image


def test_nothing_is_restored_from_a_layer_that_is_broken(scene: Scene) -> None:
    for number in (1, 2):
        scene.store.begin(layer(number), 0)
        scene.write(1, 2, 5, number)
    before, scene.store.broken = scene.copy(), {layer(1).id}
    for use in (
        lambda: scene.store.restore(layer(1).id, scene.put),
        lambda: scene.store.changed_since(layer(1).id),
        lambda: scene.store.read(layer(1).id, 1, 0, scene.live),
    ):
        with pytest.raises(OSError, match="is broken"):
            use()
    assert scene.volumes == before
    assert scene.store.changed_since(layer(2).id) == [(1, region) for region in range(2, 5)]


def failing(scene: Scene, volume: int, region: int) -> Read:
    """Reads of the volumes where one sector of a region is bad."""

    def read(number: int, offset: int, length: int) -> bytes:
        if number == volume and offset < region * REGION + 512 and region * REGION < offset + length:
            raise OSError(errno.EILSEQ, "a bad sector")
        return scene.live(number, offset, length)

    return read


def test_what_the_disk_refuses_is_kept_as_that_and_nothing_else_is_lost(scene: Scene) -> None:
    older, newer = layer(1), layer(2)
    scene.store.begin(older, 0)
    scene.store.begin(newer, 0)
    before = scene.copy()
    assert scene.store.save([(1, 4, 8)], failing(scene, 1, 5)) == errno.EILSEQ
    scene.volumes[1][4 * REGION : 8 * REGION] = b"n" * (4 * REGION)
    assert scene.store.save([(1, 5, 6)], scene.live) == errno.EIO, (
        "what it could not keep then is not kept later either"
    )
    assert scene.store.save([(1, 4, 5), (1, 6, 9)], scene.live) == 0
    for _ in range(2):
        assert scene.store.lacking(newer.id) == scene.store.lacking(older.id) == [(1, 5)]
        with pytest.raises(OSError, match="could not be read"):
            scene.store.read(newer.id, 1, 5, scene.live)
        for region in (3, 4, 6, 7):
            part = before[1][region * REGION : (region + 1) * REGION]
            assert scene.store.read(older.id, 1, region, scene.live) == part
        scene.reopen()
    assert scene.store.hand_down(newer.id)
    scene.store.drop(newer.id)
    assert (scene.store.lacking(older.id), scene.store.lacking(newer.id)) == ([(1, 5)], [])
    scene.store.restore(older.id, scene.put)
    before[1][5 * REGION : 6 * REGION] = b"n" * REGION
    assert scene.volumes == before


def test_a_layer_that_had_the_region_before_lacks_nothing(scene: Scene) -> None:
    older, newer = layer(1), layer(2)
    scene.store.begin(older, 0)
    before = scene.copy()
    assert scene.store.save([(1, 5, 6)], scene.live) == 0
    scene.volumes[1][5 * REGION : 6 * REGION] = b"n" * REGION
    scene.store.begin(newer, 0)
    assert scene.store.save([(1, 5, 6)], failing(scene, 1, 5)) == errno.EILSEQ
    scene.volumes[1][5 * REGION : 6 * REGION] = b"o" * REGION
    assert (scene.store.lacking(older.id), scene.store.lacking(newer.id)) == ([], [(1, 5)])
    assert scene.store.hand_down(newer.id)
    scene.store.drop(newer.id)
    scene.store.restore(older.id, scene.put)
    assert scene.volumes == before


def test_a_layer_of_the_first_format_is_one_of_ours_once_it_is_opened(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    made = LayerFile.create(RealFiles(), path, b"i" * 16, 0)
    made.append([(1, 2, 4, b"abcd")])
    made.close()
    data = bytearray((tmp_path / "a").read_bytes())
    data[8] = 1
    data[32:40] = xxh3_64_intdigest(bytes(data[:32])).to_bytes(8, "little")
    (tmp_path / "a").write_bytes(data)
    opened = LayerFile.open(RealFiles(), path, b"i" * 16)
    assert opened.read(1, 2, 4) == b"abcd"
    opened.append([(1, 3, 4, UNREAD)])
    opened.close()
    assert (tmp_path / "a").read_bytes()[8] == 2
    again = LayerFile.open(RealFiles(), path, b"i" * 16)
    assert (again.read(1, 2, 4), again.lost) == (b"abcd", {(1, 3)})
    again.close()


def test_the_bound_holds_for_what_is_saved_and_for_what_is_reserved(tmp_path: Path) -> None:
    scene = Scene(tmp_path, limit=12 * REGION)
    with pytest.raises(OSError) as refused:
        scene.store.begin(layer(1), 12 * REGION)
    assert refused.value.errno == errno.ENOSPC
    assert scene.store.layers == ()
    scene.store.begin(layer(1), 6 * REGION)
    reserved = scene.store.used
    scene.write(1, 4, 10, 5)
    assert scene.store.used == reserved
    before = scene.copy()
    with pytest.raises(OSError) as full:
        scene.write(1, 10, 18, 5)
    assert full.value.errno == errno.ENOSPC
    assert scene.volumes == before
    assert scene.store.saved() == [(1, 4, 10)]
    scene.reopen()
    assert scene.store.saved() == [(1, 4, 10)]


def test_a_layer_knows_the_volumes_as_they_were(scene: Scene) -> None:
    small = Layer(b"s" * 16, LayerKind.SNAPSHOT, ((1, 2 * REGION + 100),))
    scene.store.begin(small, 0)
    scene.write(1, 0, 21, 5)
    scene.write(4, 0, 2, 5)
    assert scene.store.read(small.id, 1, 2, scene.live) == bytes(100)
    assert scene.store.read(small.id, 1, 3, scene.live) == b""
    assert scene.store.read(small.id, 4, 0, scene.live) == b""


@pytest.mark.parametrize("at", [FIRST + 3, FIRST + 40, FIRST + 4])
def test_damage_of_what_was_durable_is_told(scene: Scene, at: int) -> None:
    scene.store.begin(layer(1), 0)
    for region in range(5, 9):
        scene.write(1, region, region + 1, 7)
    scene.store.close()
    path = Path(f"{scene.path}/{layer(1).id.hex()}.layer")
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FarshoreError) as told:
        scene.opened()
    assert told.value.code.name == "state-damaged"


def test_damage_of_the_content_is_told_when_it_is_read(scene: Scene) -> None:
    scene.store.begin(layer(1), 0)
    scene.write(1, 5, 7, 7)
    scene.write(1, 9, 10, 7)
    path = Path(f"{scene.path}/{layer(1).id.hex()}.layer")
    data = bytearray(path.read_bytes())
    data[FIRST + 500] ^= 0xFF
    path.write_bytes(data)
    scene.reopen()
    with pytest.raises(FarshoreError) as told:
        scene.store.read(layer(1).id, 1, 5, scene.live)
    assert told.value.code.name == "state-damaged"
    with pytest.raises(FarshoreError):
        scene.store.restore(layer(1).id, scene.put)
    assert scene.store.read(layer(1).id, 1, 6, scene.live) == bytes([1]) * REGION


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_layer_that_was_cut_short_is_told(scene: Scene, cut: int) -> None:
    scene.store.begin(layer(1), 0)
    scene.write(1, 5, 7, 7)
    scene.store.close()
    path = Path(f"{scene.path}/{layer(1).id.hex()}.layer")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(FarshoreError) as told:
        scene.opened()
    assert told.value.code.name == "state-damaged"


def test_a_file_that_is_missing_and_a_list_that_is_missing_are_told(scene: Scene) -> None:
    scene.store.begin(layer(1), 0)
    scene.store.close()
    kept = Path(f"{scene.path}/layers").read_bytes()
    Path(f"{scene.path}/layers").unlink()
    with pytest.raises(FarshoreError):
        scene.opened()
    Path(f"{scene.path}/layers").write_bytes(kept)
    Path(f"{scene.path}/{layer(1).id.hex()}.layer").unlink()
    with pytest.raises(FarshoreError):
        scene.opened()


def test_what_is_no_layer_or_another_one_is_told(scene: Scene) -> None:
    scene.store.begin(layer(1), 0)
    scene.store.begin(layer(2), 0)
    first, second = (f"{scene.path}/{layer(number).id.hex()}.layer" for number in (1, 2))
    for content in (b"", b"x" * 2000, Path(second).read_bytes()):
        Path(first).write_bytes(content)
        with pytest.raises(FarshoreError) as told:
            LayerFile.open(RealFiles(), first, layer(1).id)
        assert told.value.code.name == "state-damaged"


def test_a_newer_layer_is_told(scene: Scene) -> None:
    from xxhash import xxh3_64_intdigest

    scene.store.begin(layer(1), 0)
    path = Path(f"{scene.path}/{layer(1).id.hex()}.layer")
    data = bytearray(path.read_bytes())
    data[8] = 9
    data[32:40] = xxh3_64_intdigest(bytes(data[:32])).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(FarshoreError) as told:
        scene.opened()
    assert told.value.code.name == "state-newer"


GOLDEN_LIST = (
    b'[{"id":"01010101010101010101010101010101","kind":"rescue","mark":["67676767676767676767676767676767",7],'
    b'"name":"n1","sizes":[[1,82432],[4,12288]],"time":1.5}]'
)


def test_the_list_has_one_form() -> None:
    held = Layer(
        b"\1" * 16, LayerKind.RESCUE, tuple(sorted(SIZES.items())), "n1", Position(b"g" * 16, 7), 1.5
    )
    assert layer_list.encode((held,)) == GOLDEN_LIST
    assert layer_list.decode(GOLDEN_LIST, "p") == (held,)
    for bad in (b"", b"{}", b"[1]", GOLDEN_LIST.replace(b"rescue", b"secure"), GOLDEN_LIST + b" "):
        with pytest.raises(FarshoreError):
            layer_list.decode(bad, "p")


def test_the_bytes_of_a_layer(tmp_path: Path) -> None:
    made = LayerFile.create(RealFiles(), str(tmp_path / "a"), b"i" * 16, 0)
    made.append([(1, 2, 4, b"abcd"), (1, 3, 8, None), (1, 5, 8, UNREAD)])
    made.close()
    data = (tmp_path / "a").read_bytes()
    assert data[:16] == b"FShrLayr\2\0\0\0\0\0\0\0"
    assert data[16:32] == b"i" * 16
    assert data[512:520] == (FIRST + 32 + 3 * 16 + 12).to_bytes(8, "little")
    entry = data[FIRST:]
    assert entry[:4] == b"FShl"
    assert entry[4:24] == b"\3\0\0\0" + (12).to_bytes(8, "little") + FIRST.to_bytes(8, "little")
    assert entry[32:48] == b"\1\0\0\0\4\0\0\0" + (2).to_bytes(8, "little")
    assert entry[48:64] == b"\1\0\1\0\x08\0\0\0" + (3).to_bytes(8, "little")
    assert entry[64:80] == b"\1\0\2\0\x08\0\0\0" + (5).to_bytes(8, "little")
    assert entry[88:] == b"abcd"
