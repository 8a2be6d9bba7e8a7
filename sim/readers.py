"""Somebody who reads a secondary's volumes, at any moment, as `core/showing` lets him (rules B3, E1, H).

What he is shown has to be one state that the primary once had, also while a resync is open: then it is the
state from before, and its undo shows it. It is derived from the truth alone, whatever the copy says of
itself.
"""

from __future__ import annotations

import contextlib

from farshore.core import showing
from farshore.model.positions import Position
from sim.prefix import Prefix
from sim.secondary_site import SecondarySite
from sim.truth import Truth
from sim.world import BrokenRule

_EVERY = 16
"""Looks of which one reads a whole undo."""


class Reader:
    """Of one copy."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._known: set[bytes] = set()
        """Undos whose state has been found to be one of the primary's."""
        self._looks = 0

    def look(self, site: SecondarySite, claimed: bool) -> None:
        """`claimed`: the oracle compares the image with what the copy claims anyway."""
        core, shown = site.core, showing.shown(site.core)
        if shown is None:
            return
        if shown == showing.LIVE:
            if not claimed:
                self._compare(site, Position(core.generation, core.applied), site.images())
            return
        site.world.reached["undos shown to readers"] += 1
        moment, head = site.preserve.moments.get(shown), core.keeper.header.history.head
        if moment is None or head is None:
            raise BrokenRule("E1", f"readers of {site.name} are shown a state that nobody has kept")
        # Of a frame that a killed process has left in part, that part is shown.
        if shown not in self._known and core.keeper.header.loose_until <= head.sequence:
            self._compare(site, head, {volume: bytearray(image) for volume, image in moment.items()})
            self._known.add(shown)
        self._looks += 1
        if self._looks % _EVERY == 0:
            with contextlib.suppress(OSError):  # of a disk: a reader hears of it, and is shown nothing
                site.preserve.check()

    def _compare(self, site: SecondarySite, position: Position, images: dict[int, bytearray]) -> None:
        try:
            Prefix(self._truth).claimed(position, images)
        except BrokenRule as broken:
            text = f"readers of {site.name} are shown no state of the primary: {broken}"
            raise BrokenRule("H", text) from broken
