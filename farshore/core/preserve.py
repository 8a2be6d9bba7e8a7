"""What has to be saved before it is overwritten, and where it stands (rules E1, E2, H).

While the store has layers, the newest one collects: a region may be overwritten once what it held is
durable there. Whoever would overwrite regions wants them saved, and waits; one save is under way at a time
and covers all that was wanted before it began. A region that the disk refuses to show then is kept as that,
and holds nobody up. Nothing here touches a file: actions ask the shell. `guard` has what waits of a stream.
"""

from __future__ import annotations

import errno as errnos
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from farshore.core.actions import BeginLayer, DropLayer, Relayable, SaveRegions
from farshore.core.fault_texts import named
from farshore.core.geometry import Geometry
from farshore.core.outbox import Outbox
from farshore.core.scoreboard import RegionMap
from farshore.model.layers import Layer, LayerKind, Run

FULL = (errnos.ENOSPC, errnos.EDQUOT)
UNREADABLE = -1
"""A save ends with an errno times this, which is less than nothing, where the volumes refused some of it with
that errno: it is durable, and says of those regions that they could not be read when they were to be kept."""
Lacks = Mapping[str, object]
"""Which regions these are, in the words of a shell, which knows how volumes are called."""
NOT_SHOWN = "a volume could not be read where it was about to be overwritten"
RETRY_EVERY = 1.0
"""Seconds after which a save that found no room is tried again."""
GIVES_WAY = (LayerKind.DRILL, LayerKind.SNAPSHOT)
"""What makes room when the store is full, the oldest first of each; an undo and a rescue never do."""

Range = tuple[int, int, int]
"""(volume, offset, length)."""


@dataclass(frozen=True, slots=True)
class PreserveImage:
    """What a start found in the store: its layers, oldest first, and what the newest one has."""

    layers: tuple[Layer, ...] = ()
    saved: tuple[Run, ...] = ()
    unusable: str = ""
    """Why the store cannot be used, though there may be layers in it; empty where it can."""
    incomplete: frozenset[bytes] = frozenset()
    """Layers of which some region could not be read when it was to be kept."""


