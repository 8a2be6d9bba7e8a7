"""What people do to state directories: bring back an old one, or lose it (rules A5, D3).

A peer that comes back older than what it had acknowledged, blank, or as another copy is `diverged`
and waits for a plan; one that is merely behind is brought up to date. Whatever is decided, nothing
that differs may be counted clean from then on. One thing cannot be noticed, and is not tried: a backup
of state and volumes that was made during the very resync that is still open when it is brought back, since
that resync's id is all that proves it to be the same one (rule A4).
"""

from __future__ import annotations

from typing import Final

from farshore.model.options import LinkState
from sim.cluster import Cluster
from sim.secondary_site import SecondarySite
from sim.site import STATE
from sim.volume import DIRECTORY

_PATIENCE: Final = 4.0
_WRITES_BEFORE: Final = 200
"""What follows may have to wait for a plan: by then the run has written enough."""


class Tampering:
    """Strikes one secondary of a run, once."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.link = self.world.random.choice(list(cluster.secondaries))
        self.backups: list[tuple[bytes | None, dict[str, bytes | None]]] = []
        """Each with the resync that was open at that time."""
        self._armed = False

    @property
    def site(self) -> SecondarySite:
        """The victim."""
        return self.cluster.secondaries[self.link]

    def back_up(self) -> bool:
        """Somebody backs up the machine: its state directory, and sometimes its volumes."""
        site = self.site
        if site.running:
            backup = site.disk.copy_of(STATE)
            if self.world.chance(0.5):
                backup |= site.disk.copy_of(DIRECTORY)
            self.backups.append((self._open_resync(), backup))
        return False

    def _open_resync(self) -> bytes | None:
        resync = self.site.header_file.header.resync
        return None if resync is None else resync.id

    def strike(self) -> bool:
        """The backup is brought back, or the state directory is lost and made anew; in the middle of a
        resync if one comes along."""
        if self._armed or self.cluster.app.writes < _WRITES_BEFORE:
            return False
        self._armed = True
        self._wait(self.world.now + _PATIENCE)
        return True

    def _wait(self, deadline: float) -> None:
        """Until a resync has settled something, which then is not true any more."""
        if self.cluster.calm:
            return
        if self.world.now < deadline and not self._settled_something():
            self.world.after(0.004, self.cluster.operator, self._wait, deadline)
        else:
            self._strike()

    def _settled_something(self) -> bool:
        feeder = self.cluster.feeder_of(self.link)
        return feeder is not None and feeder.state is LinkState.RESYNCING and feeder.board.second.any()

    def _strike(self) -> None:
        site, random = self.site, self.world.random
        site.die(True)
        site.disk.strikes.clear()
        site.preserve.moments.clear()
        follower = self.cluster.oracle.tamper(self.link)
        backups = [data for resync, data in self.backups if resync is None or resync != self._open_resync()]
        if backups and self.world.chance(0.85):
            self.world.reach("tampered: rolled back")
            backup = random.choice(backups)
            for directory in (STATE, DIRECTORY):
                kept = {name: data for name, data in backup.items() if name.startswith(directory + "/")}
                if kept:
                    site.disk.restore(directory, kept)
        else:
            self.world.reach("tampered: wiped")
            known = self.cluster.feeding_site(self.link).header_file.header.link(self.link)
            follower.stranger = known is not None and known.peer_copy is not None
            site.disk.restore(STATE, {})
            site.create(random.randbytes(16))
