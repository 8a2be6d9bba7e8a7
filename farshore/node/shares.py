"""Divides what the node may send among its links, anew each second, by what each of them wants to send.

Engines are processes of their own and know nothing of each other, so the node asks each what its links have
sent and what still waits, and tells it what each may send in the second to come. Nobody gets more than it
wants while others want more than they get (max-min fairness), first between groups, then between the links
of a group; what nobody wants is spread, so that whoever begins to send need not wait for the next round.
An engine keeps its last share while the node is away: the line is never used beyond its bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

from farshore.errors import FarshoreError
from farshore.node.copies import StoredCopy
from farshore.node.node import Node

EVERY: Final = 1.0
"""Seconds between two rounds."""
_STARTER: Final = 20
"""One part in so many is divided equally before anybody's wish counts."""
_ASK_SECONDS: Final = 2.0
_log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Line:
    """A link that sends; `demand` in bytes per second."""

    link: str
    group: str
    peer: str
    demand: float


def divide(total: float, demands: Mapping[Key, float]) -> dict[Key, float]:
    """Shares that add up to `total`: nobody's is smaller than anybody else's that is more than it wants."""
    if not demands:
        return {}
    starter = total / _STARTER / len(demands)
    shares = dict.fromkeys(demands, starter)
    left = total - starter * len(demands)
    hungry = sorted(demands, key=lambda each: demands[each])
    for number, each in enumerate(hungry):
        part = min(max(0.0, demands[each] - starter), left / (len(hungry) - number))
        shares[each] += part
        left -= part
    return {each: share + left / len(demands) for each, share in shares.items()}


def allot(lines: list[Line], node_bound: int, peer_bounds: Mapping[str, int]) -> dict[str, int]:
    """Link -> bytes per second, 0 for no bound."""
    shares: dict[str, float] = {}
    for peer, bound in peer_bounds.items():
        if bound:
            shares |= _among([line for line in lines if line.peer == peer], bound, shares)
    if node_bound:
        shares |= _among(lines, node_bound, shares)
    return {line.link: max(1, int(shares[line.link])) if line.link in shares else 0 for line in lines}


def _among(lines: list[Line], bound: float, before: Mapping[str, float]) -> dict[str, float]:
    """`before`: shares of a narrower bound, beyond which a link neither wants nor gets anything."""
    wanted = {line.link: min(line.demand, before.get(line.link, line.demand)) for line in lines}
    groups: dict[str, float] = {}
    for line in lines:
        groups[line.group] = groups.get(line.group, 0.0) + wanted[line.link]
    shares: dict[str, float] = {}
    for group, share in divide(bound, groups).items():
        shares |= divide(share, {line.link: wanted[line.link] for line in lines if line.group == group})
    return {link: min(share, before.get(link, share)) for link, share in shares.items()}


class Sharing:
    """One node's rounds."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sent: dict[str, tuple[int, float]] = {}
        """What each link had sent in all, and when we were told."""
        self._shares: dict[str, int] = {}
        self._freed: set[tuple[str, int | None]] = set()
        """Engines that were told that there is no bound."""

    async def keep(self) -> None:
        """Rounds until the node stops."""
        while True:
            await asyncio.sleep(EVERY)
            if self._node.rates.ever:
                await self.round()

    async def round(self) -> None:
        """Tells every engine its links' shares, and divides anew by what it answers."""
        node = self._node
        copies = [stored for stored in node.copies.all() if stored.config.links]
        bound = node.rates.any
        if not bound:
            self._shares = {}
        asked = [each for each in copies if bound or self._engine(each) not in self._freed]
        found = await asyncio.gather(*(self._ask(each) for each in asked))
        lines = [line for lines in found for line in lines]
        peers = {line.peer: node.rates.bound(line.peer) for line in lines}
        self._shares = allot(lines, node.rates.bound(node.identity.fingerprint), peers)
        known = {line.link for line in lines}
        self._sent = {link: seen for link, seen in self._sent.items() if link in known}
        if bound:
            self._freed.clear()

    async def _ask(self, stored: StoredCopy) -> list[Line]:
        """What one engine's links want; nothing where none runs. One that runs and does not answer may still
        send what it was told last: that is what it wants, and the others share the rest."""
        links = {link.spec.id.hex(): link.spec for link in stored.config.links}
        shares = {link: self._shares.get(link) or self._first(spec.peer) for link, spec in links.items()}
        seen, engine = self._node.supervisor.seen(stored.key), self._engine(stored)
        try:
            answer = await stored.engine.ask("pace", {"shares": shares}, seconds=_ASK_SECONDS)
        except FarshoreError as error:
            _log.debug("no figures of the engine of %s: %s", stored.config.group_name, error)
            return self._silent(stored) if seen is not None and seen.running else []
        if not self._node.rates.any:
            self._freed.add(engine)
        now, lines = monotonic(), []
        for link, (sent, waiting) in answer["links"].items():
            if link in links:
                spec, demand = links[link], self._demand(link, sent, waiting, now)
                demand = min(demand, spec.options.max_rate or demand)
                lines.append(Line(link, stored.config.group_name, spec.peer, demand))
        return lines

    def _silent(self, stored: StoredCopy) -> list[Line]:
        specs = [link.spec for link in stored.config.links]
        told = {spec.id.hex(): self._shares.get(spec.id.hex(), 0) for spec in specs}
        group = stored.config.group_name
        return [Line(spec.id.hex(), group, spec.peer, told[spec.id.hex()]) for spec in specs]

    def _first(self, peer: str) -> int:
        """What a link may send of which nobody knows yet what it wants; 0 where no bound concerns it."""
        rates = self._node.rates
        bounds = [rates.bound(peer), rates.bound(self._node.identity.fingerprint)]
        return min([bound // _STARTER for bound in bounds if bound], default=0)

    def _demand(self, link: str, sent: int, waiting: int, now: float) -> float:
        """What it sent lately, and all that waits within the next second."""
        before, at = self._sent.get(link, (sent, now - EVERY))
        self._sent[link] = (sent, now)
        return max(0, sent - before) / max(now - at, 0.1) + waiting / EVERY

    def _engine(self, stored: StoredCopy) -> tuple[str, int | None]:
        seen = self._node.supervisor.seen(stored.key)
        return stored.key, seen.pid if seen is not None else None
