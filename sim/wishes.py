"""An operator who wants cuts, snapshots of the group and layers of its primary, and gives some of them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from farshore.core.moment import Wish
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position
from sim.primary_site import PrimarySite

_MOST: Final = 4


class Wishes:
    """See the module. `operate` carries out what is wished of a site, and bears that it is refused."""

    def __init__(self, primary: PrimarySite, operate: Callable[..., bool]) -> None:
        self._primary = primary
        self._world = primary.world
        self._operate = operate

    def cut(self, snapshots: float) -> None:
        """A cut now; it asks for a snapshot in so many of its cases, which the primary takes part in."""
        core, name = self._primary.core, f"at {self._primary.core.sequence}"
        if not self._world.chance(snapshots):
            self._operate(self._primary, core.cut, name, 7)
            return
        self._operate(self._primary, core.keeping.snapshot, name, 7, self._made)
        layers = core.keeping.preserve.layers
        if len(layers) > _MOST or self._world.chance(0.1 * len(layers)):
            self._drop(self._world.random.choice(layers))

    def tend(self) -> None:
        """A layer of the primary alone, every now and then, or the end of one."""
        core, random = self._primary.core, self._world.random
        layers = core.keeping.preserve.layers
        if random.random() < 0.3 and len(layers) < _MOST:
            kind = random.choice((LayerKind.RESCUE, LayerKind.SNAPSHOT))
            wish = Wish(kind, f"now {core.sequence}", 8)
            self._operate(self._primary, core.keeping.moment.take, wish, self._begun)
        elif layers and random.random() < 0.2:
            self._drop(random.choice(layers))

    def _drop(self, layer: Layer) -> None:
        self._operate(self._primary, self._primary.core.keeping.drop, layer.id, lambda errno: None)

    def _begun(self, layer: Layer | None, _why: str) -> None:
        self._world.reach("layer of a primary" if layer is not None else "no layer of a primary")

    def _made(self, result: Position | FarshoreError) -> None:
        self._world.reach("no cut" if isinstance(result, FarshoreError) else "cut for a snapshot")
