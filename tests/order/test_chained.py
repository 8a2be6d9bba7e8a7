"""The last copy of a chain is a prefix whatever dies before it, and nobody waits for it (B2, B6, D4)."""

from collections.abc import Iterator
from statistics import median

import pytest

from tests.order.chained import FAR_MS, ChainSites, besiege, chain_sites, latencies


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainSites]:
    """See `chained`."""
    with chain_sites(tmp_path_factory.mktemp("chain")) as made:
        yield made


def test_the_application_waits_for_the_near_site_only(chain: ChainSites) -> None:
    with_hop = latencies(chain, writes=150)
    chain.b.done("pause", "chain", "--link", "c", "--now")
    without = latencies(chain, writes=150)
    chain.b.done("resync", "chain", "--link", "c")
    chain.caught_up()
    assert median(with_hop) < FAR_MS / 1000  # whoever waits for c waits twice as long at least
    # What else the machine does only ever adds: the quickest quarter shows least of it.
    assert with_hop[len(with_hop) // 4] < without[len(without) // 4] + FAR_MS / 1000 / 2


@pytest.mark.timeout(300)
def test_the_last_copy_is_a_prefix_while_the_middle_dies_again_and_again(chain: ChainSites) -> None:
    seen = besiege(chain, rounds=6, seed=11)
    print(seen)
    assert seen.images >= 4
    assert seen.behind  # else the far line was none


@pytest.mark.timeout(300)
def test_a_middle_that_died_is_bypassed_and_brought_back(chain: ChainSites) -> None:
    chain.caught_up()
    chain.bypass()
    assert chain.resyncs(chain.a) == ["digest"]  # a never fed c: it compares, and copies what differs
    around = besiege(chain, rounds=4, seed=12)
    print(around)
    assert around.images >= 2
    assert around.distinct >= 2
    before = len(chain.resyncs(chain.b))
    chain.bring_back()
    assert "digest" not in chain.resyncs(chain.b)[before:]  # b had fed c before, and has a scoreboard of it
    through = besiege(chain, rounds=4, seed=13)
    print(through)
    assert through.images
