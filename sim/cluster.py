"""One run: a primary, its secondaries, the lines, the application, the faults, the oracle.

A run has three parts. In the storm the application writes and the faults strike; in the calm nothing
more is broken, what is dead is started again and what an operator would mend is mended; at the end
everything has to have converged (rule F2), and a clean stop and start has to lose nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from farshore.core.actions import Action
from farshore.core.feeder import Feeder
from farshore.core.links import Links
from farshore.errors import FarshoreError
from farshore.model.options import LinkSpec, LinkState, Mode, Reason, ResyncKind
from sim import stamps
from sim.app import Application, Request
from sim.disk import SECTOR
from sim.net import Line, Net
from sim.options import TIMING, Hop, Options
from sim.oracle import Oracle
from sim.primary_site import PrimaryPlan, PrimarySite
from sim.relay_site import RelaySite
from sim.secondary_site import SecondaryPlan, SecondarySite
from sim.site import Place, Site
from sim.truth import Truth
from sim.wishes import Wishes
from sim.world import BrokenRule, Life, World

_STEPS_BETWEEN_CHECKS: Final = 40
_LONGEST: Final = 400_000
"""Steps of the longest run: more is a run that gets nowhere."""
_STORM: Final = 300.0
"""Seconds after which a storm has to have come to its end."""


@dataclass(slots=True)
class Report:
    """How a run ended."""

    seed: int
    writes: int
    faults: int
    seconds: float
    """Virtual."""
    reached: dict[str, int]
    fingerprint: int
    """Equal for every run of this seed."""


class Cluster:
    """See the module."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.world = World(options.seed)
        self.net = Net(self.world, options.slow_line, options.window)
        self.calm = False
        self.faults = 0
        self.operator = Life("operator")
        self.restart_within = 1.0
        self.keep_down = False
        sizes = options.geometry.sizes
        place = Place(self.world, self.net, sizes, self._died)
        group = self.world.random.randbytes(16)
        content = self._content()
        self.truth = Truth(content)
        plan = PrimaryPlan(
            options.geometry,
            options.links,
            options.hot_capacity,
            TIMING,
            options.on_start,
            options.reserve,
            group,
            options.ignored,
        )
        self.primary = PrimarySite(place, plan)
        self._wishes = Wishes(self.primary, self._operate)
        self.oracle = self.primary.witness = Oracle(self.world, self.primary, self.truth)
        self.primary.format(content)
        self.primary.create(self.world.random.randbytes(16))
        self.secondaries: dict[bytes, SecondarySite] = {}
        self._fed_by: dict[bytes, RelaySite] = {}
        """The sites whose links are hops."""
        for link in (*options.links, *[hop.spec for hop in options.hops]):
            self._add(place, link, group)
        self.app = Application(self.world, options.habits, self._sent, self.oracle.answered)
        self.primary.app = self.app

    def _add(self, place: Place, link: LinkSpec, group: bytes) -> None:
        """The peer of a link, which is also where its hops start."""
        options = self.options
        plan = SecondaryPlan(options.geometry, link.id, TIMING, group, options.journals)
        hops = tuple(hop.spec for hop in options.hops if hop.via == link.id)
        site: SecondarySite
        if hops:
            site = relay = RelaySite(place, plan, f"at-{link.name}", hops)
            relay.witness = self.oracle
            self._fed_by.update((hop.id, relay) for hop in hops)
            relay.hops = tuple(hop.spec for hop in options.hops if hop.via == link.id and not hop.late)
        else:
            site = SecondarySite(place, plan, f"at-{link.name}")
            site.witness = self.oracle
        site.format({volume: bytes(size) for volume, size in place.sizes.items()})
        site.create(self.world.random.randbytes(16))
        self.net.lines[link.id] = Line(link.id)
        self.secondaries[link.id] = site
        self.oracle.follow(link, site, self._fed_by.get(link.id))

    def _content(self) -> dict[int, bytes]:
        """What stands on the primary's volumes at first: nothing, or older writes with gaps."""
        random = Random(f"content {self.options.seed}")
        content: dict[int, bytes] = {}
        for volume, size in self.options.geometry.sizes.items():
            image = bytearray(size)
            for sector in range(size // SECTOR):
                if self.options.prefilled and random.random() < 0.6:
                    at = sector * SECTOR
                    image[at : at + SECTOR] = stamps.stamp(volume, sector, (1 << 40) + sector)
            content[volume] = bytes(image)
        return content

    def _sent(self, request: Request) -> None:
        if request.operation[3]:
            self.truth.sent(request)

    @property
    def sites(self) -> list[Site]:
        """All of them, the primary first."""
        return [self.primary, *self.secondaries.values()]

    # -- dying and starting -----------------------------------------------------------------------

    def _died(self, site: Site, machine: bool) -> None:
        if site is self.primary:
            self.app.connect(None)
            self.oracle.primary_died(machine)
        else:
            self.oracle.secondary_died(site, machine)
        during = self._during(site)
        self.world.reach(f"{'machine crash' if machine else 'process end'} {site.role}{during}")
        if during and isinstance(site, RelaySite):
            self.world.reach("relay killed in a resync")
        wait = self.world.between(0.02, self.restart_within)
        self.world.after(wait, self.operator, self.start, site)

    def _during(self, site: Site) -> str:
        """What a death has interrupted."""
        if not site.was_up:
            return ""
        if isinstance(site, SecondarySite):
            return " in a resync" if site.header_file.header.resync is not None else ""
        feeders = self.primary.core.feeders.values()
        return " in a resync" if any(each.state is LinkState.RESYNCING for each in feeders) else ""

    def start(self, site: Site) -> None:
        """Starts a site's process unless it runs."""
        if site.running:
            return
        if self.keep_down:
            self.world.after(0.1, self.operator, self.start, site)
            return
        site.latency = self.options.slow_disk
        self.world.note(site.name, "starts")
        if site.start() and site is self.primary:
            self.app.connect(self.primary)

    # -- the operator -------------------------------------------------------------------------------

    def _tend(self) -> None:
        """What an operator does about what does not mend itself."""
        self.world.after(0.3, self.operator, self._tend)
        for site in self.sites:
            if not site.running:
                continue
            if site.faulted:
                self.world.reach(f"faulted {site.role}")
                if isinstance(site, PrimarySite) and self.world.chance(0.7):
                    site.repair()
                else:
                    site.die(site.power_failed or self.world.chance(0.5))
        self._tend_links()
        if self.primary.running and self.options.cuts:
            self._wishes.cut(self.options.snapshots)
        if self.primary.running and self.options.layers:
            self._wishes.tend()
        for each in self.secondaries.values():
            if each.running and self.options.snapshots:
                each.preserve.tidy()

    def _make(self, hop: Hop) -> None:
        """The operator makes a hop."""
        site = self._fed_by[hop.spec.id]
        if site.add_hop(hop.spec):
            self.world.reach("hop made while frames come" if site.core.journal.active else "hop made")
        else:
            self.world.after(0.1, self.operator, self._make, hop)

    def feeding_site(self, link: bytes) -> PrimarySite | RelaySite:
        """Where a link starts."""
        return self._fed_by.get(link, self.primary)

    def links(self, link: bytes) -> Links | None:
        """The core that has this link; None while it is down or does not know its links yet."""
        site = self.feeding_site(link)
        if not site.running:
            return None
        links = site.core.relay if isinstance(site, RelaySite) else site.core
        return links if link in links.feeders else None

    def feeder_of(self, link: bytes) -> Feeder | None:
        """The near end of a link, while it is there."""
        links = self.links(link)
        return None if links is None else links.feeders[link]

    def _tend_links(self) -> None:
        for link in self.secondaries:
            feeder, links = self.feeder_of(link), self.links(link)
            if feeder is None or links is None:
                continue
            tampered = self.oracle.followers[link].tampered
            if feeder.state is LinkState.DIVERGED and not tampered:
                raise BrokenRule("D2", f"link {feeder.spec.name} diverged: {feeder.why}")
            full = feeder.standing.reason is Reason.STORE_FULL
            waits = feeder.record.paused or full
            site = self.secondaries[link]
            if self.calm and full and site.running and site.preserve.unusable:
                if self.world.chance(0.5):
                    site.turn(site.stop)  # the next process can open the store
                else:
                    self._operate(self.feeding_site(link), links.resync, link, ResyncKind.UPDATE, False, True)
            elif feeder.state is LinkState.FAILED or (self.calm and waits):
                self.resync(link, ResyncKind.UPDATE, once=False)

    def resync(self, link: bytes, kind: ResyncKind, *, once: bool) -> None:
        """The operator's `resync`."""
        self.world.note("operator", "resync", link, kind.value, once)
        if (links := self.links(link)) is not None:
            self._operate(self.feeding_site(link), links.resync, link, kind, once)

    def pause(self, link: bytes, *, drain: bool) -> None:
        """The operator's `pause`."""
        self.world.note("operator", "pause", link, drain)
        if (links := self.links(link)) is not None:
            self._operate(self.feeding_site(link), links.pause, link, drain, 1.0)

    def change(self, spec: LinkSpec) -> bool:
        """The operator's `link set`; False when it was refused."""
        links, site = self.links(spec.id), self.feeding_site(spec.id)
        if links is None or not self._operate(site, links.change_link, spec):
            return False
        site.respecify(spec)
        return True

    def peer_back(self, link: bytes) -> bool:
        """The host's network says that a line is back; False when there is nobody to hear it."""
        links = self.links(link)
        return links is not None and self._operate(self.feeding_site(link), links.peer_back, link)

    def _operate(self, site: Site, do: Callable[..., list[Action]], *arguments: object) -> bool:
        """False: a freeze link refused what would stop the application, or writes do not flow for a cut."""
        try:
            site.turn(do, *arguments)
        except FarshoreError as error:
            if error.code.name not in ("plan-needed", "wrong-state", "faulted", "exists"):
                raise
            known = {"plan-needed": "refused without a plan", "faulted": "refused while faulted"}
            self.world.reach(known.get(error.code.name, "refused a cut"))
            return False
        return True

    # -- the run ------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Storm, calm, end. Raises BrokenRule."""
        for site in (*self.secondaries.values(), self.primary):
            self.start(site)
        self.world.after(0.3, self.operator, self._tend)
        for hop in self.options.hops:
            if hop.late:
                self.world.after(self.world.between(0.2, 8.0), self.operator, self._make, hop)
        self.storm()
        self.calm_down()
        self.pass_time(lambda: self.settled, self.options.calm, "convergence")
        self._stop_and_start()
        return Report(
            self.options.seed,
            self.app.writes,
            self.faults,
            self.world.now,
            dict(self.world.reached),
            self.world.fingerprint,
        )

    def storm(self) -> None:
        """Everything that happens before the calm."""
        from sim.faults import Faults

        if self.options.faults:
            faults = Faults(self)
            self.pass_time(lambda: faults.enough and self._written, _STORM, "the storm")
            faults.stop()
        else:
            self.pass_time(lambda: self._written, _STORM, "the end of all writes")

    @property
    def _written(self) -> bool:
        """As much as the run asks for; a freeze link whose peer diverged lets nothing more through."""
        if self.options.tampering and not any(each.tampered for each in self.oracle.followers.values()):
            return False
        return self.app.writes >= self.options.writes or self._stuck

    @property
    def _stuck(self) -> bool:
        """A peer that was tampered with keeps writes from flowing until somebody makes a plan."""
        if not self.primary.was_up:
            return False
        core = self.primary.core
        return bool(core.fenced) or any(
            follower.tampered and core.feeders[link].state is LinkState.DIVERGED
            for link, follower in self.oracle.direct.items()
        )

    def calm_down(self) -> None:
        """Nothing is broken any more, and the application stops."""
        self.calm = True
        self.world.note("*", "calm")
        self.app.stop()
        for link, line in self.net.lines.items():
            self.net.heal(link)
            line.held_until = 0.0
        for site in self.sites:
            site.disk.strikes.clear()
            site.life.stalled_until = 0.0
            if site.running and self.options.faults:
                site.steps.doom = None

    @property
    def settled(self) -> bool:
        """Everybody runs, and nothing is missing for convergence."""
        return self.primary.running and all(site.running for site in self.sites) and not self.why()

    def why(self) -> str:
        """What is missing for convergence; empty when nothing is."""
        if not self.primary.running:
            return "the primary is down"
        if not self.app.idle and not self._stuck:
            return "the application waits for answers"
        return self.oracle.converged()

    def _stop_and_start(self) -> None:
        """A clean stop leaves everything as it is, and the links resume without a copy."""
        self.keep_down = True
        for site in self.sites:
            site.turn(site.stop)
        self.pass_time(lambda: not any(site.running for site in self.sites), 20.0, "a clean stop")
        self.keep_down = False
        self.pass_time(lambda: self.settled, self.options.calm, "convergence after a clean stop")

    def pass_time(self, until: Callable[[], bool], within: float, what: str) -> None:
        """Lets things happen until a condition holds."""
        deadline = self.world.now + within
        steps = 0
        while not (steps % 5 == 0 and until()):
            steps += 1
            if not self.world.step() or self.world.now > deadline or self.world.steps > _LONGEST:
                raise BrokenRule("F2", f"{what} was not reached within {within:g} s: {self.why()}")
            if steps % _STEPS_BETWEEN_CHECKS == 0:
                self.oracle.check()


def is_sync(options: Options, link: bytes) -> bool:
    """Whether acknowledgements wait for this link."""
    return any(each.id == link and each.options.mode is Mode.SYNC for each in options.links)
