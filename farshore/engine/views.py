"""What is exported of a copy besides a primary's volumes: a secondary's, read-only, and layers of the
preserve store.

All of it is read on two threads of its own, so that neither the stream nor the digests of a resync wait for
a reader; what one client may have outstanding is bounded as everywhere (`nbd_connection`). An export whose
layer goes, because somebody deleted it or because it gave way, ends with its connections, and so does each
at the end of the process. What cannot be listened on at a start keeps nothing else from starting: it is
tried again.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from farshore.core.write_path import Batch
from farshore.engine.intents import address_of, certificates_of
from farshore.engine.layer_view import LayerView
from farshore.engine.live_view import LiveView
from farshore.engine.nbd_exports import Exported
from farshore.engine.nbd_server import Address, NbdServer, Surroundings
from farshore.engine.nbd_tokens import Answers
from farshore.engine.pool import Pool
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, ExportIntent
from farshore.model.device_config import identity_of
from farshore.model.export_address import uri_of
from farshore.model.layers import Layer
from farshore.model.options import Role

_THREADS: Final = 2
_LASTING: Final = 1.0
"""Seconds for which there is nothing to show, or something again, before it is said."""
_NEVER: Final = float("inf")
_TRIED_EVERY: Final = 2.0
"""Seconds between two tries to listen where that failed at a start."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a secondary's volumes show now: as `core/showing` tells."""

    source: Callable[[], bytes | None]
    why_not: Callable[[], str]


