"""A volume grows in the middle of a chain's life (rule F4): no copy is ever sent what it has no room for, or
holds anything behind the size that it durably knows; rules A1 and B6 hold on the hop after every turn, and
all copies end with one size and the same bytes (rule F2)."""

from collections.abc import Callable

import pytest

from farshore.core import growing
from farshore.core.resize_actions import MakeRoom
from farshore.core.secondary import Secondary
from farshore.model.volumes import Operation
from tests.long_form import LONG
from tests.unit.core.growing_life import GrowingLife

LIVES = 10_000 if LONG else 30
_STEPS = 60


def live(seed: int) -> int:
    """How often the volume grew."""
    life = GrowingLife(seed)
    try:
        for _ in range(_STEPS):
            life.step()
        life.end()
    except AssertionError as broken:
        raise AssertionError(f"seed {seed}: {broken}") from broken
    return life.grown


@pytest.mark.parametrize("first", range(1, LIVES, 10))
def test_f2_a_volume_that_grows_is_the_same_everywhere_in_the_end(first: int) -> None:
    assert sum(live(seed) for seed in range(first, first + 10)) > 10


@pytest.mark.parametrize("seed", [751, 840])
def test_lives_that_once_ended_badly(seed: int) -> None:
    """A record that came before its session was ready; a header that was thought of before a record came, and
    written after it."""
    live(seed)


# -- broken on purpose ----------------------------------------------------------------------------


def _primary_first(patch: pytest.MonkeyPatch) -> None:
    """Nobody makes room at the secondaries, and they do not look whether they have it."""

    def adopt(copy: Secondary, operation: Operation) -> str:
        growing.follow(copy, {operation[0]: operation[2]}, None)
        return ""

    patch.setattr(GrowingLife, "secondaries_first", False)
    patch.setattr(growing, "misfit", lambda copy, volumes: "")
    patch.setattr(growing, "take_record", adopt)


def _room_without_zeroes(patch: pytest.MonkeyPatch) -> None:
    """What a device held behind the volume's end stays there."""
    patch.setattr(
        growing, "MakeRoom", lambda ticket, volume, start, size: MakeRoom(ticket, volume, size, size)
    )


@pytest.mark.parametrize("broken", [_primary_first, _room_without_zeroes])
def test_each_rule_of_growing_is_noticed_when_it_is_broken(
    broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch)
    with pytest.raises((AssertionError, IndexError)):
        for seed in range(1, 60):
            live(seed)
