"""R2: every durable step of a small life is a place to die: before it, in the middle of it, after it;
the process alone, or its machine. Whatever is left mends by itself, and no rule is broken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from sim.options import Options
from sim.points import Point, run_point, small_chain, small_life
from sim.steps import Phase
from tests.long_form import LONG
from tests.sim.processors import processors

LIVES = range(1, 21) if LONG else range(1, 3)
MOST = 2_000
"""More durable steps than a small life has."""


def every_step(life: Options, site: int, phase: Phase, machine: bool) -> tuple[int, list[str]]:
    """How many steps this site has, and what was broken by a death at one of them."""
    broken: list[str] = []
    for step in count(1):
        point = Point(site, step, phase, machine)
        try:
            if run_point(life, point) is None or step > MOST:
                return step - 1, broken
        except Exception as error:  # noqa: BLE001 - the point that it was at belongs to the message
            broken.append(f"life {life.seed}, {point}: {error!r}")
    raise AssertionError("unreachable")


@pytest.mark.timeout(3_600 if len(LIVES) > 1 else 1_800)
@pytest.mark.parametrize(("lived", "sites"), [(small_life, (0, 1)), (small_chain, (1, 2))])
def test_a_death_at_any_durable_step_breaks_no_rule(
    lived: Callable[[int], Options], sites: tuple[int, ...]
) -> None:
    chosen = [
        (lived(seed), site, phase, machine)
        for seed in LIVES
        for site in sites
        for phase in Phase
        for machine in (False, True)
    ]
    with processors() as pool:
        found = pool.starmap(every_step, chosen, chunksize=1)
    assert [text for _, broken in found for text in broken] == []
    for (_, site, _, _), (steps, _) in zip(chosen, found, strict=True):
        assert steps >= (80 if site == 0 else 12)
