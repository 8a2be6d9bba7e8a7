"""Carries out the rewind that a promotion begins with (see `core/rewinding`), on a copy that serves nobody.

The steps and their order are the core's; each may be repeated after a death. Until the header says that a
rewind is open nothing is overwritten, and whatever stands against it is found: the layer, the room for a
rescue, every frame of the way. A rewind that is not wanted any more is taken back from its rescue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from farshore.core import rewinding
from farshore.core.geometry import Geometry
from farshore.core.preserve import FULL
from farshore.core.rewinding import Step, out_of_reach
from farshore.engine import applied_frames
from farshore.engine.applying import carry_out, steps_of, volumes_in
from farshore.engine.preserving import put_into
from farshore.errors import FarshoreError
from farshore.model.copy_config import TurnIntent
from farshore.model.header import Header
from farshore.model.layers import Layer, Run
from farshore.model.role_change import RewindIntent
from farshore.store.header import HeaderFile
from farshore.store.preserve import PreserveStore
from farshore.store.segments import Segments
from farshore.store.volume import Volume

_MOST_PARTS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Ground:
    """What of a stored copy a rewind works on."""

    header: HeaderFile
    preserve: PreserveStore
    journal: Segments
    volumes: dict[int, Volume]
    geometry: Geometry

    def read(self, volume: int, offset: int, length: int) -> bytes:
        """What a volume holds now."""
        return self.volumes[volume].read(offset, length)

    def sync(self) -> None:
        """Makes the volumes durable."""
        for volume in self.volumes.values():
            volume.fdatasync()


class Rewind:
    """One turn's rewind, up to the moment at which the copy can be promoted. `wish` is the turn's."""

    def __init__(self, ground: Ground, turn: TurnIntent, wish: RewindIntent) -> None:
        self._ground = ground
        self._turn = turn.id
        self._wish = wish
        self.steps: dict[Step, Callable[[], None]] = {
            Step.KEEP: self._keep,
            Step.OPEN: self._open,
            Step.RESTORE: self._restore,
            Step.REPLAY: self._replay,
        }

    def run(self) -> Header:
        """All steps before the promotion, which is the caller's; the header that it has to begin from.
        Raises FarshoreError `not-rewindable` or `store-full`, whereupon nobody should want it any more, or
        OSError."""
        for step in rewinding.left(self._ground.header.header, self._turn):
            if step in self.steps:
                try:
                    self.steps[step]()
                except FarshoreError as error:
                    if error.code.name in ("not-rewindable", "store-full"):
                        raise
                    raise out_of_reach(error.what) from error  # what was kept cannot be read any more
        return rewinding.rewound(self._ground.header.header, self._wish.position)

    # -- steps ------------------------------------------------------------------------------

    def _keep(self) -> None:
        ground, store = self._ground, self._ground.preserve
        layer = self._layer()
        self._require_way(layer)
        rescue = rewinding.rescue(ground.header.header, self._turn, self._wish, dict(ground.geometry.sizes))
        runs = overwritten(store, ground.geometry, layer)
        try:
            if all(each.id != rescue.id for each in store.layers):
                store.begin(rescue, bytes_of(ground.geometry, runs))
            store.save(runs, ground.read)
        except OSError as error:
            if error.errno not in FULL:
                raise
            _give_up(store, rescue.id)
            raise FarshoreError(
                "store-full",
                "the preserve store has no room for what this copy holds now, which a rewind keeps",
                means="Nothing was changed.",
                next_step="make room: farshore snapshot delete, farshore rescue delete",
            ) from error
        if store.lacking(rescue.id):  # it could be taken back but for that, and nobody would compare it
            _give_up(store, rescue.id)
            raise out_of_reach("a part of what it holds now cannot be read, and so not be kept")

    def _layer(self) -> Layer:
        found = next((each for each in self._ground.preserve.layers if each.id == self._wish.layer), None)
        known = found is not None and found.mark is not None and found.kind in rewinding.MOMENTS
        if found is None or not known or self._ground.header.header.broken(found.id):
            raise out_of_reach("the preserve store does not have that snapshot any more")
        return found

    def _require_way(self, layer: Layer) -> None:
        """Everything that will be written is read once before anything is changed."""
        ground, sizes = self._ground, self._ground.geometry.sizes
        if any(volume not in dict(layer.sizes) for volume in sizes):
            raise out_of_reach("the group has volumes that it did not have then")
        if ground.preserve.lacking(layer.id):
            raise out_of_reach(rewinding.LACKING)
        for volume, region in ground.preserve.changed_since(layer.id):
            if volume in sizes:
                ground.preserve.read(layer.id, volume, region, ground.read)
        assert layer.mark is not None
        for whole in applied_frames.between(ground.journal, layer.mark, self._wish.position):
            steps_of(whole, sizes, gone=True)

    def _open(self) -> None:
        header = self._ground.header
        header.write(rewinding.opened(header.header, self._turn, self._wish))

    def _restore(self) -> None:
        self._ground.preserve.restore(self._layer().id, put_into(self._ground.volumes))

    def _replay(self) -> None:
        ground, mark = self._ground, self._layer().mark
        assert mark is not None
        for whole in applied_frames.between(ground.journal, mark, self._wish.position):
            ground.preserve.save(_touched(ground.geometry, whole.operations), ground.read)
            steps = steps_of(whole, ground.geometry.sizes, gone=True)
            failed = carry_out(ground.volumes, steps)
            if failed:
                raise OSError(failed, f"volumes {sorted(volumes_in(steps))} cannot be written")
        ground.sync()


def take_back(ground: Ground) -> None:
    """The image is again what it was before the rewind that is open. Raises OSError, or FarshoreError."""
    header, rescue = ground.header.header, rewinding.open_rewind(ground.header.header)
    assert rescue is not None
    ground.preserve.restore(rescue, put_into(ground.volumes))
    ground.sync()
    ground.header.write(rewinding.taken_back(header))
    _give_up(ground.preserve, rescue)


def _give_up(store: PreserveStore, layer: bytes) -> None:
    """A rescue that shows nothing but the present."""
    if all(each.id != layer for each in store.layers):
        return
    try:
        for _ in range(_MOST_PARTS):
            if store.hand_down(layer):
                store.drop(layer)
                return
    except OSError as error:
        if error.errno not in FULL:
            raise  # without room it stays, and can be deleted as any rescue


def overwritten(store: PreserveStore, geometry: Geometry, layer: Layer) -> list[Run]:
    """What may differ from the layer's moment, of what there is now; what a volume has gained since is
    zeroed by a restore."""
    runs: list[Run] = []
    then = dict(layer.sizes)
    gained = {
        volume: geometry.regions_of(then.get(volume, 0), size - then.get(volume, 0))
        for volume, size in geometry.sizes.items()
        if size > then.get(volume, 0)
    }
    for volume, region in store.changed_since(layer.id):
        if volume not in geometry.sizes or region >= geometry.regions(volume):
            continue
        if volume in gained and region >= gained[volume].start:
            continue
        if runs and runs[-1][0] == volume and runs[-1][2] == region:
            runs[-1] = (volume, runs[-1][1], region + 1)
        else:
            runs.append((volume, region, region + 1))
    runs += [(volume, regions.start, regions.stop) for volume, regions in gained.items()]
    return runs


def bytes_of(geometry: Geometry, runs: list[Run]) -> int:
    return sum(geometry.span(volume, first, stop - first)[1] for volume, first, stop in runs)


def _touched(geometry: Geometry, operations: list[tuple[int, int, int, int]]) -> list[Run]:
    runs = []
    for volume, _, offset, length in operations:
        if length and volume in geometry.sizes:
            regions = geometry.regions_of(offset, length)
            runs.append((volume, regions.start, regions.stop))
    return runs
