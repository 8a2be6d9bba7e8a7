"""Scripts about the layers of a primary; see `sim.scene`."""

from __future__ import annotations

import errno

from farshore.core.moment import Wish
from farshore.model.layers import LayerKind
from sim.disk import Strike
from sim.scene import Scene

_ROUNDS = 4


def _begin_layer(scene: Scene) -> None:
    """A rescue at the primary, which nothing makes give way."""
    core, begun = scene.primary.core, list[bool]()
    take = core.keeping.moment.take
    wish = Wish(LayerKind.RESCUE, "kept", 1)
    scene.primary.turn(take, wish, lambda layer, _: begun.append(layer is not None))
    scene.until(lambda: begun)


def a_primary_is_killed_while_it_saves(scene: Scene) -> None:
    """What a layer lacks was not overwritten, whenever the primary dies, and with whatever (E1)."""
    for number in range(_ROUNDS):
        _begin_layer(scene)
        scene.write(12)
        scene.let_pass(scene.world.between(0.0, 0.01))
        scene.primary.die(number % 2 == 0)
        scene.in_step()


def a_store_is_full_at_a_primary(scene: Scene) -> None:
    """Writes go on; first it is durable that the layers are broken (E2)."""
    for number in range(_ROUNDS):
        _begin_layer(scene)
        scene.primary.disk.strikes.append(Strike("pwrite", ".layer", errno.ENOSPC))
        scene.write(12)
        if number % 2:
            scene.answered()
        else:
            scene.let_pass(scene.world.between(0.0, 0.01))
        scene.primary.disk.strikes.clear()
        scene.primary.die(True)
        scene.in_step()


def a_primary_cannot_read_what_it_overwrites(scene: Scene) -> None:
    """Its layers lack those regions and nothing else, and writes go on (E1, C3)."""
    for number in range(_ROUNDS):
        _begin_layer(scene)
        for _ in range(2 + number % 3):
            scene.primary.disk.strikes.append(Strike("pread", ".img", errno.EIO))
        scene.write(8)
        scene.answered()
        scene.primary.disk.strikes.clear()
        scene.primary.die(number % 2 == 0)
        scene.in_step()


def a_store_cannot_be_opened_for_a_while(scene: Scene) -> None:
    """A primary starts without it, and nobody believes its layers afterwards."""
    for _ in range(_ROUNDS):
        _begin_layer(scene)
        scene.primary.disk.strikes.append(Strike("pread", ".layer", errno.EIO))
        scene.primary.die(False)
        scene.until(lambda: scene.primary.running)
        scene.in_step()
        scene.write(4)
        scene.answered()
        scene.primary.die(False)
        scene.in_step()


def a_layer_begins_under_load(scene: Scene) -> None:
    """It shows everything up to its cut, and nothing behind it (H)."""
    for _ in range(_ROUNDS):
        scene.write(12)
        _begin_layer(scene)
        scene.write(6)
        scene.answered()
