"""Directed runs of chains: a primary, a relay in step with it, a far copy behind that (see `sim.scene`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from farshore.core.feeder import Feeder
from farshore.core.geometry import Geometry
from farshore.model.options import LinkOptions, LinkSpec, LinkState
from sim.options import Hop
from sim.points import small_life
from sim.relay_site import RelaySite
from sim.scene import REGION, REGIONS, Scene

_ROUNDS = 4
_MOST_WRITES = 200
_HOP = "hop0"


def _relay(scene: Scene) -> RelaySite:
    assert isinstance(scene.peer, RelaySite)
    return scene.peer


def _hop(scene: Scene) -> Feeder:
    (feeder,) = _relay(scene).core.relay.feeders.values()
    return feeder


def _cut_off(scene: Scene) -> None:
    """The far copy is out of reach, and the relay has noticed."""
    scene.net.cut(_hop(scene).id)
    scene.until(lambda: _hop(scene).state in (LinkState.LOGGING, LinkState.QUEUING))


def a_far_copy_comes_back_while_frames_come(scene: Scene) -> None:
    """What a hop reads in the journal leaves only if it is durable there (B6)."""
    for _ in range(_ROUNDS):
        _cut_off(scene)
        scene.written()
        _relay(scene).steps.slowest = 0.1
        scene.net.heal(_hop(scene).id)
        for _ in range(_MOST_WRITES):
            scene.written(1)
            if _hop(scene).replicating:
                break
        _relay(scene).steps.slowest = 0.002
        scene.in_step()


def power_fails_at_a_relay_that_keeps_frames(scene: Scene) -> None:
    """What a relay keeps for a far copy survives its power (D4)."""
    for machine in (True, False) * (_ROUNDS // 2):
        _cut_off(scene)
        scene.written()
        _relay(scene).die(machine)
        scene.net.heal(scene.options.hops[0].spec.id)
        scene.in_step()


def power_fails_after_a_relay_was_resynced(scene: Scene) -> None:
    """What a resync has changed at a relay is known to its hops, whatever happens then (B6)."""
    for _ in range(_ROUNDS):
        _cut_off(scene)
        scene.written_apart(12)
        scene.resyncing()
        scene.until(lambda: scene.feeder.replicating)
        _relay(scene).die(True)
        scene.net.heal(scene.options.hops[0].spec.id)
        scene.in_step()


def chained(script: Callable[[Scene], None], **hop: Any) -> Callable[[int], Scene]:
    """Makes the run of a seed; `hop`: options in which the hop is not as by default."""

    def make(seed: int) -> Scene:
        life = small_life(seed)
        spec = LinkSpec(Random(f"hop {seed}").randbytes(16), _HOP, "1" * 64, LinkOptions(**hop))
        geometry = Geometry({1: REGIONS * REGION}, region=REGION, extent=4 * REGION)
        hops = (Hop(life.links[0].id, spec),)
        return Scene(replace(life, geometry=geometry, cuts=False, hops=hops), script)

    return make
