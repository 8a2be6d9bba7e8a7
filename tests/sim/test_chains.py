"""Chains: what a copy that relays keeps for the next one, and the rules of relaying, broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.model.options import LinkOptions, LinkSpec, LinkState, ResyncKind
from sim.cluster import Cluster
from sim.frame_journal import SEGMENT_BYTES
from sim.options import Hop, drawn
from sim.points import small_life
from sim.relay_site import RelaySite
from sim.secondary_site import SecondarySite

REGION, EXTENT, SIZE = 4 << 10, 64 << 10, 1 << 20
GREETINGS = 1_500


class Chain:
    """A primary, a relay behind it and a far copy behind that, all equal; an application that writes when
    it is told."""

    def __init__(self, seed: int, queue_disk: int = 1 << 20) -> None:
        life = small_life(seed)
        options = LinkOptions(queue_disk=queue_disk)
        hop = LinkSpec(Random(f"hop {seed}").randbytes(16), "hop", "1" * 64, options)
        options_of_run = replace(
            life,
            geometry=Geometry({1: SIZE}, region=REGION, extent=EXTENT),
            habits=replace(life.habits, sizes={1: SIZE}),
            hot_capacity=8,
            hops=(Hop(life.links[0].id, hop),),
        )
        self.cluster = Cluster(options_of_run)
        self.cluster.app.stop()
        self.link, self.hop = life.links[0].id, hop.id
        for site in self.cluster.sites:
            self.cluster.start(site)
        self.converge()

    @property
    def relay(self) -> RelaySite:
        site = self.cluster.secondaries[self.link]
        assert isinstance(site, RelaySite)
        return site

    @property
    def far(self) -> SecondarySite:
        return self.cluster.secondaries[self.hop]

    @property
    def feeder(self) -> Feeder:
        return self.relay.core.relay.feeders[self.hop]

    @property
    def resyncs(self) -> int:
        """How many resyncs of the far copy there were."""
        reached = self.cluster.world.reached
        return sum(count for event, count in reached.items() if event.startswith("hop resyncing"))

    def until(self, condition: object) -> None:
        assert callable(condition)
        self.cluster.pass_time(condition, 30.0, "the condition of the test")

    def converge(self) -> None:
        sites = self.cluster.sites
        self.until(lambda: all(site.running for site in sites) and not self.cluster.why())

    def write(self, regions: list[int]) -> None:
        """One sector in each of these regions, acknowledged."""
        for region in regions:
            self.cluster.app.write(1, region * REGION, 512)
        self.until(lambda: self.cluster.app.idle)

    def relayed(self) -> None:
        """The relay has everything, durably, and has written it to its volumes."""
        primary, relay = self.cluster.primary, self.relay
        self.until(lambda: relay.running and relay.core.durable == primary.core.sequence)
        self.until(lambda: relay.images() == primary.images())

    def cut(self) -> None:
        """The far copy is out of reach."""
        self.cluster.net.cut(self.hop)
        self.until(lambda: self.feeder.state in (LinkState.LOGGING, LinkState.QUEUING))

    def bytes_until_converged(self) -> int:
        """What the relay sends on the new connection until all copies are equal."""
        self.cluster.net.heal(self.hop)
        self.converge()
        return self.relay.outgoing.channels[self.hop].queued


def test_what_a_far_copy_missed_comes_from_the_journal_in_order() -> None:
    chain = Chain(1)
    resyncs = chain.resyncs
    chain.cut()
    chain.write([3, 3, 200, 3, 17])
    assert chain.bytes_until_converged() < 5 * (512 + 150) + GREETINGS
    assert chain.resyncs == resyncs
    assert chain.cluster.world.reached["hop drained from the journal"]


@pytest.mark.parametrize("machine", [False, True])
def test_a_relay_that_died_goes_on_from_its_journal_and_compares_nothing(machine: bool) -> None:
    """D4: a hop resumes, without suspects, from its own journal."""
    chain = Chain(2)
    resyncs = chain.resyncs
    chain.cut()
    chain.write([3, 3, 200, 3, 17])
    chain.relayed()
    chain.relay.die(machine)
    chain.until(lambda: chain.relay.running and chain.relay.core.started)
    assert chain.bytes_until_converged() < 5 * (512 + 150) + GREETINGS
    assert chain.resyncs == resyncs


def test_without_a_queue_a_far_copy_gets_the_regions_that_changed() -> None:
    chain = Chain(3, queue_disk=0)
    chain.cut()
    chain.write(Random(3).sample(range(SIZE // REGION), 20))
    chain.relayed()
    assert 20 * REGION < chain.bytes_until_converged() <= 1.1 * 20 * REGION + GREETINGS


def test_a_new_generation_reaches_the_far_copy_in_step() -> None:
    chain = Chain(4)
    resyncs, channel = chain.resyncs, chain.relay.outgoing.channels[chain.hop]
    primary = chain.cluster.primary
    stopped = primary.core
    primary.turn(primary.stop)
    chain.until(lambda: primary.running and primary.core is not stopped)
    chain.write([1, 2])
    chain.converge()
    assert chain.relay.outgoing.channels[chain.hop] is channel
    assert chain.resyncs == resyncs
    assert chain.far.core.generation == primary.core.generation
    assert chain.cluster.world.reached["upstream generation changed in step"]


def test_a_far_copy_waits_while_its_relay_is_resynced_and_then_gets_what_changed() -> None:
    """B6: nothing is relayed meanwhile, and what the resync wrote is marked."""
    chain = Chain(5)
    chain.cluster.net.cut(chain.link)
    chain.until(lambda: not chain.cluster.primary.core.feeders[chain.link].replicating)
    chain.write([7, 8, 90])
    chain.cluster.net.heal(chain.link)
    chain.converge()
    reached = chain.cluster.world.reached
    assert reached["hop logging (upstream-resyncing)"] >= 2  # the first copy of the relay, and this one
    assert 3 * REGION < chain.relay.outgoing.channels[chain.hop].queued <= 1.1 * 3 * REGION + GREETINGS


def test_a_far_copy_that_is_out_of_reach_holds_nobody_up() -> None:
    chain = Chain(6)
    chain.cut()
    before = chain.cluster.world.now
    chain.write(list(range(20)))
    assert chain.cluster.world.now - before < 1.0
    assert chain.cluster.primary.core.feeders[chain.link].replicating


def test_the_journal_gives_back_what_every_far_copy_has() -> None:
    """D4, F1: it is kept for a hop, and no longer than that."""
    chain = Chain(8)
    chain.cut()
    for _ in range(40):
        chain.write(list(range(8)))
    chain.relayed()
    kept = chain.relay.journal.segments.bytes_used
    assert kept > 40 * 8 * 512
    chain.bytes_until_converged()
    chain.until(lambda: chain.relay.journal.segments.bytes_used < kept // 4)


def test_a_journal_is_kept_for_a_far_copy_within_the_bound_of_its_queue() -> None:
    """F1: beyond it the hop logs, and what the journal had for it is given back."""
    bound = 32 << 10
    chain = Chain(9, queue_disk=bound)
    chain.cut()
    for _ in range(60):
        chain.write(list(range(8)))
    chain.relayed()
    assert chain.feeder.state is LinkState.LOGGING
    chain.until(lambda: chain.relay.journal.segments.bytes_used <= bound + 2 * SEGMENT_BYTES)
    chain.bytes_until_converged()


def test_an_operator_compares_a_far_copy_with_the_copy_that_feeds_it() -> None:
    chain = Chain(7)
    chain.cluster.resync(chain.hop, ResyncKind.DIGEST, once=False)
    chain.until(lambda: chain.feeder.state is LinkState.RESYNCING)
    chain.write([5])
    chain.converge()
    assert (
        chain.relay.outgoing.channels[chain.hop].queued < SIZE // REGION * 16 * 1.2 + 2 * REGION + GREETINGS
    )


def test_a_part_of_the_seeds_has_chains_of_every_shape() -> None:
    shapes = {
        tuple(hop.via == chain[0].via for hop in chain) for seed in range(200) if (chain := drawn(seed).hops)
    }
    assert shapes == {(True,), (True, True), (True, False)}
    assert 20 <= sum(1 for seed in range(200) if drawn(seed).hops) <= 60
    assert any(hop.late for seed in range(200) for hop in drawn(seed).hops)
