"""Rules of the apply journal, broken on purpose; see `sim.variants`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from farshore.core import starting
from farshore.core.journaling import Journaling
from farshore.model.positions import Position
from sim import journal_shell
from sim.variant import Variant


def _volumes_are_written_before_the_journal_is_durable(_: Any) -> Any:
    return property(lambda journal: journal._standing.applied)


def _the_mark_moves_before_the_volumes_are_synced(_: Any) -> Any:
    return lambda _journal, then: then()


def _replay_begins_too_late(replay: Any) -> Any:
    def skip(copy: Any, head: Position) -> None:
        durable = copy.setup.durable
        if durable is not None:
            later = durable._replace(sequence=durable.sequence + 2)
            copy.setup = replace(copy.setup, durable=later)
        replay(copy, head)

    return skip


def _replay_stops_early(behind: Any) -> Any:
    return lambda segments, mark: behind(segments, mark)[:-1]


def _the_replay_is_left_out(_: Any) -> Any:
    def start(copy: Any, head: Position) -> None:
        copy.standing.move_to(head, head.sequence)
        copy.keeper.put(replace(copy.setup.header, clean=False, journaling=False), copy.has_started)

    return start


def _a_resync_begins_over_a_full_journal(_: Any) -> Any:
    def leave(self: Journaling, then: Callable[[], None]) -> None:
        self.active = False
        self._standing.sync_volumes(then)

    return leave


def _what_is_appended_counts_as_durable(appended: Any) -> Any:
    def believe(self: Journaling, errno: int) -> None:
        appended(self, errno)
        self._standing.durable = self._standing.applied

    return believe


VARIANTS: Final[dict[str, Variant]] = {
    "volumes are written before the journal is durable": Variant(
        "B2", Journaling, "releasable", _volumes_are_written_before_the_journal_is_durable
    ),
    "the mark moves before the volumes are synced": Variant(
        "B2", Journaling, "sync_volumes", _the_mark_moves_before_the_volumes_are_synced
    ),
    "a replay begins too late": Variant("B2", starting, "_replay", _replay_begins_too_late),
    "a replay stops early": Variant("B2", journal_shell, "behind", _replay_stops_early),
    "the replay is left out": Variant("B2", starting, "_replay", _the_replay_is_left_out),
    "a resync begins over a full journal": Variant(
        "E1", Journaling, "leave", _a_resync_begins_over_a_full_journal
    ),
    "what is appended counts as durable": Variant(
        "C2", Journaling, "appended", _what_is_appended_counts_as_durable
    ),
}
