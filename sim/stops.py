"""The oracle's eyes on links that stop, and on what waits for them (rules B5, F1).

A stop is told with the sequence at which it happened: the peer has nothing beyond it, and it was issued by
then; and with its time, which lies between the last look at the running link and the first one at the stopped
one. What waits in a link's queues keeps to its bounds, but for what one more frame may add.
"""

from __future__ import annotations

from farshore.core.feeder import Feeder
from farshore.model.options import LinkOptions, LinkState, OnFull
from sim.primary_site import PrimarySite
from sim.secondary_site import SecondarySite
from sim.world import BrokenRule, Life

_QUEUES = 2
"""What is read back from a disk queue may fill the memory queue once more."""
_SEGMENTS = 16 << 10
"""Bytes of a disk queue's files that no frame takes."""


class Stops:
    """See the module."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[Life, float]] = {}
        """The process in which a link was seen in order last, and its clock then."""
        self._largest = 0

    def issued(self, size: int) -> None:
        """A frame of so many bytes."""
        self._largest = max(self._largest, size)

    def met(self, link: bytes) -> None:
        """A new session has begun: what the peer gets in it has nothing to do with an earlier stop."""
        self._seen.pop(link, None)

    def check(self, site: PrimarySite, feeder: Feeder, peer: SecondarySite) -> None:
        """One link, now."""
        self._bounds(site, feeder)
        if feeder.state is LinkState.REPLICATING:
            self._seen[feeder.id] = site.life, site.clock()[1]
        elif feeder.id in self._seen and site.core.keeper.idle:
            life, before = self._seen.pop(feeder.id)
            if life is site.life:
                self._stopped(site, feeder, peer, before)

    def _stopped(self, site: PrimarySite, feeder: Feeder, peer: SecondarySite, before: float) -> None:
        record, now = site.header_file.header.link(feeder.id), site.clock()[1]
        if feeder.state not in (LinkState.LOGGING, LinkState.QUEUING) or feeder.session.begun:
            return
        where = record.stopped_at if record is not None else None
        if record is None or where is None or record.stopped_time is None:
            raise BrokenRule("B5", f"link {feeder.spec.name} stopped, and nobody has recorded where")
        if where.sequence > site.core.sequence:
            raise BrokenRule(
                "B5", f"link {feeder.spec.name} is to have stopped at {where.sequence}, unissued"
            )
        if peer.running and peer.core.generation == where.generation and peer.core.applied > where.sequence:
            raise BrokenRule(
                "B5",
                f"link {feeder.spec.name} is to have stopped at {where.sequence}, its peer has"
                f" {peer.core.applied}",
            )
        if before <= now and not before - 0.001 <= record.stopped_time <= now + 0.001:
            raise BrokenRule("B5", f"link {feeder.spec.name} is to have stopped at another time")

    def _bounds(self, site: PrimarySite, feeder: Feeder) -> None:
        options, channel = feeder.spec.options, site.outgoing.channels.get(feeder.id)
        if channel is not None and not feeder.gate.closed:
            bound = _QUEUES * options.queue_memory + 2 * self._largest
            if channel.backlog > bound:
                raise BrokenRule(
                    "F1", f"{channel.backlog} bytes wait for link {feeder.spec.name}, and {bound} may"
                )
        if feeder.disk.disk_bytes > self._on_disk(options) and options.queue_disk:
            raise BrokenRule("F1", f"the disk queue of link {feeder.spec.name} is beyond its bound")

    def _on_disk(self, options: LinkOptions) -> int:
        """What a disk queue may take. Where writes are to be held, what waits in memory when the peer is lost
        goes along, however much that is."""
        along = options.queue_memory if options.on_full is OnFull.BLOCK else 0
        return options.queue_disk + along + 2 * self._largest + _SEGMENTS
