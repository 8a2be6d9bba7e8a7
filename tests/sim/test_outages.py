"""Single outages on simulated lines and disks: what travels afterwards, and who may not come back."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from farshore.core.geometry import Geometry
from farshore.errors import FarshoreError
from farshore.model.options import LinkState, Writes
from sim.cluster import Cluster
from sim.oracle import Follower
from sim.points import small_life
from sim.site import STATE

REGION, EXTENT, SIZE = 4 << 10, 64 << 10, 1 << 20
DIGEST_BYTES = 16
ROOT = Path(__file__).resolve().parents[2]


class Outage:
    """A primary and a secondary that hold the same, with an application that writes when it is told."""

    def __init__(self, seed: int) -> None:
        life = small_life(seed)
        options = replace(
            life,
            geometry=Geometry({1: SIZE}, region=REGION, extent=EXTENT),
            habits=replace(life.habits, sizes={1: SIZE}),
            hot_capacity=8,
        )
        self.cluster = Cluster(options)
        self.cluster.app.stop()
        (self.link,) = self.cluster.secondaries
        for site in self.cluster.sites:
            self.cluster.start(site)
        self.converge()

    @property
    def follower(self) -> Follower:
        return self.cluster.oracle.followers[self.link]

    @property
    def state(self) -> LinkState:
        return self.cluster.primary.core.feeders[self.link].state

    def until(self, condition: object) -> None:
        assert callable(condition)
        self.cluster.pass_time(condition, 30.0, "the condition of the test")

    def converge(self) -> None:
        self.until(lambda: self.cluster.primary.running and not self.cluster.why())

    def write(self, regions: list[int]) -> None:
        """One sector in each of these regions, acknowledged."""
        for region in regions:
            self.cluster.app.write(1, region * REGION, 512)
        self.until(lambda: self.cluster.app.idle)

    def cut(self) -> None:
        self.cluster.net.cut(self.link)
        self.until(lambda: self.state is LinkState.LOGGING)

    def bytes_until_converged(self) -> int:
        """What the primary sends on the new connection until both copies are equal."""
        self.cluster.net.heal(self.link)
        self.converge()
        return self.cluster.primary.outgoing.channels[self.link].queued


@pytest.mark.parametrize("changed", [1, 20, 100, 250])
def test_after_an_outage_at_most_the_changed_regions_and_a_tenth_travel(changed: int) -> None:
    outage = Outage(1)
    outage.cut()
    outage.write(Random(changed).sample(range(SIZE // REGION), changed))
    sent = outage.bytes_until_converged()
    greetings = 1_500
    assert changed * REGION < sent <= 1.1 * changed * REGION + greetings


def test_after_a_crash_suspects_cost_their_digests_only() -> None:
    outage = Outage(2)
    outage.write([0, 1, 2, 40, 41])
    hot = {(0, 0), (0, 2)}
    outage.cluster.primary.die(False)
    outage.until(lambda: outage.cluster.primary.running)
    sent = outage.bytes_until_converged()
    suspects = len(hot) * EXTENT // REGION
    assert suspects * DIGEST_BYTES < sent <= 2 * suspects * DIGEST_BYTES + 2_500


def test_a_stopped_primary_that_starts_again_sends_nothing_anew() -> None:
    outage = Outage(3)
    outage.write([3, 4, 5])
    primary = outage.cluster.primary
    stopped = primary.core
    primary.turn(primary.stop)
    outage.until(lambda: primary.running and primary.core is not stopped)
    assert stopped.keeper.header.clean
    assert outage.bytes_until_converged() < 1_500


def test_a_primary_with_an_old_state_directory_writes_nothing_and_sends_nothing() -> None:
    """D1, D3, D6: it mints a generation of its own over a past that the peer has left behind."""
    outage = Outage(4)
    primary = outage.cluster.primary
    backup = primary.disk.copy_of(STATE)
    for round_ in range(2):
        outage.write([round_, 7])
        primary.die(False)
        outage.until(lambda: primary.running)
        outage.converge()
    before = {volume: bytes(image) for volume, image in outage.follower.site.images().items()}
    outage.follower.tampered = True
    primary.die(True)
    primary.disk.restore(STATE, backup)
    outage.until(lambda: primary.running and outage.state is LinkState.DIVERGED)
    request = outage.cluster.app.write(1, 0, 512)
    outage.until(lambda: request.errno is not None)
    assert request.errno
    assert primary.core.writable is Writes.REFUSED
    assert {volume: bytes(image) for volume, image in outage.follower.site.images().items()} == before


def test_a_peer_that_lost_its_state_is_diverged_and_untouched() -> None:
    outage = Outage(5)
    site = outage.follower.site
    outage.follower.tampered = outage.follower.stranger = True
    site.die(True)
    site.disk.restore(STATE, {})
    site.create(bytes(range(16)))
    before = {volume: bytes(image) for volume, image in site.images().items()}
    outage.until(lambda: outage.state is LinkState.DIVERGED)
    outage.write([9])
    assert {volume: bytes(image) for volume, image in site.images().items()} == before


def test_two_processes_cannot_use_one_state_directory() -> None:
    outage = Outage(6)
    with pytest.raises(FarshoreError, match="locked"):
        outage.cluster.primary.files.lock(f"{STATE}/lock")


def test_a_seed_is_the_same_run_whatever_the_hashes_of_strings_are() -> None:
    command = [sys.executable, "-m", "sim", "--seed", "11"]
    outputs = [
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=100,
        ).stdout
        for seed in ("1", "2")
    ]
    assert "fingerprint=" in outputs[0]
    assert outputs[0] == outputs[1]
