"""The drill of a copy, if there is one: begun, watched, ended; what is known of the last one.

It begins over a layer of its own, which the core takes at exactly where the copy stands, or over a snapshot
that is there; for a time between two, over a snapshot and the frames that lead from it to that time, which
are laid into the drill before anybody can open it (see `laying`). It counts as begun when a write to each of
its volumes has succeeded. A layer that goes, since the preserve store needs its room (rule E2) or somebody
deletes it, ends the drill; so does the end of this process, whose next start drops what the drill had taken.
Replication never waits for any of it.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from farshore.core.moments import moment
from farshore.core.preserve import FULL
from farshore.core.rewinding import out_of_reach
from farshore.core.secondary import Secondary
from farshore.core.write_path import Batch
from farshore.engine import rewindable
from farshore.engine.drill import LANE, Basis, Drill, prove
from farshore.engine.laying import UNCHANGED, Laying
from farshore.engine.looking import Looking
from farshore.engine.nbd_exports import Exported
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.overlay import Overlay, Room, usual_limit
from farshore.engine.primary_copy import PrimaryCopy
from farshore.engine.rewind_look import Found
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
_STOPPED = "it was stopped"


@dataclass(frozen=True, slots=True)
class DrillWish:
    """What a drill is to be."""

    unix: str
    layer: bytes = b""
    """Of a snapshot; empty for a layer of its own."""
    limit: int = 0
    """Bytes; 0 for what is usual."""
    time: float | None = None
    """Seconds since the epoch: a state to which the copy could be rewound, in place of a layer."""

    @property
    def own_layer(self) -> bool:
        """Whether one is taken for it, where the copy stands."""
        return not self.layer and self.time is None


class Beginning:
    """A drill of which it is not known yet from where it goes on: its layer is being taken, or what leads to
    its time looked for."""

    def __init__(self, wish: DrillWish, started: float) -> None:
        self.id = secrets.token_bytes(_ID_BYTES)
        self.wish = wish
        self.started = started
        self.looking: Looking | None = None
        self.over = ""
        """Why it will not come to be; empty while it may."""

    def stop(self) -> None:
        """Nobody wants it any more."""
        self.over = _STOPPED
        if self.looking is not None:
            self.looking.abandon()

    def document(self) -> dict[str, Any]:
        """As `Drill.document`, with None for what is not known yet."""
        return {
            "id": self.id.hex(),
            "state": "ended" if self.over else "beginning",
            "why": self.over,
            "layer": None,
            "snapshot": None,
            "at": moment(self.wish.time),
            "generation": None,
            "sequence": None,
            "data_as_of": None,
            "data_age_seconds": None,
            "started": moment(self.started),
            "first_write": None,
            "written_bytes": 0,
            "refused_writes": 0,
            "used_bytes": 0,
            "limit_bytes": self.wish.limit,
            "exports": [],
        }


class Drills:
    """See the module. A primary takes no layer for a drill."""

    def __init__(
        self, shop: Workshop, views: Views, role: PrimaryCopy | SecondaryCopy, wall: Callable[[], float]
    ) -> None:
        self._shop = shop
        self._wall = wall
        self._views = views
        self._role = role
        self._carrier = role.carrier
        self._drill: Drill | None = None
        self._beginning: Beginning | None = None
        self._config: CopyConfig | None = None

    @property
    def running(self) -> Drill | None:
        """The drill that goes on."""
        return self._drill if self._drill is not None and not self._drill.over else None

    # -- begin ------------------------------------------------------------------------------

    def start(self, config: CopyConfig, wish: DrillWish, then: Then) -> None:
        """Begins one. `then` is told its document, or why there is none: then nothing was begun.

        Raises FarshoreError `exists`, `wrong-role`, `not-found`, `not-rewindable`.
        """
        if self.running is not None or self._beginning is not None:
            raise FarshoreError(
                "exists",
                f"there is a drill on this copy of {config.group_name} already",
                means="nothing was changed",
                next_step=f"farshore drill stop {config.group_name}",
            )
        self._config, begun = config, Beginning(wish, self._wall())
        if wish.layer:
            self._begin(begun, self._known(wish.layer), then)
            return
        role = self._role
        if not isinstance(role, SecondaryCopy):
            raise FarshoreError(
                "wrong-role",
                f"this node's copy of {config.group_name} is the primary",
                means="nothing was changed; a drill wants a copy that goes on being written meanwhile",
                next_step="run it at a node with a secondary, or over a snapshot that is here: --at SNAPSHOT",
            )
        if wish.time is None:
            name = f"drill-{secrets.token_hex(4)}"
            self._beginning = begun
            self._carrier.do(role.core.take_layer(LayerKind.DRILL, name, self._when_known(begun, then)))
        else:
            rewindable.require_whole(role.core)
            self._beginning = begun
            begun.looking = Looking(role, None, wish.time, self._when_known(begun, then))
            begun.looking.slice()

    def _when_known(self, begun: Beginning, then: Then) -> Callable[[Layer | Found | FarshoreError], None]:
        """What it begins from."""

        def known(found: Layer | Found | FarshoreError) -> None:
            begun.looking = None
            if self._beginning is begun:
                self._beginning = None
            if begun.over:
                if isinstance(found, Layer):
                    self._give_up(found, begun.wish.own_layer)
                then(_over(begun.over))
            elif isinstance(found, FarshoreError):
                then(found)
            else:
                self._begin(begun, found, then)

        return known

    def _known(self, layer: bytes) -> Layer:
        store = self._shop.stored.preserve
        for each in store.layers if store is not None else ():
            if each.id == layer and each.kind in (LayerKind.SNAPSHOT, LayerKind.RESCUE):
                if store is not None and layer in store.broken:
                    raise FarshoreError(
                        "wrong-state", f"{each.kind} {each.name} is broken", means="no drill was begun"
                    )
                return each
        raise FarshoreError("not-found", "this copy does not keep that snapshot")

    def _begin(self, begun: Beginning, ground: Layer | Found, then: Then) -> None:
        layer, wish = ground.layer if isinstance(ground, Found) else ground, begun.wish
        try:
            drill = self._made(begun, layer, ground if isinstance(ground, Found) else None)
        except OSError as error:
            self._give_up(layer, wish.own_layer)
            then(_refusal(error, wish.time))
            return
        except FarshoreError as error:
            self._give_up(layer, wish.own_layer)
            then(error)
            return
        self._drill = drill

        def laid(refused: FarshoreError | None) -> None:
            if refused is not None and not drill.over:
                self._undo(drill, refused, then)
            else:
                self._open(drill, then)

        if isinstance(ground, Found):
            assert isinstance(self._role, SecondaryCopy)
            Laying(self._role, ground, drill, self._views.pool, laid).go_on()
        else:
            laid(None)

    def _open(self, drill: Drill, then: Then) -> None:
        """All that it begins with is there."""
        if drill.over:
            self._undo(drill, _ended(drill), then)
            return
        assert self._config is not None
        try:
            self._offer(self._config, drill)
        except OSError as error:
            self._undo(drill, _refusal(error, drill.basis.at), then)
            return
        except FarshoreError as error:
            self._undo(drill, error, then)
            return
        drill.offered = True

        def proved(result: OSError | None) -> None:
            if drill.over:
                self._undo(drill, _ended(drill), then)
            elif isinstance(result, OSError):
                self._views.lend({}, None)
                self._undo(drill, _refusal(result, drill.basis.at), then)
            else:
                self._shop.journal.note("drill-began", {"drill": drill.basis.id.hex()})
                then(self.document() or {})

        self._views.pool.submit(LANE, partial(prove, drill.overlays), proved)

    def _undo(self, drill: Drill, refused: FarshoreError, then: Then) -> None:
        """It did not come to be, and leaves nothing."""
        if not drill.over:
            drill.over, drill.overlays = refused.what, {}
            self._give_up(drill.basis.layer, drill.basis.own_layer)
        if self._drill is drill:
            self._drill = None
        then(refused)

    def _made(self, begun: Beginning, layer: Layer, found: Found | None) -> Drill:
        stored, wall, config, wish = self._shop.stored, self._wall(), self._config, begun.wish
        assert config is not None
        sizes = dict(layer.sizes)
        if found is not None:
            if any(each.id not in sizes for each in config.volumes):
                raise out_of_reach("the group has volumes that it did not have then")
            # As after a rewind: a volume that has grown since is as large as it is.
            sizes = {each.id: self._role.core.geometry.sizes[each.id] for each in config.volumes}
        room = Room(stored.directory, wish.limit or usual_limit(stored.directory, sum(sizes.values())))
        overlays = {
            each.id: Overlay(self._views.layer_view(layer.id, each.id), room, sizes[each.id])
            for each in config.volumes
            if each.id in sizes
        }
        basis = Basis(
            id=begun.id,
            layer=layer,
            own_layer=wish.own_layer,
            position=layer.mark if found is None else found.position,
            at=wish.time,
            unix=wish.unix,
            as_of=self._as_of(layer) if wish.own_layer else layer.time if found is None else found.time,
            started=wall,
        )
        return Drill(basis, overlays, room)

    def _as_of(self, layer: Layer) -> float | None:
        """Of when the data is in a layer that has just begun."""
        core = self._role.core
        assert isinstance(core, Secondary)
        age = core.age(layer.mark.sequence if layer.mark is not None else 0)
        return None if age is None else self._wall() - age

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
        layer, own = drill.basis.layer.id, drill.basis.own_layer
        if store is None or all(each.id != layer for each in store.layers):
            self._end("the preserve store needed its room" if own else "its snapshot is gone")
        elif layer in store.broken:
            self._end("the preserve store could not keep what it is based on")

    def stop(self, then: Then) -> None:
        """Ends the drill, also one that is being begun, and drops what it has written; `then` is told what it
        was. Raises FarshoreError `not-found`."""
        if self._beginning is not None:
            # Its own `then` hears of it once what was asked for it has come back; another may begin before.
            self._beginning.stop()
        elif self._drill is None:
            raise FarshoreError("not-found", "there is no drill on this copy", means="nothing was changed")
        elif not self._drill.over:
            self._end(_STOPPED)
        told = self.document() or {}
        self._drill = self._beginning = None
        then(told)

    def _end(self, why: str) -> None:
        drill = self._drill
        assert drill is not None
        drill.used, drill.over = drill.room.used, why
        self._views.lend({}, None)
        drill.overlays = {}
        self._give_up(drill.basis.layer, drill.basis.own_layer)
        if drill.offered:
            self._shop.journal.note("drill-ended", {"drill": drill.basis.id.hex(), "why": why})

    def _give_up(self, layer: Layer, own: bool) -> None:
        role = self._role
        if own and isinstance(role, SecondaryCopy):
            self._carrier.do(role.core.drop_layer(layer.id, _whatever))

    # -- the operator -----------------------------------------------------------------------

    def document(self) -> dict[str, Any] | None:
        """What goes on, or how the last one ended; None where there was none since it was last stopped."""
        if self._beginning is not None:
            return self._beginning.document()
        drill, config = self._drill, self._config
        if drill is None or config is None:
            return None
        names = {each.id: each.name for each in config.volumes}
        intent = ExportIntent(0, unix=drill.basis.unix)
        opened = drill.overlays if drill.offered else ()
        exports = [{"volume": names[each], "uri": uri_of(intent, names[each])} for each in opened]
        return {**drill.document(), "exports": exports}


def _ended(drill: Drill) -> FarshoreError:
    """Of one that ended while it was being begun. A time whose way has gone cannot be had any more."""
    if drill.basis.at is not None and drill.over != _STOPPED:
        return out_of_reach(drill.over)
    return _over(drill.over)


def _over(why: str) -> FarshoreError:
    return FarshoreError("wrong-state", f"the drill has ended: {why}", means=UNCHANGED)


def _whatever(_errno: int) -> None:
    """A layer that could not be dropped now is dropped at the next start."""


def _refusal(error: OSError, begun_at: float | None) -> FarshoreError:
    means = UNCHANGED
    if error.errno == errno.ESTALE and begun_at is not None:
        return out_of_reach("the snapshot from which frames lead there has gone")
    if error.errno in FULL:
        next_step = "make room, or give the drill more: --limit SIZE"
        return FarshoreError(
            "store-full", f"a drill has no room here: {error}", means=means, next_step=next_step
        )
    return as_farshore_error(error, means)
