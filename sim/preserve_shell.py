"""The part of a copy's shell that carries out what the core asks of the preserve store.

It remembers what the volumes held when a layer began; whenever a process opens the store, and whenever a copy
goes back, each layer has to show exactly that, whatever has died in between (rules E1, E3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from farshore.core import actions as a
from farshore.core.layer_actions import RetitleLayer
from farshore.core.preserve import UNREADABLE, PreserveImage
from farshore.model.layers import EVERY_LAYER, Layer, LayerKind, Run
from farshore.model.volumes import WRITE, ZERO
from farshore.store.preserve import PreserveStore
from sim.site import STATE
from sim.snapshots import Snapshots
from sim.steps import Step
from sim.world import BrokenRule

if TYPE_CHECKING:
    from sim.primary_site import PrimarySite
    from sim.secondary_site import SecondarySite

PRESERVE = f"{STATE}/preserve"
_MOST_PARTS = 100


class PreserveShell:
    """See the module."""

    def __init__(self, site: SecondarySite | PrimarySite) -> None:
        self._site = site
        self.store: PreserveStore
        self.unusable = ""
        """Why the copy does without the store that it has."""
        self.moments: dict[bytes, dict[int, bytes]] = {}
        """What each layer has to show; empty once somebody has tampered with the state."""
        self.refused: set[tuple[int, int]] = set()
        """Regions that the disk did not show when they were to be kept."""
        self.carry: dict[type, Callable[[Any], None]] = {
            a.BeginLayer: self._begin,
            a.SaveRegions: self._save,
            a.DropLayer: self._drop,
            RetitleLayer: self._retitle,
        }

    def load(self) -> None:
        """A process opens the store."""
        plan = self._site.plan
        self.store = PreserveStore.open(self._site.files, PRESERVE, plan.geometry, 1 << 30)

    def load_if_possible(self) -> None:
        """The same; the copy starts in any case."""
        self.unusable = ""
        try:
            self.load()
        except OSError as error:
            self.unusable = str(error)
            self._site.world.reach("a copy starts without its store")

    def check(self) -> None:
        """Rule E1: every layer that is not known to be broken shows its moment, and the one that the header
        relies on is there."""
        if self.unusable:
            return
        undo, broken = self._site.header_file.header.undo, self._site.header_file.header.broken_layers
        if undo in self.moments and all(each.id != undo for each in self.store.layers):
            raise BrokenRule("E1", f"the undo of {self._site.name} is gone, and its resync is open")
        disk = self._site.disk
        strikes, disk.strikes = disk.strikes, []  # they are meant for others
        for layer in self.store.layers:
            if layer.id in broken or EVERY_LAYER in broken:
                continue
            if not self.refused.issuperset(self.store.lacking(layer.id)):
                raise BrokenRule("E1", f"the {layer.kind} of {self._site.name} lacks what its disk showed")
            if layer.id in self.moments and not self._shows(layer.id):
                raise BrokenRule(
                    "E1", f"the {layer.kind} of {self._site.name} does not show what it was to keep"
                )
        disk.strikes = strikes

    def _shows(self, layer: bytes) -> bool:
        """Whether it shows its moment, but for what could not be read then."""
        geometry, moment = self._site.plan.geometry, self.moments[layer]
        lacking, changed = set(self.store.lacking(layer)), set(self.store.changed_since(layer))
        for volume in geometry.sizes:
            live = self._site.file_of(volume).current
            for region in range(geometry.regions(volume)):
                offset, length = geometry.span(volume, region, 1)
                expected = moment[volume][offset : offset + length]
                if (volume, region) in lacking:
                    self._site.world.reach("a layer that lacks a region")
                elif (volume, region) not in changed:
                    if live[offset : offset + len(expected)] != expected:
                        return False
                elif self.store.read(layer, volume, region, self._read) != expected:
                    return False
        return True

    def _read(self, volume: int, offset: int, length: int) -> bytes:
        return bytes(self._site.file_of(volume).current[offset : offset + length])

    @property
    def image(self) -> PreserveImage:
        """What the core is told of it at a start."""
        if self.unusable:
            return PreserveImage(unusable=self.unusable)
        incomplete = frozenset(each.id for each in self.store.layers if self.store.lacking(each.id))
        return PreserveImage(self.store.layers, tuple(self.store.saved()), incomplete=incomplete)

    # -- actions ----------------------------------------------------------------------------

    def _report(self, ticket: int) -> Callable[[int], None]:
        site = self._site
        return lambda errno: site.turn(site.core.preserved, ticket, errno)

    def _begin(self, action: a.BeginLayer) -> None:
        def run() -> None:
            self.moments[action.layer.id] = {
                volume: bytes(self._site.file_of(volume).current) for volume in self._site.plan.geometry.sizes
            }
            self.begins(action.layer)
            self.store.begin(action.layer, action.reserve)

        self._site.steps.begin("preserve", Step(run, self._report(action.ticket)))

    def begins(self, layer: Layer) -> None:
        """A layer is about to begin."""
        self._site.layer_begins(layer)

    def _save(self, action: a.SaveRegions) -> None:
        def run() -> None:
            if refused := self.store.save(action.runs, self._read_to_save):
                raise OSError(UNREADABLE * refused, "a volume could not be read")

        self._site.steps.begin("preserve", Step(run, self._report(action.ticket)))

    def _read_to_save(self, volume: int, offset: int, length: int) -> bytes:
        try:
            return self._site.volumes.read(volume, offset, length)
        except OSError:
            if length <= self._site.plan.geometry.region:
                self.refused.add((volume, offset // self._site.plan.geometry.region))
            raise

    def _retitle(self, action: RetitleLayer) -> None:
        def run() -> None:
            self.store.retitle(action.layer, action.kind, action.name)

        self._site.steps.begin("preserve", Step(run, self._report(action.ticket)))

    def _drop(self, action: a.DropLayer) -> None:
        site, saved = self._site, list[Run]()

        def run() -> None:
            for _ in range(_MOST_PARTS if action.needed else 0):
                if self.store.hand_down(action.layer):
                    break
            self.store.drop(action.layer)
            saved.extend(self.store.saved())

        def done(errno: int) -> None:
            site.turn(site.core.layer_dropped, action.ticket, errno, tuple(saved))

        site.steps.begin("preserve", Step(run, done))


class FollowerStore(PreserveShell):
    """That of a secondary, which may go back to before an open resync."""

    def __init__(self, site: SecondarySite) -> None:
        super().__init__(site)
        self._follower = site
        self.goes_back: bool | None = None
        """Whether the next process takes an open resync back; None leaves it to chance."""
        self.carry[a.RollBack] = self._roll_back
        self.snapshots = Snapshots(site)

    def check(self) -> None:
        if not self.unusable:
            self.snapshots.started()
        super().check()

    def begins(self, layer: Layer) -> None:
        self._follower.witness.snapshot_begins(self._follower, layer, self.moments[layer.id])

    def tidy(self) -> None:
        """The operator deletes a snapshot every now and then, and sooner where there are many."""
        core, world = self._follower.core, self._follower.world
        found = [each for each in core.preserve.layers if each.kind is LayerKind.SNAPSHOT]
        if found and world.chance(0.2 * len(found)):
            self._follower.turn(core.drop_layer, world.random.choice(found).id, lambda _: None)

    def leads_back(self) -> bool:
        """Whether the copy goes back to before its open resync; only to a state that it can vouch for."""
        header = self._site.header_file.header
        head = header.history.head
        known = header.resync is not None and header.undo in self.moments and not self.unusable
        able = known and head is not None and head.sequence >= header.doubtful_until
        able = able and not self.store.lacking(header.undo)
        wish, self.goes_back = self.goes_back, None
        return able and (self._site.world.chance(0.4) if wish is None else wish)

    def _roll_back(self, action: a.RollBack) -> None:
        site = self._follower

        def put(volume: int, offset: int, length: int, content: bytes | None) -> None:
            code = WRITE if content is not None else ZERO
            site.volumes.change(volume, code, offset, length, content)

        def run() -> None:
            self.store.restore(action.layer, put)
            try:
                site.volumes.end_sync(site.volumes.begin_sync())
            except OSError:
                site.power_failed = True
                raise
            site.position.write_applied(action.position)
            site.position.write_durable(action.position)
            self.check()
            site.world.reach("rolled back")

        site.steps.begin("restore", Step(run, self._report(action.ticket)))
