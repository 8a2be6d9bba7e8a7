"""Rules E1 and E3: each durable step of a resync, and of the way back, is a place for the follower to die."""

from __future__ import annotations

from itertools import count, product

import pytest

from farshore.model.options import Apply
from sim.run import run_seed
from sim.scene import directed
from sim.scenes import a_copy_dies_in_a_resync_and_goes_back
from sim.steps import Doom, Phase
from tests.sim.processors import processors

MOST = 60
"""More steps of a lane than a resync of twelve regions has."""
LANES = ("preserve", "fill", "header", "sync")
RESTORED = (None, *(Doom("restore", 1, phase, machine) for phase in Phase for machine in (False, True)))


def every_step(lane: str, phase: Phase, machine: bool, apply: Apply) -> tuple[int, int, list[str]]:
    """How many steps of a lane were met, how often the copy went back, and what was broken."""
    broken: list[str] = []
    backs = 0
    for step in count(1):
        doom = Doom(lane, step, phase, machine)
        again = RESTORED[step % len(RESTORED)]
        restored = None if again is None else Doom(again.lane, 1, again.phase, again.machine)
        seed = 2 * step + (apply is Apply.DIRECT)
        outcome = run_seed(
            seed % 20 + 1, directed(a_copy_dies_in_a_resync_and_goes_back(doom, restored), apply=apply)
        )
        if outcome.broken:
            broken.append(f"{lane} {step} {phase} {machine} {restored}: {outcome.broken}")
        elif outcome.report is not None:
            backs += outcome.report.reached.get("rolled back", 0)
        if doom.countdown > 0 or step > MOST:
            return step - 1, backs, broken
    raise AssertionError("unreachable")


@pytest.mark.timeout(600)
def test_wherever_a_copy_dies_in_a_resync_it_is_what_it_was_or_whole() -> None:
    chosen = list(product(LANES, Phase, (False, True), (Apply.DIRECT, Apply.JOURNAL)))
    with processors() as pool:
        found = pool.starmap(every_step, chosen, chunksize=1)
    assert [text for _, _, broken in found for text in broken] == []
    assert all(steps >= 2 for steps, _, _ in found)
    assert sum(backs for _, backs, _ in found) >= 25
