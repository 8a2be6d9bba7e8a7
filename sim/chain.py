"""The oracle's eyes on chains: what must hold between a copy that relays and the next one behind it.

What the last copy of a chain must be, a prefix of what the primary issued, is asked of it as of every
follower. Here it is about the pair: the next copy is never ahead of what a loss of power would leave of
the one that feeds it (rule B6), and wherever the two differ, the feeder counts it dirty, by what its
process knows or by what its state directory says (rules A1, A4, D4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from farshore.core.feeder import Feeder
from farshore.core.secondary_setup import SecondarySetup
from farshore.model.options import LinkState
from sim import dirt
from sim.ages import Ages
from sim.relay_site import RelaySite
from sim.secondary_site import SecondarySite
from sim.world import BrokenRule

if TYPE_CHECKING:
    from sim.oracle import Follower


class Chain:
    """See the module."""

    def __init__(self, claims: Callable[[Feeder, Follower], bool], ages: Ages) -> None:
        self._claims = claims
        self._ages = ages
        self._hops: dict[bytes, tuple[RelaySite, Follower]] = {}

    def follow(self, link: bytes, feeder: RelaySite, follower: Follower) -> None:
        """A hop from `feeder`."""
        self._hops[link] = feeder, follower

    def tampered_with(self, site: SecondarySite) -> None:
        """What somebody does to a copy is done to everything behind it."""
        for feeder, follower in self._hops.values():
            if feeder is site:
                follower.tampered = follower.cut_off = True
                self.tampered_with(follower.site)

    def _behind(self, site: SecondarySite) -> Iterator[tuple[bytes, Follower]]:
        for link, (feeder, follower) in self._hops.items():
            made = any(hop.id == link for hop in feeder.hops)
            if feeder is site and made and not follower.tampered:
                yield link, follower

    # -- what happens -----------------------------------------------------------------------------

    def recalling(self, site: RelaySite, setup: SecondarySetup) -> None:
        """A process is about to start on what its state directory says."""
        for link, follower in self._behind(site):
            clean = dirt.differing(site, follower.site, setup.geometry)
            if clean:
                clean -= dirt.hop_dirty_on_disk(setup, link, site.journaled_operations())
            if clean:
                raise BrokenRule(
                    "A1", f"after a restart of a relay, clean on disk but differing: {dirt.listed(clean)}"
                )

    def relaying(self, site: RelaySite, link: bytes, sequence: int) -> None:
        """A frame leaves for the next copy (rule B6)."""
        if not self._hops[link][1].tampered and sequence > site.journal.replay.certain:
            raise BrokenRule("B6", f"sequence {sequence} is relayed before it is durable at {site.name}")

    def resumed(self, site: SecondarySite) -> None:
        """A process has started, and says where it stands: no earlier than any copy behind it."""
        if not isinstance(site, RelaySite) or site.header_file.header.resync is not None:
            return
        for _, follower in self._behind(site):
            if site.core.applied < follower.highest:
                raise BrokenRule(
                    "B6",
                    f"{site.name} is back at {site.core.applied}, {follower.site.name} has"
                    f" applied {follower.highest}",
                )

    # -- at any moment ----------------------------------------------------------------------------

    def check(self) -> None:
        """Rule A1 for every relay that runs."""
        for link, (site, follower) in self._hops.items():
            if follower.cut_off or not site.running or not site.core.started:
                continue
            relay = site.core.relay
            feeder = relay.feeders.get(link)
            if feeder is None:
                if any(hop.id == link for hop in site.hops):
                    raise BrokenRule("A1", f"{site.name} has forgotten a hop")
                continue
            if not self._claims(feeder, follower):
                continue
            if not follower.tampered:
                self._ages.of_peer(site, relay, feeder)
                dirt.check_findings(feeder)
            clean = dirt.differing(site, follower.site, relay.geometry)
            if clean:
                clean -= dirt.dirty_now(relay, feeder)
            if clean:
                clean -= dirt.coming(site)
            if clean:
                raise BrokenRule("A1", f"a hop's region is clean but differs: {dirt.listed(clean)}")

    def converged(self) -> str:
        """Empty when every hop is in order and equal to its feeder; else what is missing."""
        for link, (site, follower) in self._hops.items():
            if follower.cut_off:
                continue
            feeder = site.core.relay.feeders.get(link) if site.running else None
            if feeder is None:
                return f"{site.name} is not up, or has no such hop yet"
            if follower.tampered and feeder.state is LinkState.DIVERGED:
                continue
            if feeder.state is not LinkState.REPLICATING:
                return f"hop {feeder.spec.name} is {feeder.state} ({feeder.standing.reason}, {feeder.why})"
            left = dirt.dirty_now(site.core.relay, feeder)
            if left:
                return f"hop {feeder.spec.name} counts dirty: {dirt.listed(left)}"
            if site.images() != follower.site.images():
                return f"the images of hop {feeder.spec.name} differ"
        return ""