class Preserving:
    """See the module. `failed` is told of the errno of a disk."""

    def __init__(
        self,
        outbox: Outbox,
        geometry: Geometry,
        image: PreserveImage | None,
        failed: Callable[[int], None],
    ) -> None:
        self._outbox = outbox
        self._geometry = geometry
        self._failed = failed
        self.full: Callable[[], None] = lambda: None
        """Told that there is no room any more."""
        self.changed: Callable[[], None] = lambda: None
        """Told that what has to be saved may be another question now."""
        self.unusable = image.unusable if image is not None else ""
        """Why the copy does without its store until the next start; it has no layers meanwhile."""
        self.available = image is not None and not image.unusable
        """Whether there is a store at all."""
        image = image or PreserveImage()
        self.layers = list(image.layers)
        self.incomplete = set(image.incomplete)
        """Layers that lack a region which could not be read. Until the next start one that began before such
        a layer counts as well, though it may have that region."""
        self.broken: set[bytes] = set()
        """Layers that lack what was overwritten. As all that there are break at once, they are the oldest."""
        self._saved = _map_of(geometry, image.saved)
        self._wanted = RegionMap(geometry)
        """What is to be saved, and is not being saved yet."""
        self._saving = RegionMap(geometry)
        """What is being saved just now."""
        self._busy = False
        self._beginning = 0
        """Layers that are about to begin: nothing may be overwritten until they are known to have."""
        self._dropping: list[bytes] = []
        """Layers that are on their way out, the first one just now."""
        self._told: dict[bytes, list[Callable[[int], None]]] = {}
        """Who waits for them to be gone."""
        self._waiting: list[tuple[Sequence[Range], Callable[[], None]]] = []
        """What waits for its ranges, and does not ask again itself."""
        self._tried = 0.0
        """When there was no room for a save, monotonic seconds."""
        self._short = False
        """Saves wait until something has given way."""
        self.well = True
        """Rule C3: nothing is tried again after a disk has failed."""
        self._idle: list[Callable[[], None]] = []
        self.lacking: Callable[[], None] = lambda: None
        """Told that layers lack a region from now on which the disk did not show."""
        self._stuck: set[bytes] = set()
        """Layers that there was no room to give up."""

    # -- facts ------------------------------------------------------------------------------

    @property
    def collecting(self) -> bool:
        """Whether anything has to be saved before it is overwritten."""
        return bool(self.layers) and self.layers[-1].id not in self.broken

    @property
    def holding(self) -> bool:
        """Whether nothing at all may be overwritten just now."""
        return bool(self._beginning)

    @property
    def untouched(self) -> bool:
        """Whether nothing was overwritten since the newest layer began."""
        return not any(each.any() for each in (self._saved, self._wanted, self._saving))

    def try_again(self) -> None:
        """What could not be saved, and ended a session for that, may be wanted once more."""
        self._short = bool(self._dropping) and self._short

    def layer(self, layer: bytes) -> Layer | None:
        """The layer with this id."""
        return next((each for each in self.layers if each.id == layer), None)

    def spare(self, ranges: Iterable[Range]) -> bool:
        """Whether these ranges may be overwritten now. If not, they are wanted, and saved soon."""
        if self._beginning or not self.collecting:
            return not self._beginning
        free = True
        for volume, offset, length in ranges:
            regions = self._regions(volume, offset, length)
            bits = self._saved.bits.get(volume)
            if bits is None or bits[regions.start : regions.stop].all():
                continue
            free = False
            self._want(volume, regions)
        if not free:
            self._save()
        return free

    def _regions(self, volume: int, offset: int, length: int) -> range:
        """Cut at the volume's end: what lies outside is refused elsewhere."""
        size = self._geometry.sizes.get(volume, 0)
        return self._geometry.regions_of(offset, max(0, min(length, size - offset)))

    def _want(self, volume: int, regions: range) -> None:
        part = slice(regions.start, regions.stop)
        settled = self._saved.bits[volume][part] | self._saving.bits[volume][part]
        self._wanted.bits[volume][part] |= ~settled

    def when_spare(self, ranges: Sequence[Range], then: Callable[[], None]) -> None:
        """Runs `then` once these ranges may be overwritten."""
        if self.spare(ranges):
            then()
        else:
            self._waiting.append((ranges, then))

    def go_on(self) -> None:
        """Whoever waits for ranges that are saved by now goes on."""
        waiting, self._waiting = self._waiting, []
        for ranges, then in waiting:
            self.when_spare(ranges, then)

    def tick(self) -> None:
        """Somebody may have made room on the disk."""
        if self._waiting and not self._busy and self._outbox.now - self._tried >= RETRY_EVERY:
            self.go_on()

    def when_idle(self, then: Callable[[], None]) -> None:
        """Runs `then` once nothing of the store is under way."""
        self._idle.append(then)
        self._rest()

    def _rest(self) -> None:
        if self._idle and not (self._busy or self._beginning or self._dropping):
            waiting, self._idle = self._idle, []
            for then in waiting:
                then()

    # -- saving -----------------------------------------------------------------------------

    def _save(self) -> None:
        """All that is wanted by now, unless a save is under way: it is followed by the next one."""
        if self._busy or self._beginning or self._short or not self.well or not self.collecting:
            return
        runs = tuple(_runs_of(self._wanted))
        if not runs:
            return
        self._busy = True
        newest = self.layers[-1].id
        self._saving, self._wanted = self._wanted, self._saving

        def saved(errno: int, lacks: Lacks | None = None) -> None:
            self._busy = False
            self._saving.clear()
            if errno in FULL:
                self._make_room(runs)
            elif errno > 0:
                self._fail(errno)
            else:
                if errno:
                    self._lacks(newest, {"why": named(NOT_SHOWN, errno * UNREADABLE), **(lacks or {})})
                if self.layers and self.layers[-1].id == newest:
                    for volume, first, stop in runs:
                        self._saved.bits[volume][first:stop] = 1
                else:
                    self._want_again(runs)
                self._save()
                self.go_on()
            self._rest()

        self._outbox.emit(SaveRegions(self._outbox.ticket(saved), runs))

    def _lacks(self, newest: bytes, what: Lacks) -> None:
        """All that are read through this layer lack the region, as far as anybody knows here."""
        for each in self.layers:
            if each.id not in self.incomplete and each.id not in self.broken:
                self.incomplete.add(each.id)
                told = {"id": each.id.hex(), "name": each.name, "layer": each.kind.value}
                self._outbox.note("layer-incomplete", **told, **what)
            if each.id == newest:
                break
        self.lacking()

    def _want_again(self, runs: Sequence[Run]) -> None:
        for volume, first, stop in runs:
            self._wanted.bits[volume][first:stop] = 1

    def _make_room(self, runs: Sequence[Run]) -> None:
        """Rule E2: what may give way does; then nobody goes on."""
        may = [e for kind in GIVES_WAY for e in self.layers if e.kind is kind and e.id not in self._stuck]
        if may or self._dropping:
            self._short = True  # there may be room once that is done
            self._want_again(runs)
            if not self._dropping:
                self._outbox.note("layer-gave-way", name=may[0].name, layer=may[0].kind.value)
                self.drop(may[0].id)
            return
        self._tried = self._outbox.now
        self.full()

    def _fail(self, errno: int) -> None:
        self.well = False
        self._failed(errno)

    def pause(self) -> None:
        """Nothing is saved until something has given way, or is given up."""
        self._short = True

    def give_up(self, layers: Iterable[bytes]) -> None:
        """The header durably says that these are broken: nothing is saved for them any more."""
        self.broken.update(layers)
        self._wanted.clear()
        self._short = False
        self.changed()

    # -- layers -----------------------------------------------------------------------------

    def begin(self, layer: Layer, reserve: int, then: Callable[[int], None]) -> None:
        """A new layer at this moment, at which everything written is durable in the volumes; with room for
        `reserve` bytes. `then` is told an errno."""

        self._beginning += 1
        self.changed()

        def begun(errno: int) -> None:
            self._beginning -= 1
            if not errno:
                self.layers.append(layer)
                self._saved = RegionMap(self._geometry)
                self._wanted = RegionMap(self._geometry)
            self.changed()
            then(errno)
            self.go_on()
            self._rest()

        self._outbox.emit(BeginLayer(self._outbox.ticket(begun), layer, reserve))

    def drop(self, layer: bytes, then: Callable[[int], None] | None = None) -> None:
        """A layer is not needed any more; what older ones need of it is handed down first. `then` is told an
        errno: ENOSPC where there was no room for that, and the layer stays."""
        if self.layer(layer) is None:
            if then is not None:
                then(0)
            return
        if then is not None:
            self._told.setdefault(layer, []).append(then)
        if layer in self._dropping:
            return
        self._dropping.append(layer)
        if len(self._dropping) == 1:
            self._drop()

    def _drop(self) -> None:
        layer = self._dropping[0]
        ids = [each.id for each in self.layers]
        place = ids.index(layer)
        needed = place > 0 and ids[place - 1] not in self.broken

        def dropped(errno: int, saved: tuple[Run, ...]) -> None:
            self._dropping.pop(0)
            self._short = False
            told = self._told.pop(layer, [])
            if errno in FULL:
                self._stuck.add(layer)
                self._outbox.note("layer-kept", why="the preserve store has no room to give it up")
            elif errno:
                self._fail(errno)
            else:
                newest = self.layers[-1].id == layer
                self.layers = [each for each in self.layers if each.id != layer]
                self.broken.discard(layer)
                self.incomplete.discard(layer)
                if newest:
                    self._saved = _map_of(self._geometry, saved)
                self.changed()
            if self._dropping and self.well:
                self._drop()
            self._save()
            for then in told:
                then(errno)
            self.go_on()
            self._rest()

        self._outbox.emit(DropLayer(self._outbox.ticket(dropped), layer, needed))

    def sweep(self, undo: bytes) -> None:
        """What a process that is gone has left: undos that no resync has, drills, which end with it, and what
        is broken; but for a rescue, of which an operator has to learn that."""
        for each in list(self.layers):
            broken = each.id in self.broken and each.kind is not LayerKind.RESCUE
            if each.id != undo and (each.kind in (LayerKind.UNDO, LayerKind.DRILL) or broken):
                self.drop(each.id)


def ranges_of(frame: Relayable) -> list[Range]:
    """What a frame overwrites."""
    return [(volume, offset, length) for volume, _, offset, length in frame.operations if length]


def _map_of(geometry: Geometry, runs: Iterable[Run]) -> RegionMap:
    found = RegionMap(geometry)
    for volume, first, stop in runs:
        if volume in found.bits:
            found.bits[volume][first:stop] = 1
    return found


def _runs_of(regions: RegionMap) -> Iterable[Run]:
    for volume, bits in regions.bits.items():
        first = bits.find(1)
        while first >= 0:
            stop = bits.find(0, first)
            stop = len(bits) if stop < 0 else stop
            yield volume, first, stop
            first = bits.find(1, stop)
