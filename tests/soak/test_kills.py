"""A hundred rounds of kill -9 at random moments under load; a short form is in `tests/fault`.

FARSHORE_SEED chooses other moments; the seed is printed, and so is each round before it begins.
"""

import os
import random

import pytest

from tests.cluster import Cluster
from tests.fault.bench import both_policies
from tests.fault.rounds import VICTIMS, Rounds

ROUNDS = 100


@pytest.mark.timeout(7200)
def test_a_hundred_rounds_of_kills_lose_nothing(nodes: Cluster) -> None:
    seed = int(os.environ.get("FARSHORE_SEED", "1"))
    rounds, chosen = Rounds(nodes, both_policies(nodes), seed), random.Random(seed)
    for number in range(ROUNDS):
        victim, again = VICTIMS[number % len(VICTIMS)], chosen.random() < 0.5
        print(
            f"seed {seed} round {number}: {victim}{', and again' if again else ''}; {rounds.seen}", flush=True
        )
        rounds.play(victim, again=again)
    print(rounds.seen)
    assert rounds.seen.rounds == ROUNDS
    assert rounds.seen.kills >= 200
    assert rounds.seen.at_b["trade"] >= ROUNDS * 3 // 4
    assert rounds.seen.at_b["vault"] >= ROUNDS
