"""The code that is explored, broken on purpose in one place each: the explorer has to find every one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from farshore.core import feeder_session, handshake, history, turning
from farshore.core.handshake import Course, Decision
from farshore.core.history import Relation
from farshore.core.primary import Primary
from farshore.core.scoreboard import Scoreboard

Break = Callable[[pytest.MonkeyPatch], None]


def _overwrites_without_consent(patch: pytest.MonkeyPatch) -> None:
    """D7: whatever the peer holds may be overwritten."""
    honest = handshake.decide

    def decide(record: Any, board: Any, mine: Any, peer: Any, terms: Any) -> Decision:
        return honest(record, board, mine, peer, replace(terms, consent=peer.history.head))

    patch.setattr(feeder_session, "decide", decide)


def _takes_a_fork_for_an_ancestor(patch: pytest.MonkeyPatch) -> None:
    """D2: the generations are not compared."""
    honest = history.compare

    def compare(mine: Any, theirs: Any) -> Relation:
        found = honest(mine, theirs)
        return Relation.ANCESTOR if found is Relation.DIVERGED else found

    patch.setattr(handshake, "compare", compare)


def _forgets_the_residue(patch: pytest.MonkeyPatch) -> None:
    """A5: only our own marks count after a fork."""
    patch.setattr(Scoreboard, "suspect_ranges", lambda self, ranges: None)


def _demotes_without_suspects(patch: pytest.MonkeyPatch) -> None:
    """A3: what was hot at the unclean stop is in no residue."""
    honest = turning.suspected
    patch.setattr(
        turning, "suspected", lambda geometry, image, record, hot: honest(geometry, image, record, ())
    )


def _forgets_the_fence(patch: pytest.MonkeyPatch) -> None:
    """D6: whoever was told of a newer primary takes writes again."""
    patch.setattr(Primary, "_fence", lambda self, why, for_good, told: None)


def _keeps_what_it_was_ahead(patch: pytest.MonkeyPatch) -> None:
    """D1: a promotion does not end the history where the image is."""
    honest = turning.promoted

    def promoted(header: Any, turn: Any, links: Any) -> Any:
        longer = header.history.extended_to(header.history.head.sequence + 3)
        return honest(replace(header, history=longer), turn, links)

    patch.setattr(turning, "promoted", promoted)


def _rejoins_from_any_base(patch: pytest.MonkeyPatch) -> None:
    """A5: nobody asks from where the scoreboards are complete."""

    def forked(board: Any, mine: Any, peer: Any) -> Decision:
        return Decision(Course.REJOIN, "")

    patch.setattr(handshake, "_forked", forked)


VARIANTS: Mapping[str, Break] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (
        _overwrites_without_consent,
        _takes_a_fork_for_an_ancestor,
        _forgets_the_residue,
        _demotes_without_suspects,
        _forgets_the_fence,
        _keeps_what_it_was_ahead,
        _rejoins_from_any_base,
    )
}
