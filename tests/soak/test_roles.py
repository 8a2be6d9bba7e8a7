"""Two hundred changes of roles under load, with kills in the middle; a short form is in `tests/roles`.

FARSHORE_SEED chooses other moments; each round is printed before it begins.
"""

import os
from collections.abc import Iterator

import pytest

from tests.cluster import Cluster, clusters
from tests.command_line import pair
from tests.roles.conftest import MakeRoles
from tests.roles.torment import Load, Torment, never_two

ROUNDS = 200


@pytest.fixture
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes that all know each other."""
    with clusters(tmp_path_factory.mktemp("soak")) as make:
        made = make(("a", "b", "c"), through_line=False)
        pair(made.b, made.c)
        yield made


@pytest.mark.timeout(14400)
@pytest.mark.parametrize("names", ["ab", "abc"])
def test_no_write_is_lost_by_two_hundred_changes_of_roles(three: Cluster, names: str) -> None:
    seed = int(os.environ.get("FARSHORE_SEED", "1"))
    made = MakeRoles(three)(names, mode="sync", on_outage="freeze")
    torment = Torment(made, seed)
    with never_two(made), Load(made, seed) as load:
        for number in range(ROUNDS // 2):
            torment.round(load)
            print(f"seed {seed} round {number}: {torment.told[-1]}", flush=True)
            torment.told.clear()
    print(f"{torment.rescued} rescues showed what the former primaries held", flush=True)
    assert torment.rescued
    (name,) = made.primaries()
    made.protected(made.cluster.hosts[name])
    made.equal()
    load.check(made.cluster.hosts[name].image(made.group).read_bytes())
