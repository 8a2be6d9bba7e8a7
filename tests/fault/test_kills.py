"""kill -9 of engines and nodes at random moments under load; the long form is in `tests/soak`."""

import random

from tests.cluster import Cluster
from tests.fault.bench import both_policies
from tests.fault.rounds import VICTIMS, Rounds

SEED = 20261122


def test_a_kill_loses_nothing_that_was_acknowledged(nodes: Cluster) -> None:
    rounds = Rounds(nodes, both_policies(nodes), SEED)
    order = random.Random(SEED)
    for number, victim in enumerate(order.sample(VICTIMS, len(VICTIMS))):
        rounds.play(victim, again=number % 2 == 1)
    print(rounds.seen)
    assert rounds.seen.rounds == len(VICTIMS)
    # Where a link had stopped by itself before the kill, nothing can be said of that moment.
    assert rounds.seen.at_b["trade"] >= len(VICTIMS) - 2
    assert rounds.seen.at_b["vault"] >= len(VICTIMS)
