"""Fifty growths of a chain's volume, in each of which one of its sites dies. FARSHORE_SEED chooses other
moments."""

import os
import random
from pathlib import Path

import pytest

from tests.shapes.conftest import three_nodes
from tests.shapes.growing import grow_in_torment
from tests.shapes.test_relaying import _chain

ROUNDS = 50


@pytest.mark.timeout(7200)
def test_a_chain_grows_fifty_times_while_its_sites_die(tmp_path: Path) -> None:
    chosen = random.Random(int(os.environ.get("FARSHORE_SEED", "600")))
    with three_nodes(tmp_path) as sites:
        print(grow_in_torment(sites, _chain(sites), chosen, ROUNDS))
