"""The preserve store of a `far`, in memory. It remembers each layer's whole image, so that `check` can say
whether what the layers and the volumes hold still shows it, now and after any loss of power."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from errno import EIO
from typing import Any, Protocol

from farshore.core import actions as a
from farshore.core.geometry import Geometry
from farshore.core.preserve import UNREADABLE, Lacks, PreserveImage
from farshore.model.layers import EVERY_LAYER, Layer, LayerKind, Run
from tests.unit.core.disk import Disk

Finish = Callable[[a.Action, Callable[[int], None], Callable[[int], Any]], None]


class Core(Protocol):
    """What both roles are told of their store."""

    def preserved(self, ticket: int, errno: int, lacks: Lacks | None = None) -> list[a.Action]: ...
    def layer_dropped(self, ticket: int, errno: int, saved: tuple[Run, ...]) -> list[a.Action]: ...


Image = Mapping[int, bytes | bytearray]


class FarStore:
    """See the module. Everything is durable at once."""

    def __init__(self, geometry: Geometry, disk: Disk) -> None:
        self.geometry = geometry
        self._disk = disk
        self.layers: list[Layer] = []
        self.kept: dict[bytes, dict[tuple[int, int], bytes]] = {}
        self.images: dict[bytes, dict[int, bytes]] = {}
        """What the volumes held when each layer began."""
        self.dropped: list[Layer] = []
        self.unusable = ""
        """Why it cannot be opened."""
        self.bad: set[tuple[int, int]] = set()
        """Regions that the disk does not show until they are written."""
        self.lost: dict[bytes, set[tuple[int, int]]] = defaultdict(set)
        """What each layer should keep, and was not shown."""

    @property
    def image(self) -> PreserveImage:
        """What a start finds."""
        if self.unusable:
            return PreserveImage(unusable=self.unusable)
        newest = self.kept[self.layers[-1].id] if self.layers else {}
        has = sorted([*newest, *self.lost[self.layers[-1].id]]) if self.layers else []
        incomplete = frozenset(each.id for each in self.layers if self.lacking(each.id))
        return PreserveImage(tuple(self.layers), tuple((v, r, r + 1) for v, r in has), incomplete=incomplete)

    def begin(self, layer: Layer) -> None:
        """Rule E1: everything is synced when it begins."""
        assert all(bytes(data) == self._disk.safe[v] for v, data in self._disk.seen.items())
        self.layers.append(layer)
        self.kept[layer.id] = {}
        sizes = dict(layer.sizes)
        self.images[layer.id] = {volume: data[: sizes[volume]] for volume, data in self._disk.safe.items()}

    def save(self, runs: Sequence[Run]) -> None:
        if not self.layers:
            return
        kept, lost = self.kept[self.layers[-1].id], self.lost[self.layers[-1].id]
        for volume, first, stop in runs:
            for region in range(first, stop):
                if (volume, region) in self.bad and (volume, region) not in kept:
                    lost.add((volume, region))
                if (volume, region) in lost:
                    self.bad.discard((volume, region))  # what is about to be written can be read again
                    continue
                offset, length = self.geometry.span(volume, region, 1)
                kept.setdefault((volume, region), bytes(self._disk.seen[volume][offset : offset + length]))

    def shown(self, runs: Sequence[Run]) -> bool:
        """Whether the newest layer has all of these."""
        lost = self.lost[self.layers[-1].id] if self.layers else set()
        return not any((v, r) in lost for v, first, stop in runs for r in range(first, stop))

    def lacking(self, layer: bytes) -> set[tuple[int, int]]:
        """What nobody can read of a layer."""
        found, has = set[tuple[int, int]](), set[tuple[int, int]]()
        place = next(index for index, each in enumerate(self.layers) if each.id == layer)
        for each in self.layers[place:]:
            found |= self.lost[each.id] - has
            has |= self.kept[each.id].keys() | self.lost[each.id]
        return found

    def retitle(self, layer: bytes, kind: LayerKind, name: str) -> None:
        self.layers = [replace(e, kind=kind, name=name) if e.id == layer else e for e in self.layers]

    def drop(self, layer: bytes, needed: bool = True) -> tuple[Run, ...]:
        place = next(index for index, each in enumerate(self.layers) if each.id == layer)
        if place and needed:
            older = self.kept[self.layers[place - 1].id]
            lost = self.lost[self.layers[place - 1].id]
            for key, content in self.kept[layer].items():
                if key not in lost:
                    older.setdefault(key, content)
            lost |= self.lost[layer] - older.keys()
        self.dropped.append(self.layers.pop(place))
        del self.kept[layer], self.images[layer]
        return self.image.saved

    def carry_out(self, finish: Finish, core: Core, action: a.Action) -> None:
        """What the core of either role asks of its store."""
        match action:
            case a.BeginLayer(ticket=ticket, layer=layer):
                finish(action, lambda _: self.begin(layer), lambda errno: core.preserved(ticket, errno))
            case a.SaveRegions(ticket=ticket, runs=runs):
                finish(
                    action,
                    lambda _: self.save(runs),
                    lambda errno: core.preserved(
                        ticket,
                        errno or (0 if self.shown(runs) else UNREADABLE * EIO),
                        None if errno or self.shown(runs) else {"where": str(runs)},
                    ),
                )
            case a.DropLayer(ticket=ticket, layer=gone, needed=needed):
                saved: list[Run] = []
                finish(
                    action,
                    lambda _: saved.extend(self.drop(gone, needed)),
                    lambda errno: core.layer_dropped(ticket, errno, tuple(saved)),
                )
            case _:
                raise AssertionError(action)

    def view(self, layer: bytes, over: Image) -> dict[int, bytes]:
        """What the layer shows over these volumes."""
        shown = {volume: bytearray(data) for volume, data in over.items()}
        place = next(index for index, each in enumerate(self.layers) if each.id == layer)
        for each in reversed(self.layers[place:]):
            for (volume, region), content in self.kept[each.id].items():
                offset = region * self.geometry.region
                if (volume, region) in self.lacking(layer):
                    continue
                shown[volume][offset : offset + len(content)] = content
        return {volume: bytes(data[: len(self.images[layer][volume])]) for volume, data in shown.items()}

    def roll_back(self, layer: bytes) -> None:
        for volume, data in self.view(layer, self._disk.seen).items():
            assert self._shows(layer, self._disk.seen)
            self._disk.seen[volume][:] = data.ljust(len(self._disk.seen[volume]), b"\0")

    def _shows(self, layer: bytes, over: Image) -> bool:
        """Whether it shows what it began with, but for what it lacks."""
        image, size = self.images[layer], self.geometry.region
        expected = {volume: bytearray(data) for volume, data in image.items()}
        shown = {volume: bytearray(data) for volume, data in self.view(layer, over).items()}
        for volume, region in self.lacking(layer):
            for each in (expected, shown):
                part = slice(region * size, (region + 1) * size)
                each[volume][part] = bytes(len(each[volume][part]))
        return expected == shown

    def check(self, broken: Collection[bytes] = ()) -> None:
        """Every layer that is not broken shows what it began with."""
        for each in self.layers:
            if each.id in broken or EVERY_LAYER in broken:
                continue
            for over in (self._disk.seen, self._disk.safe):
                assert self._shows(each.id, over), f"the {each.kind} shows something else"
