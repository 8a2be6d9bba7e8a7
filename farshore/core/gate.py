"""The gate of a link: how far it lets acknowledgements to the application go (rules C2, C4, D5).

An async link has none. The gate of a sync link is *closed* while its peer counts: then nothing
passes that the peer lacks, at the level that the link asks for. It is *open* while the peer is
done without, which happens only after the header durably says `alone since`. A freeze link that
has replicated once never opens. Before it was opened or closed for the first time it lets nothing
through, so that a restarted engine asks its peers first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farshore.core.shared import Issuer
from farshore.core.write_path import NO_LIMIT, Gate
from farshore.model.header import LinkRecord
from farshore.model.options import AckLevel, LinkOptions, Mode, OnOutage
from farshore.model.positions import Position


@dataclass(slots=True)
class Acknowledged:
    """How far frames of this generation have come at the peer; sequences."""

    sent: int = 0
    received: int = 0
    applied: int = 0
    durable: int = 0

    def reached(self, sequence: int) -> None:
        """Everything up to `sequence` is durable at the peer."""
        self.received = max(self.received, sequence)
        self.applied = max(self.applied, sequence)
        self.durable = max(self.durable, sequence)

    def at(self, level: AckLevel) -> int:
        """The newest sequence that has reached `level`."""
        if level is AckLevel.RECEIVED:
            return self.received
        return self.durable if level is AckLevel.DURABLE else self.applied


class LinkGate:
    """See the module. `facts` gives the link's record, options and acknowledgements as they are now;
    `remember` makes an `alone since` durable and then runs what it is given."""

    def __init__(
        self,
        link: bytes,
        path: Issuer,
        facts: Callable[[], tuple[LinkRecord, LinkOptions, Acknowledged]],
        remember: Callable[[Position, Callable[[], None]], None],
    ) -> None:
        self._link = link
        self._path = path
        self._facts = facts
        self._remember = remember
        self.closed = False
        self.alone = facts()[0].alone_since is not None
        """True while the header says, or is about to say, that the copy is alone."""
        self.alone_until = NO_LIMIT
        """The newest sequence that the application may have been told of without this peer."""
        self._openings = 0
        """How often the gate was asked to open: what became durable for an earlier time does not count."""
        if self._sync:
            path.gates[link] = Gate(0, 0)

    @property
    def _sync(self) -> bool:
        return self._facts()[1].mode is Mode.SYNC

    @property
    def freezing(self) -> bool:
        """Rule C4: a freeze link that has replicated once."""
        record, options, _ = self._facts()
        return self._sync and options.on_outage is OnOutage.FREEZE and record.ever_replicated

    def open(self) -> None:
        """Do without the peer; a sync link first records that it is alone."""
        was_closed, self.closed = self.closed, False
        self.alone_until = NO_LIMIT
        self._openings += 1
        if not self._sync:
            self._path.gates.pop(self._link, None)
            self._path.release()
            return
        if self._path.held:
            return  # nothing is acknowledged yet, and the peers may still answer (rule D5)
        if self.freezing:
            gate = self._gate()  # whatever the peer last confirmed stays the limit, nothing if it never did
            if gate.write == NO_LIMIT:  # the line broke between the record of its first replicating and that
                gate.limit(0, 0)
            return
        record, options, acked = self._facts()
        gate = self._gate()
        if was_closed:  # else it keeps its limits: `acked` may already speak of a stream that only begins
            gate.limit(acked.at(options.ack), acked.durable)
        self.alone = True
        since = record.alone_since or Position(self._path.generation, acked.durable)
        opening = self._openings
        self._remember(since, lambda: self._alone(opening))

    def _alone(self, opening: int) -> None:
        """The header says so durably; unless the peer came back and went again meanwhile: it may just have
        been written that nothing is missing there, and the record of this opening is still on its way."""
        latest = opening == self._openings and not self.closed
        if latest and not self.freezing and self._link in self._path.gates:
            self._path.gates[self._link] = Gate()
            self._path.release()

    def open_unless_closed(self) -> None:
        """Writes begin to flow: a sync peer that has not been met is done without."""
        if not self.closed:
            self.open()

    def close(self, replicating: bool = False) -> None:
        """From here on nothing is acknowledged that the peer does not have.

        An open gate closes before the link replicates, so that nothing is owed when it does. One that
        never opened, a freeze link's say, lets nothing pass until the link really replicates.
        """
        gate = self._path.gates.get(self._link)
        opened = gate is None or gate.write == NO_LIMIT
        if self._sync and not self.closed and (replicating or opened):
            self.closed = True
            self.alone_until = self._path.sequence
            _, options, acked = self._facts()
            self.follow(acked, options.ack)

    def _gate(self) -> Gate:
        return self._path.gates.setdefault(self._link, Gate(0, 0))

    def follow(self, acked: Acknowledged, level: AckLevel) -> None:
        """Let pass what the peer has."""
        self._gate().limit(acked.at(level), acked.durable)

    def settled(self, durable: int) -> bool:
        """Whether the copy was alone and all that was acknowledged meanwhile is durable at the peer."""
        return self.alone and self.closed and durable >= self.alone_until
