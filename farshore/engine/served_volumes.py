"""Where a primary offers its volumes. An address on which it cannot listen when it starts keeps nothing else
from being served, the copy from being the primary least of all: it may move to this host later, and is tried
again. What an operator asks for is refused at once instead, and changes nothing then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farshore.engine.nbd_exports import Exported
from farshore.engine.nbd_server import Address, NbdServer
from farshore.engine.nbd_tls import Certificates
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError

Offer = dict[Address, list[Exported]]
TRIED_EVERY: Final = 2.0
"""Seconds between two tries to listen where that failed at a start."""


class ServedVolumes:
    """See the module."""

    def __init__(self, nbd: NbdServer, shop: Workshop) -> None:
        self._nbd = nbd
        self._reactor, self._note = shop.reactor, shop.journal.note
        self._wanted: Offer = {}
        self._certificates: Certificates | None = None
        self._refused: dict[Address, FarshoreError] = {}
        self._try_at = 0.0

    def begin(self, wanted: Offer, certificates: Certificates) -> None:
        """At the start of an engine: as far as it goes."""
        self._wanted, self._certificates = wanted, certificates
        self._try({})
        for error in self._refused.values():
            self._note("export-failed", {"why": error.what})

    def offer(self, wanted: Offer, certificates: Certificates) -> FarshoreError | None:
        """Exactly these, but for those that could not be opened before. Returns and raises as
        `NbdServer.offer`."""
        waiting = self._refused.keys() & wanted.keys()
        refused = self._nbd.offer(
            {address: each for address, each in wanted.items() if address not in waiting}, certificates
        )
        self._wanted, self._certificates = wanted, certificates
        self._refused = {address: self._refused[address] for address in waiting}
        return refused

    def tick(self) -> None:
        """Tries again where it is time for that."""
        if not self._refused or self._reactor.now < self._try_at:
            return
        before = self._refused
        self._try({address: each for address, each in self._wanted.items() if address not in before})
        for address in before.keys() - self._refused.keys():
            self._note("export-served", {"address": address[1]})

    def report(self) -> list[dict[str, str]]:
        """What is not served, for a status document."""
        return [
            {"address": address[1], "why": error.what} for address, error in sorted(self._refused.items())
        ]

    def _try(self, served: Offer) -> None:
        """Address by address; `served` are listened on, and stay."""
        self._refused, offered = {}, served
        self._try_at = self._reactor.now + TRIED_EVERY
        self._nbd.offer(offered, self._certificates)
        for address, exports in self._wanted.items():
            if address in offered:
                continue
            more: dict[Address, Sequence[Exported]] = {**offered, address: exports}
            try:
                self._nbd.offer(more, self._certificates)
            except FarshoreError as error:
                self._refused[address] = error
            else:
                offered = {**offered, address: exports}
