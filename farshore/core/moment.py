"""A layer at the primary itself, at a cut of its own: the moment in which nothing gets a sequence (law H).

The volumes are synced once while writes flow, so that little is left to sync later. Then writes are held,
those under way end, the cut gets its sequence behind them, the volumes are synced, the layer begins, and
writes flow again. If the disk takes too long for that, there is no layer and writes flow all the same; only
the store's own few small writes are waited for without a limit, like those of the activity log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from farshore.core import cutting
from farshore.core.actions import Action
from farshore.core.fault_texts import named
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind

if TYPE_CHECKING:
    from farshore.core.primary import Primary

LONGEST: Final = 2.0
"""Seconds for which writes may be held before their volumes are synced."""
MOMENT: Final = b"snapshot"
"""Stands among the links that hold writes; no link has such an id."""
Done = Callable[[Layer | None, str], None]
"""Told of the layer, or why there is none."""


class Moment:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        self._primary = primary
        self._then: Done | None = None
        """There is one at a time."""
        self._layer: Layer | None = None
        """What is to begin as soon as everything is written."""
        self._syncing = False
        self._held_at = 0.0
        self.held_for = 0.0
        """For how long the last one held writes, seconds."""

    @property
    def under_way(self) -> bool:
        """Whether one is being taken."""
        return self._then is not None

    def take(self, kind: LayerKind, name: str, number: int, then: Done) -> list[Action]:
        """Begin; `number` is the cut's. `then` is told of the end. Raises FarshoreError `wrong-state` where
        writes do not flow, or one is under way already, or there is no store that could keep the layer."""
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
        self._then = then
        primary.path.sync_now(lambda: self._hold(kind, name, number))
        return primary.outbox.take()

    def _hold(self, kind: LayerKind, name: str, number: int) -> None:
        primary = self._primary
        if not self.under_way:
            return
        try:
            position = cutting.cut(primary.path, name, number)
        except FarshoreError as error:
            self._end(None, error.what)
            return
        primary.path.blocked.add(MOMENT)
        self._held_at = primary.outbox.now
        sizes = tuple(sorted(primary.geometry.sizes.items()))
        self._layer = Layer(primary.setup.new_id(), kind, sizes, name, position, primary.outbox.wall)
        self.advance()

    def advance(self) -> None:
        """Called whenever something may have moved: go on as far as possible, or give up."""
        primary, layer = self._primary, self._layer
        if not self.under_way:
            return
        if primary.path.fault:
            self._end(None, "writes are refused")
        elif layer is not None and not self._syncing and not primary.path.unwritten:
            self._syncing = True
            primary.path.sync_now(lambda: self._synced(layer))
        elif layer is not None and primary.outbox.now >= self._held_at + LONGEST:
            self._end(None, f"the volumes took more than {LONGEST:g} s to be synced")

    def _synced(self, layer: Layer) -> None:
        if self._layer is not layer:
            return  # it was given up meanwhile
        self._layer = None  # from here on the end is the store's

        def begun(errno: int) -> None:
            if not self.under_way:  # writes are refused meanwhile, and whoever asked has been told
                if not errno:
                    self._primary.keeping.preserve.drop(layer.id)
                return
            self._end(*((None, named("the preserve store", errno)) if errno else (layer, "")))

        self._primary.keeping.preserve.begin(layer, 0, begun)

    def _end(self, layer: Layer | None, why: str) -> None:
        path, then = self._primary.path, self._then
        assert then is not None
        self._then, self._layer, self._syncing = None, None, False
        if MOMENT in path.blocked:
            path.blocked.discard(MOMENT)
            self.held_for = self._primary.outbox.now - self._held_at
            path.release_parked()
            path.admit_cold()
        then(layer, why)
