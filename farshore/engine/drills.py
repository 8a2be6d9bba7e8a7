"""The drill of a copy, if there is one: begun, watched, ended; what is known of the last one.

It begins over a layer of its own, which the core takes at exactly where the copy stands, or over a snapshot
that is there. It counts as begun when a write to each of its volumes has succeeded. A layer that goes, since
the preserve store needs its room (rule E2) or somebody deletes it, ends the drill; so does the end of this
process, whose next start drops what the drill had taken. Replication never waits for any of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from farshore.core.preserve import FULL
from farshore.core.write_path import Batch
from farshore.engine.drill import LANE, Basis, Drill, prove
from farshore.engine.nbd_exports import Exported
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.overlay import Overlay, Room, usual_limit
from farshore.engine.primary_copy import PrimaryCopy
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.engine.views import Views
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent
from farshore.model.device_config import identity_of
from farshore.model.export_address import uri_of
from farshore.model.layers import Layer, LayerKind

Then: TypeAlias = Callable[[dict[str, Any] | FarshoreError], None]
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class DrillWish:
    """What a drill is to be."""

    unix: str
    layer: bytes = b""
    """Of a snapshot; empty for a layer of its own."""
    limit: int = 0
    """Bytes; 0 for what is usual."""


class Drills:
    """See the module. A primary takes no layer for a drill."""

    def __init__(
        self, shop: Workshop, views: Views, role: PrimaryCopy | SecondaryCopy, wall: Callable[[], float]
    ) -> None:
        self._shop = shop
        self._wall = wall
        self._views = views
        self._core = role.core if isinstance(role, SecondaryCopy) else None
        self._carrier = role.carrier
        self._drill: Drill | None = None
        self._why = ""
        """Why it has ended; empty while it goes on."""
        self._beginning = False
        self._config: CopyConfig | None = None

    @property
    def running(self) -> Drill | None:
        """The drill that goes on."""
        return None if self._why else self._drill

    # -- begin ------------------------------------------------------------------------------

    def start(self, config: CopyConfig, wish: DrillWish, then: Then) -> None:
        """Begins one. `then` is told its document, or why there is none: then nothing was begun.

        Raises FarshoreError `exists`, `wrong-role`, `not-found`.
        """
        if self.running is not None or self._beginning:
            raise FarshoreError(
                "exists",
                f"there is a drill on this copy of {config.group_name} already",
                means="nothing was changed",
                next_step=f"farshore drill stop {config.group_name}",
            )
        self._config = config
        if wish.layer:
            self._begin(wish, self._known(wish.layer), then)
            return
        if self._core is None:
            raise FarshoreError(
                "wrong-role",
                f"this node's copy of {config.group_name} is the primary",
                means="nothing was changed; a drill wants a copy that goes on being written meanwhile",
                next_step="run it at a node with a secondary, or over a snapshot that is here: --at SNAPSHOT",
            )
        self._beginning = True

        def taken(found: Layer | FarshoreError) -> None:
            self._beginning = False
            if isinstance(found, FarshoreError):
                then(found)
            else:
                self._begin(wish, found, then)

        name = f"drill-{secrets.token_hex(4)}"
        self._carrier.do(self._core.take_layer(LayerKind.DRILL, name, taken))

    def _known(self, layer: bytes) -> Layer:
        store = self._shop.stored.preserve
        for each in store.layers if store is not None else ():
            if each.id == layer and each.kind in (LayerKind.SNAPSHOT, LayerKind.RESCUE):
                return each
        raise FarshoreError("not-found", "this copy does not keep that snapshot")

    def _begin(self, wish: DrillWish, layer: Layer, then: Then) -> None:
        own, config = not wish.layer, self._config
        assert config is not None
        try:
            drill = self._made(config, wish, layer)
            self._offer(config, drill)
        except OSError as error:
            self._give_up(layer, own)
            then(_refusal(error))
            return
        except FarshoreError as error:
            self._give_up(layer, own)
            then(error)
            return
        self._drill, self._why, self._beginning = drill, "", True

        def proved(result: OSError | None) -> None:
            self._beginning = False
            if self._drill is not drill or self._why:
                then(FarshoreError("wrong-state", f"the drill has ended: {self._why or 'another one began'}"))
            elif isinstance(result, OSError):
                self._end("it could not be written")
                self._drill, self._why = None, ""
                then(_refusal(result))
            else:
                self._shop.journal.note("drill-began", {"drill": drill.basis.id.hex()})
                then(self.document() or {})

        self._views.pool.submit(LANE, partial(prove, drill.overlays), proved)

    def _made(self, config: CopyConfig, wish: DrillWish, layer: Layer) -> Drill:
        stored, wall = self._shop.stored, self._wall()
        sizes = dict(layer.sizes)
        limit = wish.limit or usual_limit(stored.directory, sum(sizes.values()))
        room = Room(stored.directory, limit)
        overlays = {
            each.id: Overlay(self._views.layer_view(layer.id, each.id), room)
            for each in config.volumes
            if each.id in sizes
        }
        as_of: float | None = layer.time
        if not wish.layer:
            assert self._core is not None
            age = self._core.age(layer.mark.sequence if layer.mark is not None else 0)
            as_of = None if age is None else wall - age
        basis = Basis(secrets.token_bytes(_ID_BYTES), layer, not wish.layer, wish.unix, as_of, wall)
        return Drill(basis, overlays, room)

    def _offer(self, config: CopyConfig, drill: Drill) -> None:
        offered = [
            Exported(each.id, each.name, overlay, False, identity_of(config.group, each.id, drill.basis.id))
            for each in config.volumes
            if (overlay := drill.overlays.get(each.id)) is not None
        ]
        self._views.lend({("unix", drill.basis.unix): offered}, self._write)

    def _write(self, batch: Batch) -> None:
        drill = self.running
        if drill is not None:
            views = self._views
            drill.carry_out(batch, views.pool, views.answers, self._wall)

    # -- end --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ends a drill whose layer has gone."""
        drill = self.running
        if drill is None:
            return
        store = self._shop.stored.preserve
        if store is None or all(each.id != drill.basis.layer.id for each in store.layers):
            own = drill.basis.own_layer
            self._end("the preserve store needed its room" if own else "its snapshot is gone")

    def stop(self, then: Then) -> None:
        """Ends the drill, and drops what it has written; `then` is told what it was. Raises FarshoreError
        `not-found`."""
        if self._drill is None:
            raise FarshoreError("not-found", "there is no drill on this copy", means="nothing was changed")
        if not self._why:
            self._end("it was stopped")
        told, self._drill, self._why = self.document() or {}, None, ""
        then(told)

    def _end(self, why: str) -> None:
        drill = self._drill
        assert drill is not None
        drill.used, self._why = drill.room.used, why
        self._views.lend({}, None)
        drill.overlays = {}
        self._give_up(drill.basis.layer, drill.basis.own_layer)
        self._shop.journal.note("drill-ended", {"drill": drill.basis.id.hex(), "why": why})

    def _give_up(self, layer: Layer, own: bool) -> None:
        if own and self._core is not None:
            self._carrier.do(self._core.drop_layer(layer.id, _whatever))

    # -- the operator -----------------------------------------------------------------------

    def document(self) -> dict[str, Any] | None:
        """What goes on, or how the last one ended; None where there was none since it was last stopped."""
        drill, config = self._drill, self._config
        if drill is None or config is None:
            return None
        names = {each.id: each.name for each in config.volumes}
        intent = ExportIntent(0, unix=drill.basis.unix)
        exports = [{"volume": names[each], "uri": uri_of(intent, names[each])} for each in drill.overlays]
        return {**drill.document(self._why), "exports": exports}


def _whatever(_errno: int) -> None:
    """A layer that could not be dropped now is dropped at the next start."""


def _refusal(error: OSError) -> FarshoreError:
    means = "No drill was begun; the copy goes on as before."
    if error.errno in FULL:
        next_step = "make room, or give the drill more: --limit SIZE"
        return FarshoreError(
            "store-full", f"a drill has no room here: {error}", means=means, next_step=next_step
        )
    return as_farshore_error(error, means)
