"""R2: every durable step of a small life is a place to die: before it, in the middle of it, after it;
the process alone, or its machine. Whatever is left mends by itself, and no rule is broken."""

from __future__ import annotations

import multiprocessing
import os
from itertools import count

import pytest

from sim.points import Point, run_point
from sim.steps import Phase

LIVES = range(1, 21) if os.environ.get("FARSHORE_SOAK") else range(1, 3)
MOST = 2_000
"""More durable steps than a small life has."""


def every_step(seed: int, primary: bool, phase: Phase, machine: bool) -> tuple[int, list[str]]:
    """How many steps this site has, and what was broken by a death at one of them."""
    broken: list[str] = []
    for step in count(1):
        point = Point(primary, step, phase, machine)
        try:
            if run_point(seed, point) is None or step > MOST:
                return step - 1, broken
        except Exception as error:  # noqa: BLE001 - the point that it was at belongs to the message
            broken.append(f"life {seed}, {point}: {error!r}")
    raise AssertionError("unreachable")


@pytest.mark.timeout(3_600 if len(LIVES) > 1 else 600)
def test_a_death_at_any_durable_step_breaks_no_rule() -> None:
    chosen = [
        (seed, primary, phase, machine)
        for seed in LIVES
        for primary in (True, False)
        for phase in Phase
        for machine in (False, True)
    ]
    with multiprocessing.get_context("fork").Pool(os.cpu_count() or 2) as pool:
        found = pool.starmap(every_step, chosen, chunksize=1)
    assert [text for _, broken in found for text in broken] == []
    for (_, primary, _, _), (steps, _) in zip(chosen, found, strict=True):
        assert steps >= (100 if primary else 25)
