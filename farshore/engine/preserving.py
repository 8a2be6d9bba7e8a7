"""Carries out what the core asks of the preserve store, on one lane of the pool, never on the loop.

Saves, layers and roll-backs take effect in the order in which they were asked for. Reading the volumes here
is safe beside the loop's writes: what is read has not been released for an overwrite.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from farshore.core import actions as a
from farshore.core.layer_actions import RetitleLayer
from farshore.core.moments import moment
from farshore.core.preserve import UNREADABLE, PreserveImage, Preserving
from farshore.engine.carrier import Carrier
from farshore.engine.pool import Pool, errno_of
from farshore.engine.stored_copy import StoredCopy
from farshore.engine.unread import told
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, Run
from farshore.store.preserve import PreserveStore, Put
from farshore.store.volume import Volume

_LANE: Final = "preserve"
T = TypeVar("T")
Report = Callable[..., list[a.Action]]


def image_of(stored: StoredCopy) -> PreserveImage:
    """What the core starts from."""
    store = stored.preserve
    if store is None:
        return PreserveImage(unusable=stored.preserve_unusable)
    incomplete = frozenset(each.id for each in store.layers if store.lacking_bytes(each.id))
    return PreserveImage(store.layers, tuple(store.saved()), incomplete=incomplete)


class PreserveRoom:
    """See the module."""

    def __init__(self, stored: StoredCopy, pool: Pool, carrier: Carrier, broken: Collection[bytes]) -> None:
        """`broken` is the core's, and changes: see `Preserving`."""
        if stored.preserve is not None:
            stored.preserve.broken = broken
        self._stored = stored
        self._pool = pool
        self._carrier = carrier

    @property
    def store(self) -> PreserveStore:
        """The copy's store."""
        store = self._stored.preserve
        assert store is not None
        return store

    def offer(self, preserved: Report, dropped: Report) -> dict[type, Callable[[Any], None]]:
        """What this adds to a copy's table of actions."""
        done, gone = self._carrier.reporting(preserved), self._carrier.reporting(dropped)
        return {
            a.BeginLayer: lambda action: self._submit(
                partial(self.store.begin, action.layer, action.reserve), action.ticket, done
            ),
            a.SaveRegions: lambda action: self._save(action, done),
            a.RollBack: lambda action: self._submit(partial(self._roll_back, action), action.ticket, done),
            a.DropLayer: lambda action: self._drop(action, gone),
            RetitleLayer: lambda action: self._submit(
                partial(self.store.retitle, action.layer, action.kind, action.name), action.ticket, done
            ),
        }

    def report(self, preserving: Preserving, undo: bytes) -> dict[str, object]:
        """What the store keeps, oldest first, and what that takes; `undo` is what takes a resync back. Null
        where the copy has to do without its store; `unusable` says why."""
        store = self._stored.preserve
        layers = [
            {
                **document_of(each, 0 if store is None else store.bytes_of(each.id)),
                "broken": each.id in preserving.broken,
                "unreadable_bytes": 0 if store is None else store.lacking_bytes(each.id),
                "open": each.id == undo,
            }
            for each in preserving.layers
        ]
        used, most = (None, None) if store is None else (store.used, store.limit)
        why = self._stored.preserve_unusable or None
        return {"used_bytes": used, "limit_bytes": most, "layers": layers, "unusable": why}

    def _submit(self, job: Callable[[], None], ticket: int, report: Callable[..., None]) -> None:
        self._pool.submit(_LANE, partial(_told, job), lambda result: report(ticket, errno_of(result)))

    def look(self, job: Callable[[], T], then: Callable[[T | OSError], None]) -> None:
        """Something that only reads in the store."""
        self._pool.submit(_LANE, job, then)

    def read(self, volume: int, offset: int, length: int) -> bytes:
        """What a volume holds now. Blocks."""
        return self._stored.volumes[volume].read(offset, length)

    def _save(self, action: a.SaveRegions, report: Callable[..., None]) -> None:
        """What is kept is durable also where this ends as `UNREADABLE` says."""
        store, stored = self.store, self._stored

        def save() -> tuple[int, dict[str, object]]:
            refused = store.save(action.runs, self.read)
            if not refused:
                return 0, {}
            lacking = store.lacking(store.layers[-1].id)
            return UNREADABLE * refused, told(action.runs, lacking, stored.geometry, stored.names)

        def done(result: tuple[int, dict[str, object]] | OSError) -> None:
            report(action.ticket, *((errno_of(result),) if isinstance(result, OSError) else result))

        self._pool.submit(_LANE, partial(_told, save), done)

    def _roll_back(self, action: a.RollBack) -> None:
        """Nobody is met meanwhile: the volumes are not used by anybody else."""
        self.store.restore(action.layer, put_into(self._stored.volumes))
        for volume in self._stored.volumes.values():
            volume.fdatasync()
        position = self._stored.position
        assert position is not None
        position.write_applied(action.position)
        position.write_durable(action.position)

    def _drop(self, action: a.DropLayer, report: Callable[..., None]) -> None:
        """Part by part, so that saves in between do not wait for all of it."""
        store, layer = self.store, action.layer

        def some() -> tuple[Run, ...] | None:
            if action.needed and not store.hand_down(layer):
                return None
            store.drop(layer)
            return tuple(store.saved())

        def done(result: tuple[Run, ...] | OSError | None) -> None:
            if result is None:
                self._pool.submit(_LANE, partial(_told, some), done)
            else:
                failed = isinstance(result, OSError)
                report(action.ticket, errno_of(result), () if failed else result)

        self._pool.submit(_LANE, partial(_told, some), done)


def put_into(volumes: Mapping[int, Volume]) -> Put:
    """Writes content back into these volumes; what was of one that is gone is left out."""

    def put(volume: int, offset: int, length: int, content: bytes | None) -> None:
        if volume not in volumes:
            return
        if content is None:
            volumes[volume].zero(offset, length, may_unmap=True)
        else:
            volumes[volume].write(content, offset)

    return put


def document_of(layer: Layer, size: int) -> dict[str, object]:
    """`bytes` is what it takes by itself."""
    mark = layer.mark
    return {
        "id": layer.id.hex(),
        "kind": layer.kind.value,
        "name": layer.name,
        "generation": None if mark is None else mark.generation.hex(),
        "sequence": None if mark is None else mark.sequence,
        "time": moment(layer.time),
        "bytes": size,
    }


def _told(job: Callable[[], Any]) -> Any:
    """What cannot be read is an error of the disk to the core."""
    try:
        return job()
    except FarshoreError as error:
        raise OSError(errno.EIO, error.what) from error
