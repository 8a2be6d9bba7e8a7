"""The layers of a primary: what it overwrites is saved for them first, as at any copy (rules D7, E1, E2).

While a layer collects, an operation whose regions are not saved yet waits without a sequence, as one does
that touches a cold extent; one save covers all that wait. Without layers the write path knows nothing of it.

The application comes before the layers, and no layer ever shows anything wrong. Where the store cannot keep
what is about to be overwritten (no room is left once snapshots have given way, its disk has failed), the
header first says durably that all layers there are broken; then writes go on. A broken rescue stays in the
list until an operator deletes it; any other broken layer goes by itself. Of a region that the volume does not
show any more the layers keep just that. A region that is mended (`core/mending`) needs no save: it gets the
bytes that it should have had all along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from farshore.core import cutting
from farshore.core.actions import Action
from farshore.core.fault_texts import named
from farshore.core.moment import Moment, Wish
from farshore.core.preserve import Preserving
from farshore.core.snapshot_refusals import Missed, missed_ones, refusal, refused_at_primary
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.primary import Primary

NO_ROOM: Final = "the preserve store has no room for what the application overwrites"


class Keeping:
    """See the module."""

    def __init__(self, primary: Primary) -> None:
        setup = primary.setup
        self._primary = primary
        self.preserve = Preserving(primary.outbox, setup.geometry, setup.preserve, self._store_failed)
        self.preserve.broken.update(setup.header.broken_layers)
        self.preserve.full = partial(self._give_up, NO_ROOM)
        self.preserve.changed = self.attend
        self.moment = Moment(primary)
        """A layer at a cut of our own."""
        self.missed = missed_ones()
        """Snapshots for which a cut was made and that are not kept here."""
        self._giving_up = False
        self.attend()

    def attend(self) -> None:
        """Let the write path ask, or not, whether what it would overwrite is saved."""
        collects = self.preserve.collecting or self.preserve.holding
        self._primary.path.saves = self.preserve if collects else None

    def started(self) -> None:
        """The header durably says which layers are broken."""
        image = self._primary.setup.preserve
        if image is not None and image.unusable:
            self._primary.outbox.note("preserve-unusable", why=image.unusable)
        self.preserve.sweep(b"")

    def drop(self, layer: bytes, then: Callable[[int], None]) -> list[Action]:
        """An operator has no use for it any more; `then` is told an errno, as by `Preserving.drop`."""
        self.preserve.drop(layer, then)
        return self._primary.outbox.take()

    def snapshot(
        self, name: str, number: int, told: Callable[[Position | FarshoreError], None]
    ) -> list[Action]:
        """A cut at which every copy takes a snapshot, this one too if it can. `told` learns where the cut is,
        or why there is none; what became of ours is seen in `layers` and in `missed`.

        Raises FarshoreError `wrong-state` or `exists`; nothing was begun then.
        """
        outbox, place = self._primary.outbox, list[Position]()

        def made(position: Position) -> None:
            place.append(position)
            told(position)

        def ended(layer: Layer | None, why: str) -> None:
            if layer is not None:
                assert layer.mark is not None
                outbox.note(
                    "layer",
                    layer=layer.kind.value,
                    name=name,
                    sequence=layer.mark.sequence,
                    held_seconds=round(self.moment.held_for, 4),
                )
            elif place:
                self._missed(Missed(name, place[0], refusal(why)))
            else:
                told(refusal(why))

        against = refused_at_primary(self.preserve, name)
        if against is not None and against.code.name == "exists":
            raise against
        if against is None:
            return self.moment.take(Wish(LayerKind.SNAPSHOT, name, number, made), ended)
        position = cutting.cut(self._primary.path, name, number, snapshot=True)
        self._missed(Missed(name, position, against))
        told(position)
        return outbox.take()

    def _missed(self, missed: Missed) -> None:
        """The others have been asked for theirs."""
        self.missed.append(missed)
        position, why = missed.position, missed.why.what
        self._primary.outbox.note("snapshot-missed", name=missed.name, sequence=position.sequence, why=why)

    # -- what cannot be kept ----------------------------------------------------------------

    def _store_failed(self, errno: int) -> None:
        self._give_up(named("the preserve store has failed", errno))

    def _give_up(self, why: str) -> None:
        """Nothing unsaved is overwritten before this is durable; then everything is."""
        primary, preserve = self._primary, self.preserve
        layers = [each for each in preserve.layers if each.id not in preserve.broken]
        if self._giving_up or primary.path.fault or not layers:
            return
        self._giving_up = True
        preserve.pause()
        ids = tuple([each.id for each in layers])

        def marked() -> None:
            self._giving_up = False
            for each in layers:
                primary.outbox.note(
                    "layer-broken", id=each.id.hex(), name=each.name, layer=each.kind.value, why=why
                )
            preserve.give_up(ids)
            self._clear()

        header = primary.keeper.header
        primary.keeper.put(replace(header, broken_layers=(*header.broken_layers, *ids)), marked)

    def _clear(self) -> None:
        """A broken layer is of no use to anybody; that a rescue is lost is for an operator to acknowledge."""
        preserve = self.preserve
        for each in list(preserve.layers):
            if preserve.well and each.id in preserve.broken and each.kind is not LayerKind.RESCUE:
                preserve.drop(each.id)
