"""The oracle's eyes on how old a copy is called (rule F3), by whoever feeds it and by itself.

Whatever the clocks of the sites show, and they are set and differ, a copy that is said to be as of a moment
has everything that was issued before that moment.
"""

from __future__ import annotations

from bisect import bisect_right

from farshore.core.feeder import Feeder
from farshore.core.links import Links
from farshore.model.options import LinkState
from sim.secondary_site import SecondarySite
from sim.site import Site
from sim.world import BrokenRule

_ROUNDING = 1e-5
_IN_ORDER = (LinkState.REPLICATING, LinkState.QUEUING)


class Ages:
    """See the module."""

    def __init__(self) -> None:
        self._last: list[int] = []
        """Of each frame that was issued."""
        self._when: list[float] = []

    def issued(self, last: int, now: float) -> None:
        """The primary has given sequences up to `last`."""
        self._last.append(last)
        self._when.append(now)

    def of_peer(self, site: Site, links: Links, feeder: Feeder) -> None:
        """What a link's end at `site` says of its peer."""
        known = feeder.counted and (feeder.shared.relaying or feeder.state in _IN_ORDER)
        if known and (age := links.age(feeder.acked.applied)) is not None:
            self._check(site, links.outbox.now, age, feeder.acked.applied)

    def of_itself(self, site: SecondarySite) -> None:
        """What a secondary says of itself."""
        core = site.core
        if core.consistent and (age := core.age(core.applied)) is not None:
            self._check(site, core.outbox.now, age, core.applied)

    def _check(self, site: Site, now: float, age: float, has: int) -> None:
        shown, _ = site.clock()
        moment = site.world.now - (shown - now) - age
        place = bisect_right(self._last, has)
        if place < len(self._when) and moment > self._when[place] + _ROUNDING:
            raise BrokenRule(
                "F3",
                f"{site.name} calls a copy at {has} as of {moment:.6f}, which lacks"
                f" {self._last[place]} of {self._when[place]:.6f}",
            )