class Views:
    """See the module. `shown` is a secondary's; a primary serves its volumes itself."""

    def __init__(self, shop: Workshop, shown: Shown | None) -> None:
        self._shop = shop
        self._shown = shown
        self._server: NbdServer | None = None
        self._pool: Pool | None = None
        self._config: CopyConfig | None = None
        self._served: tuple[ExportIntent, ...] = ()
        self._told = False
        """Whether it was said that there is nothing to show."""
        self._since = shop.reactor.now
        """When that was found to be as it was said last."""
        self._try_at = _NEVER
        self._lent: Mapping[Address, Sequence[Exported]] = {}
        self._writer: Callable[[Batch], None] | None = None

    # -- what is offered --------------------------------------------------------------------

    def begin(self, config: CopyConfig) -> None:
        """At the start of an engine: as far as it goes."""
        self._config = config
        try:
            self.offer(config)
        except FarshoreError as error:
            if self._try_at == _NEVER:
                self._shop.journal.note("export-failed", {"why": error.what})
            self._try_at = self._shop.reactor.now + _TRIED_EVERY

    def offer(self, config: CopyConfig) -> FarshoreError | None:
        """Offers exactly what is intended and there; returns and raises as `NbdServer.offer`."""
        offered: dict[Address, list[Exported]] = {where: list(what) for where, what in self._lent.items()}
        served: list[ExportIntent] = []
        for intent in config.exports:
            export = self._exported(config, intent)
            if export is not None:
                offered.setdefault(address_of(intent), []).append(export)
                served.append(intent)
        refused = None
        if offered or self._server is not None:
            certificates = certificates_of(config, self._shop.stored.directory)
            refused = self._serving().offer(offered, certificates)
        self._config, self._served, self._try_at = config, tuple(served), _NEVER
        return refused

    def _exported(self, config: CopyConfig, intent: ExportIntent) -> Exported | None:
        """None for what is not ours to serve, or not there."""
        stored = self._shop.stored
        spec = next((each for each in config.volumes if each.id == intent.volume), None)
        if spec is None or not intent.read_only:
            return None
        volume, turn = stored.volumes[spec.id], config.turn.id if config.turn is not None else b""
        if intent.layer:
            layer = self._layer(intent)
            if layer is None or spec.id not in dict(layer.sizes):
                return None
            view = self.layer_view(layer.id, spec.id)
            identity = identity_of(config.group, spec.id, layer.id)
            return Exported(spec.id, spec.name, view, True, identity)
        if self._shown is None or config.role is not Role.SECONDARY:
            return None
        source = self._shown.source
        live = LiveView(source, stored.preserve, spec.id, volume)
        identity = identity_of(config.group, spec.id, turn)
        return Exported(spec.id, spec.name, live, True, identity, lambda: source() is not None)

    def layer_view(self, layer: bytes, volume: int) -> LayerView:
        """A volume of a layer that is there. Raises OSError."""
        stored = self._shop.stored
        assert stored.preserve is not None
        return LayerView(stored.preserve, layer, volume, stored.volumes[volume])

    def lend(
        self, exports: Mapping[Address, Sequence[Exported]], writer: Callable[[Batch], None] | None
    ) -> None:
        """Serves what can be written as well, in place of what was lent before; `writer` takes the batches.
        Raises as `offer`; nothing is lent then."""
        self._lent, self._writer = exports, writer
        if self._config is None:
            return
        try:
            self.offer(self._config)
        except FarshoreError:
            self._lent, self._writer = {}, None
            raise

    @property
    def pool(self) -> Pool:
        """The threads that read and write here."""
        self._serving()
        assert self._pool is not None
        return self._pool

    @property
    def answers(self) -> Answers:
        """Where what was written is answered."""
        return self._serving().answers

    def _layer(self, intent: ExportIntent) -> Layer | None:
        store = self._shop.stored.preserve
        layers = [each for each in store.layers if each.id not in store.broken] if store is not None else []
        return next((each for each in layers if each.id.hex() == intent.layer), None)

    def _gone(self, layer: str) -> str:
        """Why that is not served."""
        store = self._shop.stored.preserve
        if store is None:
            return "the preserve store cannot be used"
        there = any(each.id.hex() == layer for each in store.layers)
        return "the snapshot is broken" if there else "the snapshot is gone"

    def _serving(self) -> NbdServer:
        if self._server is None:
            shop = self._shop
            self._pool = Pool(shop.reactor, "views", _THREADS)
            around = Surroundings(shop.reactor, self._pool, shop.tidy, shop.journal.note)
            self._server = NbdServer(around, self._issue, lambda *_: (), tuple)
        return self._server

    # -- a turn -----------------------------------------------------------------------------

    def _issue(self, batch: Batch) -> None:
        """Whoever may not write is refused before, and has nothing to flush."""
        assert self._server is not None
        lent = {id(each.volume) for offered in self._lent.values() for each in offered}
        flushes: list[object] = []
        for token in batch.flushes:
            export = token[0].export  # type: ignore[index]
            if export is not None and id(export.volume) in lent:
                flushes.append(token)
            else:
                self._server.answers.take((token,), 0)  # type: ignore[arg-type]
        batch.flushes = flushes
        if self._writer is not None and (batch.operations or flushes):
            self._writer(batch)
        else:  # of clients that are being let go
            self._server.answers.take(batch.tokens, errno.EIO)  # type: ignore[arg-type]

    def end_turn(self) -> None:
        """Answers what has come, and what threads have read."""
        if self._server is not None:
            self._server.end_requests()
            self._server.answers.settle()

    def tick(self) -> None:
        """Ends what is gone; says when there is nothing to show, and when there is again."""
        config = self._config
        if config is None:
            return
        if self._shop.reactor.now >= self._try_at:
            self.begin(config)
        gone = [each for each in self._served if each.layer and self._layer(each) is None]
        if gone:
            for name in sorted({each.layer for each in gone}):
                self._shop.journal.note("export-ended", {"layer": name, "why": self._gone(name)})
            self.begin(config)
        if self._shown is not None and any(not each.layer for each in self._served):
            self._tell_of_hiding(self._shown)

    def _tell_of_hiding(self, shown: Shown) -> None:
        """Of what lasts: while a copy starts, say, there is nothing to show for a moment."""
        hidden, now = shown.source() is None, self._shop.reactor.now
        if hidden == self._told:
            self._since = now
        elif now - self._since >= _LASTING:
            self._told = hidden
            kind = "exports-hidden" if hidden else "exports-shown"
            self._shop.journal.note(kind, {"why": shown.why_not()} if hidden else {})

    def close(self) -> None:
        """Ends all listeners and clients."""
        if self._server is not None:
            self._server.close()
        if self._pool is not None:
            self._pool.close()

    # -- the operator -----------------------------------------------------------------------

    def report(self) -> list[dict[str, Any]]:
        """What is served, for a status document."""
        config = self._config
        if config is None:
            return []
        names = {each.id: each.name for each in config.volumes}
        found: list[dict[str, Any]] = []
        for intent in config.exports:
            if not intent.layer and (self._shown is None or not intent.read_only):
                continue
            layer = self._layer(intent) if intent.layer else None
            serves, why = intent in self._served, ""
            if not serves:
                gone = intent.layer and layer is None
                why = self._gone(intent.layer) if gone else "it could not be made"
            elif self._shown is not None and not intent.layer:
                why = self._shown.why_not()
                serves = not why
            found.append(
                {
                    "volume": names.get(intent.volume),
                    "uri": uri_of(intent, names.get(intent.volume, "")),
                    "layer": intent.layer or None,
                    "name": layer.name if layer is not None else None,
                    "shows": self._shows(intent) if serves else None,
                    "serves": serves,
                    "why": why,
                }
            )
        return found

    def _shows(self, intent: ExportIntent) -> str:
        """`live`, `undo` (the state before the open resync) or `layer`."""
        if intent.layer:
            return "layer"
        return "undo" if self._shown is not None and self._shown.source() else "live"

    def buffers(self) -> dict[str, int]:
        """What is held in memory, in bytes."""
        if self._server is None:
            return {}
        return {"readers": len(self._server.clients), "readers_bytes": self._server.outstanding()}
