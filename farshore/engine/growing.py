"""Carries out what a growing volume takes. Room is made in a lane of its own for each volume, beside its
writes, all of which lie before what is added; who opens the volume from then on sees its new size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from farshore.core.actions import Action
from farshore.core.resize_actions import MakeRoom, VolumeGrown
from farshore.engine.carrier import Carrier
from farshore.engine.pool import Pool, errno_of
from farshore.engine.stored_copy import StoredCopy


def _nobody(_volume: int, _size: int) -> None:
    """Nobody opens a secondary's volumes."""


def growing(
    stored: StoredCopy,
    pool: Pool,
    carrier: Carrier,
    made: Callable[[int, int], list[Action]],
    shown: Callable[[int, int], None] = _nobody,
) -> dict[type, Callable[[Any], None]]:
    """What a copy's table of actions gains. `made` is told how making room ended, `shown` a volume's new
    size."""
    report = carrier.reporting(made)

    def make_room(action: MakeRoom) -> None:
        job = partial(stored.volumes[action.volume].make_room, action.start, action.size)
        pool.submit(("room", action.volume), job, lambda result: report(action.ticket, errno_of(result)))

    def grown(action: VolumeGrown) -> None:
        stored.volumes[action.volume].size = action.size
        shown(action.volume, action.size)

    return {MakeRoom: make_room, VolumeGrown: grown}
