"""A layer at the primary itself, at a cut of its own: the moment in which nothing gets a sequence (law H).

The volumes are synced once while writes flow, so that little is left to sync later. Then writes are held,
those under way end, the cut gets its sequence behind them, the volumes are synced, the layer begins, and
writes flow again. If the disk takes too long for either sync, the cut is made all the same, for the other
copies, and there is no layer here; only the store's own few small writes are waited for without a limit, like
those of the activity log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from farshore.core import cutting
from farshore.core.actions import Action
from farshore.core.fault_texts import named
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.primary import Primary

LONGEST: Final = 2.0
"""Seconds for which writes may be held before their volumes are synced."""
AHEAD: Final = 5.0
"""Seconds that the sync may take before which nobody is held."""
MOMENT: Final = b"snapshot"
"""Stands among the links that hold writes; no link has such an id."""
Done = Callable[[Layer | None, str], None]
"""Told of the layer, or why there is none."""


class _Step(Enum):
    AHEAD = "the volumes are synced while writes flow"
    WRITING = "writes are held; those under way end"
    SYNCING = "the volumes are synced once more"
    BEGINNING = "the layer begins"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be taken. `number` is the cut's, which asks other copies for theirs if it is a snapshot;
    `made` is told where it stands, unless there is none."""

    kind: LayerKind
    name: str
    number: int
    made: Callable[[Position], None] = lambda _: None


class Moment:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._then: Done | None = None
        """There is one at a time."""
        self._wish: Wish
        self._layer: Layer
        """From its cut on."""
        self._step = _Step.AHEAD
        self._since = 0.0
        """When it began, and behind the cut when writes were held, monotonic seconds."""
        self.cut: Position | None = None
        """Of the one under way."""
        self.held_for = 0.0
        """For how long the last one held writes, seconds."""

    @property
    def under_way(self) -> bool:
        """Whether one is being taken."""
        return self._then is not None

    def take(self, wish: Wish, then: Done) -> list[Action]:
        """Begin; `then` is told of the end. Raises FarshoreError `wrong-state` where writes do not flow, or
        one is under way already, or there is no store that could keep the layer."""
        primary = self._primary
        cutting.check(primary.path)
        preserve = primary.keeping.preserve
        if self.under_way or not preserve.available or not preserve.well:
            raise FarshoreError(
                "wrong-state",
                "a snapshot is being taken already" if self.under_way else "there is no store for it",
                means="nothing was begun",
                next_step="farshore status",
            )
        self._then, self._step, self._since = then, _Step.AHEAD, primary.outbox.now
        self._wish = wish
        primary.path.sync_now(lambda: self._hold(then))
        return primary.outbox.take()

    def _hold(self, then: Done) -> None:
        primary, wish = self._primary, self._wish
        if self._then is not then or self._step is not _Step.AHEAD or not self._made(wish):
            return
        primary.path.blocked.add(MOMENT)
        self._step, self._since = _Step.WRITING, primary.outbox.now
        sizes, wall = tuple(sorted(primary.geometry.sizes.items())), primary.outbox.wall
        self._layer = Layer(primary.setup.new_id(), wish.kind, sizes, wish.name, self.cut, wall)
        self.advance()

    def _made(self, wish: Wish) -> bool:
        """The cut."""
        snapshot = wish.kind is LayerKind.SNAPSHOT
        try:
            self.cut = cutting.cut(self._primary.path, wish.name, wish.number, snapshot=snapshot)
        except FarshoreError as error:
            self._end(None, error.what)
            return False
        wish.made(self.cut)
        return True

    def advance(self) -> None:
        """Called whenever something may have moved: go on as far as possible, or give up."""
        primary, step = self._primary, self._step
        if not self.under_way:
            return
        late = primary.outbox.now - self._since
        if primary.path.fault:
            self._end(None, "writes are refused")
        elif step is _Step.AHEAD and late >= AHEAD:
            if self._made(self._wish):
                self._end(None, f"the volumes took more than {AHEAD:g} s to be synced")
        elif step is _Step.WRITING and not primary.path.unwritten:
            self._step, layer = _Step.SYNCING, self._layer
            primary.path.sync_now(lambda: self._synced(layer))
        elif step in (_Step.WRITING, _Step.SYNCING) and late >= LONGEST:
            self._end(None, f"the volumes took more than {LONGEST:g} s to be synced")

    def _synced(self, layer: Layer) -> None:
        if not self.under_way or self._step is not _Step.SYNCING or self._layer is not layer:
            return  # it was given up meanwhile
        self._step = _Step.BEGINNING  # from here on the end is the store's

        def begun(errno: int) -> None:
            if not self.under_way or self._layer is not layer:  # it was refused, and whoever asked knows
                if not errno:
                    self._primary.keeping.preserve.drop(layer.id)
                return
            self._end(*((None, named("the preserve store", errno)) if errno else (layer, "")))

        self._primary.keeping.preserve.begin(layer, 0, begun)

    def _end(self, layer: Layer | None, why: str) -> None:
        path, then = self._primary.path, self._then
        assert then is not None
        self._then, self.cut = None, None
        if MOMENT in path.blocked:
            path.blocked.discard(MOMENT)
            self.held_for = self._primary.outbox.now - self._since
            path.release_parked()
            path.admit_cold()
        then(layer, why)
