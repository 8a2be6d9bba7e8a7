"""Rules of snapshots, broken on purpose; see `sim.variants`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from farshore.core import snapping
from farshore.core.journaling import Journaling
from farshore.core.preserve import Preserving
from farshore.core.replaying import Replay
from farshore.core.snapping import Snapping
from sim.variant import Variant


def _a_layer_begins_before_its_position_is_recorded(_: Any) -> Any:
    return property(lambda journal: journal.written == journal.halt)


def _a_layer_of_a_direct_copy_begins_before_its_sync(_: Any) -> Any:
    def begin_at_once(self: Snapping, stop: Any) -> None:
        self._now, self.holding = stop, True
        self._begin(stop)

    return begin_at_once


def _a_replay_does_not_stop_at_a_cut(read: Any) -> Any:
    def go_on(self: Replay, frames: Any, errno: int) -> None:
        read(self, [(head._replace(snapshot=""), frame) for head, frame in frames], errno)

    return go_on


def _what_is_journaled_is_not_saved(_: Any) -> Any:
    def at_once(self: Preserving, ranges: Any, then: Callable[[], None]) -> None:
        self.spare(ranges)
        then()

    return at_once


def _a_snapshot_is_taken_in_a_resync(refused: Any) -> Any:
    def whatever_is_open(copy: Any, *place: Any) -> Any:
        kept = copy.keeper.header
        copy.keeper.header = replace(kept, resync=None)
        against = refused(copy, *place)
        copy.keeper.header = kept
        return against if "resynced" not in str(against) else None

    return whatever_is_open


def _frames_behind_a_cut_do_not_wait(_: Any) -> Any:
    def come(self: Snapping, head: Any) -> None:
        if head.snapshot:
            self._stops.append(self._at(head, lambda _: None))

    return come


VARIANTS: Final[dict[str, Variant]] = {
    "a layer begins before its position is recorded": Variant(
        "E3", Journaling, "halted", _a_layer_begins_before_its_position_is_recorded
    ),
    "a layer of a direct copy begins before its sync": Variant(
        "E3", Snapping, "_stop_at", _a_layer_of_a_direct_copy_begins_before_its_sync
    ),
    "a replay does not stop at a cut": Variant("H", Replay, "_read", _a_replay_does_not_stop_at_a_cut),
    "what is journaled is not saved": Variant(
        "E1", Preserving, "when_spare", _what_is_journaled_is_not_saved
    ),
    "a snapshot is taken in a resync": Variant("H", snapping, "refused", _a_snapshot_is_taken_in_a_resync),
    "frames behind a cut do not wait": Variant("H", Snapping, "comes", _frames_behind_a_cut_do_not_wait),
}
