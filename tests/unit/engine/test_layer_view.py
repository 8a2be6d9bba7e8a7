"""What a reader of a layer, or of a secondary that resyncs, is shown: any range, byte by byte, and never a
byte of a state that the copy was not in."""

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.core.geometry import Geometry
from farshore.core.showing import LIVE
from farshore.engine.layer_view import LayerView
from farshore.engine.live_view import LiveView
from farshore.model.layers import Layer, LayerKind
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from farshore.store.volume import Volume

REGION = 4096
SIZE = 64 * REGION + 1536
MIB = 1 << 20


class Site:
    """A volume beside a store."""

    def __init__(self, directory: Path) -> None:
        path = directory / "v.img"
        path.write_bytes(random.Random(3).randbytes(SIZE // 2))
        os.truncate(path, SIZE)
        self.volume = Volume(os.open(path, os.O_RDWR), str(path), SIZE)
        geometry = Geometry({1: SIZE}, REGION, REGION)
        self.store = PreserveStore.open(RealFiles(), str(directory / "preserve"), geometry, MIB)

    def begin(self, number: int, kind: LayerKind = LayerKind.SNAPSHOT) -> tuple[Layer, bytes]:
        layer = Layer(bytes([number]) * 16, kind, ((1, SIZE),), f"n{number}")
        self.store.begin(layer, 0)
        return layer, self.volume.read(0, SIZE)

    def write(self, first: int, stop: int, value: int) -> None:
        self.store.save([(1, first, stop)], lambda _, offset, length: self.volume.read(offset, length))
        end = min(stop * REGION, SIZE)
        self.volume.write(bytes([value]) * (end - first * REGION), first * REGION)

    def view(self, layer: Layer) -> LayerView:
        return LayerView(self.store, layer.id, 1, self.volume)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()
    made.volume.close()


def test_any_range_of_a_layer_is_what_it_was(site: Site) -> None:
    older, first = site.begin(1)
    site.write(3, 9, 7)
    newer, second = site.begin(2)
    site.write(8, 12, 9)
    site.write(60, 65, 9)
    chosen = random.Random(5)
    for layer, image in ((older, first), (newer, second)):
        view = site.view(layer)
        assert view.read(0, SIZE) == image
        for _ in range(300):
            offset = chosen.randrange(SIZE)
            length = chosen.choice((1, 512, 5000, 3 * REGION, SIZE - offset))
            length = min(length, SIZE - offset)
            assert view.read(offset, length) == image[offset : offset + length]


def test_holes_of_a_layer_read_as_zeroes_also_where_they_were_filled_since(site: Site) -> None:
    layer, image = site.begin(1)
    site.write(40, 44, 5)
    at = 0
    holes = 0
    for run, hole in site.view(layer).extents(0, SIZE):
        if hole:
            assert image[at : at + run] == bytes(run)
            holes += run
        at += run
    assert at == SIZE
    assert holes >= 8 * REGION


def test_a_layer_that_is_gone_is_an_error_for_its_readers(site: Site) -> None:
    layer, _ = site.begin(1)
    view = site.view(layer)
    site.store.drop(layer.id)
    with pytest.raises(OSError, match="gone"):
        view.read(0, 512)
    with pytest.raises(OSError, match="gone"):
        site.view(layer)


def test_damage_of_a_kept_region_is_an_input_output_error_and_no_content(site: Site, tmp_path: Path) -> None:
    layer, image = site.begin(1)
    site.write(2, 3, 7)
    (file,) = (tmp_path / "preserve").glob("*.layer")
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    with pytest.raises(OSError, match="cannot be read") as failed:
        site.view(layer).read(2 * REGION, 512)
    assert failed.value.errno == errno.EIO
    assert site.view(layer).read(3 * REGION, REGION) == image[3 * REGION : 4 * REGION]


class Turning:
    """What is shown, which changes when it is asked for the `when`-th time."""

    def __init__(self, site: Site, when: int, then: bytes | None) -> None:
        self.site = site
        self.now: bytes | None = LIVE
        self._left = when
        self._then = then

    def __call__(self) -> bytes | None:
        self._left -= 1
        if self._left == 0:
            self.now = self._then
            self.site.write(0, 16, 0xEE)
        return self.now


@pytest.mark.parametrize("when", [1, 2])
def test_no_byte_of_a_fill_is_shown_though_the_resync_begins_while_it_is_read(site: Site, when: int) -> None:
    undo, image = site.begin(1, LayerKind.UNDO)
    shown = Turning(site, when, undo.id)
    live = LiveView(shown, site.store, 1, site.volume)
    assert live.read(0, 32 * REGION) == image[: 32 * REGION]
    assert shown.now == undo.id


class Slow(Volume):
    """A resync begins, and its first fill comes, while the disk is being read."""

    def __init__(self, site: Site, shown: Turning) -> None:
        super().__init__(os.dup(site.volume.fd), site.volume.path, SIZE)
        self._shown = shown

    def read(self, offset: int, length: int) -> bytes:
        self._shown()
        return super().read(offset, length)


def test_what_was_read_of_a_fill_before_anybody_knew_is_read_again(site: Site) -> None:
    undo, image = site.begin(1, LayerKind.UNDO)
    shown = Turning(site, 2, undo.id)
    slow = Slow(site, shown)
    assert LiveView(shown, site.store, 1, slow).read(0, 4 * REGION) == image[: 4 * REGION]
    slow.close()


def test_where_nothing_may_be_shown_reads_fail_also_those_under_way(site: Site) -> None:
    for when in (1, 2):
        live = LiveView(Turning(site, when, None), site.store, 1, site.volume)
        with pytest.raises(OSError, match="not whole") as failed:
            live.read(0, REGION)
        assert failed.value.errno == errno.EIO


def test_a_secondary_that_follows_shows_what_its_volume_has(site: Site) -> None:
    live = LiveView(lambda: LIVE, site.store, 1, site.volume)
    site.write(1, 2, 3)
    assert live.read(REGION, REGION) == bytes([3]) * REGION
    assert sum(run for run, _ in live.extents(0, SIZE)) == SIZE


def test_a_copy_that_has_grown_during_a_resync_shows_the_state_before_and_zeroes_behind_it(
    site: Site,
) -> None:
    undo, image = site.begin(1, LayerKind.UNDO)
    larger = SIZE + 3 * REGION
    os.truncate(site.volume.fd, larger)
    site.volume.size = larger
    site.store.save([(1, 63, 66)], lambda _, offset, length: site.volume.read(offset, length))
    site.volume.write(b"new!" * (4 * REGION // 4), larger - 4 * REGION)
    shown = LiveView(lambda: undo.id, site.store, 1, site.volume)
    assert shown.size == larger
    assert shown.read(0, larger) == image + bytes(3 * REGION)
    assert shown.read(SIZE - 100, 200) == image[-100:] + bytes(100)
    assert shown.read(SIZE + REGION, REGION) == bytes(REGION)


def test_e2_a_layer_that_breaks_shows_nothing_any_more_also_to_whoever_is_reading(site: Site) -> None:
    """What it lacks is overwritten right after it was said: so a read in between is an error as well."""
    layer, image = site.begin(1)
    broken: set[bytes] = set()
    site.store.broken = broken
    view = site.view(layer)
    assert view.read(0, REGION) == image[:REGION]

    def overwritten(_: int, offset: int, length: int) -> bytes:
        broken.add(layer.id)
        site.volume.write(b"n" * REGION, 5 * REGION)
        return site.volume.read(offset, length)

    with pytest.raises(OSError, match="broken") as failed:
        site.store.read(layer.id, 1, 5, overwritten)
    assert failed.value.errno == errno.ESTALE
    with pytest.raises(OSError, match="broken"):
        view.read(0, 512)
