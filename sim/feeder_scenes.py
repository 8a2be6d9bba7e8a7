"""Directed runs about who may feed a copy (rule B8; see `sim.scene`)."""

from __future__ import annotations

from dataclasses import replace

from farshore.model.header import Upstream
from sim.primary_site import PrimarySite
from sim.scene import Scene
from sim.site import STATE, Place
from sim.volume import DIRECTORY

_ELSEWHERE = b"another link at "
_FOR_A_WHILE = 1.5
"""Seconds: longer than a silent session lives."""


def _write_for_a_while(scene: Scene) -> None:
    deadline = scene.world.now + _FOR_A_WHILE
    while scene.world.now < deadline:
        scene.written(1)
        scene.let_pass(0.05)


def a_state_directory_was_cloned(scene: Scene) -> None:
    """A second instance of the primary is refused as long as the first one lives (B8)."""
    for _ in range(2):
        scene.write()
        place = scene.primary.place
        quiet = Place(place.world, place.net, place.sizes, lambda _site, _machine: None)
        clone = PrimarySite(quiet, scene.primary.plan)
        for directory in (STATE, DIRECTORY):
            clone.disk.restore(directory, scene.primary.disk.copy_of(directory))
        clone.boots = scene.primary.boots
        clone.start()
        _write_for_a_while(scene)
        clone.die(False)
        scene.in_step()


def _pointed_at(scene: Scene, link: bytes, epoch: int) -> None:
    scene.peer.turn(scene.peer.core.point_at, link, epoch)
    scene.until(lambda: scene.peer.header_file.header.upstream == Upstream(link, epoch))


def a_copy_follows_another_feeder_for_a_while(scene: Scene) -> None:
    """Who fed a copy is refused from when it was pointed elsewhere until it is pointed back (B8)."""
    for _ in range(2):
        epoch = scene.feeder.spec.epoch
        _pointed_at(scene, _ELSEWHERE, epoch + 1)
        _write_for_a_while(scene)
        scene.peer.turn(scene.peer.core.point_at, scene.link, epoch + 2)
        scene.change(replace(scene.feeder.spec, epoch=epoch + 2))
        scene.in_step()
