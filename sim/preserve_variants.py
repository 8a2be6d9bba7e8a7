"""Rules of the preserve store, broken on purpose; see `sim.variants`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from farshore.core import showing, undoing
from farshore.core.preserve import Preserving
from farshore.core.secondary import Secondary
from farshore.core.stream import Stream
from farshore.model.layers import Run
from farshore.model.messages import ResyncEnd
from sim import keeping_variants, snapshot_variants
from sim.variant import Variant


def _a_region_is_overwritten_before_it_is_saved(spare: Any) -> Any:
    def spare_at_once(self: Preserving, ranges: Any) -> bool:
        spare(self, ranges)
        return not self._beginning

    return spare_at_once


def _an_undo_goes_before_the_cut_is_durable(end: Any) -> Any:
    def drop_first(self: Stream, message: ResyncEnd) -> None:
        undoing.release(self._copy, self._copy.keeper.header.undo)
        end(self, message)

    return drop_first


def _a_full_store_lets_everything_through(_: Any) -> Any:
    def believe(self: Preserving, runs: Sequence[Run]) -> None:
        for volume, first, stop in runs:
            self._saved.bits[volume][first:stop] = 1
        self._save()

    return believe


def _a_roll_back_leaves_the_proof_of_its_resync(roll_back: Any) -> Any:
    def with_the_old_id(copy: Secondary) -> None:
        resync = copy.keeper.header.resync
        assert resync is not None
        copy.new_id = lambda: resync.id
        roll_back(copy)

    return with_the_old_id


def _readers_are_shown_a_resync(shown: Any) -> Any:
    def whatever(copy: Secondary) -> bytes | None:
        found: bytes | None = shown(copy)
        return found if found is None else showing.LIVE

    return whatever


VARIANTS: Final[dict[str, Variant]] = {
    **snapshot_variants.VARIANTS,
    "a region is overwritten before it is saved": Variant(
        "E1", Preserving, "spare", _a_region_is_overwritten_before_it_is_saved
    ),
    "an undo goes before the cut is durable": Variant(
        "E1", Stream, "_end", _an_undo_goes_before_the_cut_is_durable
    ),
    "a full store lets everything through": Variant(
        "E2", Preserving, "_make_room", _a_full_store_lets_everything_through
    ),
    "readers are shown what a resync overwrites": Variant(
        "E1", showing, "shown", _readers_are_shown_a_resync
    ),
    "a roll-back leaves the proof of its resync": Variant(
        "E3", undoing, "roll_back", _a_roll_back_leaves_the_proof_of_its_resync
    ),
    **keeping_variants.VARIANTS,
}
