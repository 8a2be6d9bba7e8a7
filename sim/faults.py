"""The faults of a run: what strikes whom, how hard and for how long, one after the other.

Each fault of the table is a method; its weight says how often it is drawn. What a fault breaks
heals by itself after a while, or is mended by the cluster's operator.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from farshore.model.options import AckLevel, Apply, Mode, OnFull, OnOutage, ResyncKind
from sim.cluster import Cluster
from sim.disk import Strike
from sim.relay_site import RelaySite
from sim.secondary_site import SecondarySite
from sim.site import Site
from sim.steps import Doom, Phase
from sim.tampering import Tampering
from sim.world import Life

_PRIMARY_LANES: Final = ("", "write", "sync", "header", "activity", "board", "open", "queue", "preserve")
_SECONDARY_LANES: Final = (
    *("", "apply", "fill", "sync", "header", "position", "open"),
    *("append", "journal", "replay"),
)
_PRIMARY_FILES: Final = (".img", "header", "activity", ".board", ".seg", ".layer")
_SECONDARY_FILES: Final = (".img", "header", "position", ".seg", ".layer")
_RELAY_LANES: Final = (*_SECONDARY_LANES, "board", "recall")
_RELAY_FILES: Final = (*_SECONDARY_FILES, ".board")


def _lanes(site: Site) -> tuple[str, ...]:
    if isinstance(site, RelaySite):
        return _RELAY_LANES
    return _SECONDARY_LANES if isinstance(site, SecondarySite) else _PRIMARY_LANES


def _files(site: Site) -> tuple[str, ...]:
    if isinstance(site, RelaySite):
        return _RELAY_FILES
    return _SECONDARY_FILES if isinstance(site, SecondarySite) else _PRIMARY_FILES


class Faults:
    """Strikes until it is stopped."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.life = Life("faults")
        self._table: tuple[tuple[int, Callable[[], bool]], ...] = (
            (10, self.kill),
            (8, self.crash),
            (2, self.crash_all),
            (14, self.doom),
            (10, self.cut),
            (7, self.half_open),
            (7, self.hold),
            (4, self.replay),
            (6, self.strike),
            (6, self.stall),
            (5, self.pause),
            (4, self.resync),
            (4, self.restart),
            (2, self.jump),
            (2, self.peer_back),
            (2, self.change),
            (3, self.slow_disk),
            *self._tampering(),
        )
        only = cluster.options.only
        self._table = tuple(each for each in self._table if not only or each[1].__name__ in only)
        self._weights = [weight for weight, _ in self._table]
        self._next()

    def _tampering(self) -> list[tuple[int, Callable[[], bool]]]:
        if not self.cluster.options.tampering:
            return []
        tampering = Tampering(self.cluster)
        return [(14, tampering.back_up), (14, tampering.strike)]

    @property
    def enough(self) -> bool:
        """As many faults as the run asks for."""
        return self.cluster.faults >= self.cluster.options.faults

    def stop(self) -> None:
        """No more of them."""
        self.life.alive = False

    def _next(self) -> None:
        quick = self.world.chance(0.25)
        wait = (
            self.world.between(0.0, 0.1) if quick else self.world.between(0.1, self.cluster.options.between)
        )
        self.world.after(wait, self.life, self._strike)

    def _strike(self) -> None:
        ((_, fault),) = self.world.random.choices(self._table, self._weights)
        if fault():
            self.cluster.faults += 1
            self.world.reach(f"fault {fault.__name__}")
        self._next()

    def _site(self) -> Site:
        sites = self.cluster.sites
        return sites[0] if self.world.chance(0.5) else self.world.random.choice(sites[1:])

    def _link(self) -> bytes:
        return self.world.random.choice(list(self.cluster.secondaries))

    # -- processes and machines -------------------------------------------------------------------

    def kill(self) -> bool:
        """kill -9."""
        site = self._site()
        if site.running:
            site.die(False)
            return True
        return False

    def crash(self) -> bool:
        """Power loss of one machine, whether a process runs on it or not."""
        site = self._site()
        was_running = site.running
        site.die(True)
        return was_running

    def crash_all(self) -> bool:
        """Power loss everywhere."""
        for site in self.cluster.sites:
            site.die(True)
        return True

    def doom(self) -> bool:
        """A death before, in or after one of the next durable steps of some kind."""
        site, random = self._site(), self.world.random
        if not site.running or site.steps.doom is not None:
            return False
        lane = random.choice(_lanes(site))
        phase = random.choice(list(Phase))
        doom = Doom(lane, random.choice((1, 1, 2, 4)), phase, machine=self.world.chance(0.5))
        self.world.note(site.name, "doom", doom)
        if lane in ("open", "replay", "recall"):
            site.next_doom = doom
            site.die(self.world.chance(0.3))
        else:
            site.steps.doom = doom
        return True

    def stall(self) -> bool:
        """A stopped process or a suspended machine: it goes on later as if nothing had been."""
        site = self._site()
        if not site.running:
            return False
        duration = self.world.between(0.05, 3.0)
        self.world.note(site.name, "stalls for", round(duration, 3))
        site.life.stalled_until = self.world.now + duration
        return True

    def restart(self) -> bool:
        """A clean stop; the process is started again soon."""
        site = self._site()
        if not site.running:
            return False
        self.world.note(site.name, "is asked to stop")
        site.turn(site.stop)
        return True

    def jump(self) -> bool:
        """The wall clock is set."""
        self._site().wall_skew += self.world.random.choice((-86400.0, -3.0, 2.0, 7200.0))
        return True

    # -- disks ------------------------------------------------------------------------------------

    def strike(self) -> bool:
        """One of the next operations of a disk fails."""
        site, random = self._site(), self.world.random
        operation = random.choice(("pwrite", "pwrite", "fdatasync", "pread"))
        code = errno.ENOSPC if operation == "pwrite" and self.world.chance(0.4) else errno.EIO
        strike = Strike(operation, random.choice(_files(site)), code)
        if len(site.disk.strikes) > 2:
            return False
        self.world.note(site.name, "strike", strike)
        site.disk.strikes.append(strike)
        return True

    def slow_disk(self) -> bool:
        """A disk takes its time for a while."""
        site = self._site()
        if not site.running:
            return False
        steps, before = site.steps, site.steps.slowest
        steps.slowest = 0.3

        def recover() -> None:
            steps.slowest = before

        self.world.after(self.world.between(0.1, 2.0), self.cluster.operator, recover)
        return True

    # -- lines ------------------------------------------------------------------------------------

    def cut(self) -> bool:
        """The line breaks, and comes back later."""
        link = self._link()
        if not self.cluster.net.lines[link].up:
            return False
        self.world.note("line", "cut", link)
        self.cluster.net.cut(link)
        self.world.after(self.world.between(0.02, 3.0), self.cluster.operator, self.cluster.net.heal, link)
        return True

    def half_open(self) -> bool:
        """A connection swallows what is sent on it."""
        return self.cluster.net.half_open(self._link())

    def hold(self) -> bool:
        """Bytes are late, later than the peers' patience at times."""
        self.cluster.net.hold(self._link(), self.world.between(0.05, 3.0))
        return True

    def replay(self) -> bool:
        """Somebody says again what a feeder said on an earlier connection."""
        return self.cluster.net.replay(self._link())

    # -- operators --------------------------------------------------------------------------------

    def pause(self) -> bool:
        """The operator pauses a link, and resumes it later."""
        if not self.cluster.primary.running:
            return False
        link = self._link()
        if self.cluster.links(link) is None:
            return False
        self.cluster.pause(link, drain=self.world.chance(0.5))
        wait = self.world.between(0.05, 3.0)
        self.world.after(wait, self.life, self._resume, link)
        return True

    def _resume(self, link: bytes) -> None:
        if self.cluster.links(link) is not None and not self.cluster.oracle.followers[link].tampered:
            self.cluster.resync(link, ResyncKind.UPDATE, once=False)

    def resync(self) -> bool:
        """The operator asks for a resync of some kind."""
        link = self._link()
        if self.cluster.links(link) is None or self.cluster.oracle.followers[link].tampered:
            return False
        kind = self.world.random.choice(list(ResyncKind))
        once = self.world.chance(0.25)
        self.cluster.resync(link, kind, once=once)
        if once:
            self.world.after(self.world.between(0.5, 3.0), self.life, self._resume, link)
        return True

    def change(self) -> bool:
        """The operator changes a link's options."""
        random, link = self.world.random, self._link()
        feeder = self.cluster.feeder_of(link)
        if feeder is None:
            return False
        old = feeder.spec
        options = replace(
            old.options,
            mode=random.choice(list(Mode)),
            ack=random.choice(list(AckLevel)),
            on_outage=random.choice((OnOutage.CONTINUE, OnOutage.CONTINUE, OnOutage.FREEZE)),
            apply=random.choice(list(Apply)),
            queue_disk=random.choice((0, 16 << 10, 64 << 10, 512 << 10)),
            on_full=random.choice((OnFull.LOG, OnFull.LOG, OnFull.BLOCK)),
        )
        new = replace(old, options=options)
        self.world.note("operator", "changes", link, options)
        return self.cluster.change(new)

    def peer_back(self) -> bool:
        """The host's network says that the line is back."""
        return self.cluster.primary.running and self.cluster.peer_back(self._link())
