"""A copy's outgoing links at work: their connections, scoreboards and reads, whatever the copy's role.

A runner exists for every link that the core knows. What the core says of a link is carried out here;
what a link's frames are, and from where one that is behind gets them, is the copy's own affair: it sends
them through `runners`. Of a link that is gone nothing is carried out and nothing is told any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from farshore.core import actions as a
from farshore.core import findings
from farshore.core.links import Links
from farshore.engine.carrier import Carrier
from farshore.engine.digests import Digests
from farshore.engine.durable_records import DurableRecords
from farshore.engine.link_runner import LinkRunner, Route
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError
from farshore.model.messages import Message
from farshore.model.options import LinkSpec, ResyncKind
from farshore.store.volume import Volume

_ZEROES: Final = bytes(1 << 20)


def _nobody(_link: bytes) -> None:
    """Nobody is to be told."""


class OutgoingLinks:
    """See the module."""

    def __init__(
        self, core: Links, shop: Workshop, carrier: Carrier, records: DurableRecords, digests: Digests
    ) -> None:
        self.core = core
        self._shop = shop
        self._carrier = carrier
        self._records = records
        self._digests = digests
        self._volumes = shop.stored.volumes
        self.runners: dict[bytes, LinkRunner] = {}
        self.gone: Callable[[bytes], None] = _nobody
        """Told of a link that was removed, when nothing of it is used any more."""
        self._region_read = carrier.reporting(core.region_read)
        boarded = carrier.reporting(core.board_written)
        self.table: dict[type, Callable[[Any], None]] = {
            a.WriteBoard: lambda action: records.write_board(action, boarded),
            a.Connect: lambda action: self.runners[action.link].connect(),
            a.Close: self.carry_close,
            a.Send: self.carry_send,
            a.ReadRegion: self._read_region,
        }

    def close(self) -> None:
        """Ends everything that is open."""
        for runner in self.runners.values():
            runner.abort()

    def report(self) -> None:
        """Tells the core how much waits on every link."""
        for runner in self.runners.values():
            runner.report()

    # -- intent -----------------------------------------------------------------------------

    def add(self, spec: LinkSpec, route: Route, *, known: bool) -> None:
        """A link of the operator's intent; `known` when the core has it already."""
        self.runners[spec.id] = runner = LinkRunner(self._shop.reactor, self._shop.read_pool, route, self)
        runner.bound(own=spec.options.max_rate)
        if not known:
            self._carrier.do(self.core.add_link(spec))

    def remove(self, link: bytes) -> None:
        """A link that is no longer wanted, with its scoreboard."""
        self._carrier.do(self.core.remove_link(link))
        runner = self.runners.pop(link)
        runner.close()
        runner.end()
        self.gone(link)
        self._records.discard_board(link)

    def change(self, spec: LinkSpec) -> None:
        """Other options for a link."""
        self._carrier.do(self.core.change_link(spec))
        self.runners[spec.id].bound(own=spec.options.max_rate)

    # -- what the core asks for -------------------------------------------------------------

    def carry_close(self, action: a.Close) -> None:
        """Ends a link's connection."""
        runner = self.runners.get(action.channel)
        if runner is not None:
            runner.close()

    def carry_send(self, action: a.Send) -> None:
        """Queues a message on a link's connection."""
        runner = self.runners.get(action.channel)
        if runner is not None:
            runner.send(action.message)

    def _read_region(self, action: a.ReadRegion) -> None:
        report_read = partial(self._region_read, action.ticket)
        if action.digest:
            region = self.core.geometry.region
            if action.awaited and action.length <= region:
                self._digests.at_once(action.volume, action.offset, action.length, report_read)
                return
            self._digests.request(action.volume, action.offset, action.length, region, report_read)
            return

        def done(data: bytes | OSError | None) -> None:
            if isinstance(data, OSError):
                report_read(b"", data.errno or 5)
            else:
                report_read(data, 0)

        volume = self._volumes[action.volume]
        self._shop.read_pool.submit(object(), partial(_read, volume, action.offset, action.length), done)

    # -- what the runners tell --------------------------------------------------------------

    def connected(self, link: bytes) -> None:
        """The link's connection is up."""
        self._carrier.do(self.core.connected(link))

    def disconnected(self, link: bytes, why: str, next_step: str = "", code: str = "") -> None:
        """It is gone, or could not be had."""
        self._shop.tidy()
        self._carrier.do(self.core.disconnected(link, why, next_step, code))

    def received(self, link: bytes, message: Message) -> None:
        """A message of the peer."""
        self._carrier.do(self.core.received(link, message))

    def heard(self, link: bytes) -> None:
        """Any byte is a sign of life."""
        self.core.heard(link)

    def backlog(self, link: bytes, size: int) -> None:
        """Bytes that wait on the connection."""
        self._carrier.do(self.core.backlog(link, size))

    # -- the operator -----------------------------------------------------------------------

    def pause(self, link: str | None, drain: bool, timeout: float) -> list[str]:
        """Begins a pause of one link, or of all at one sequence (rule B5); the links' names."""
        chosen = self._chosen(link)
        self._carrier.do(self.core.pause(None if link is None else chosen[0], drain, timeout))
        return [self.core.feeders[each].spec.name for each in chosen]

    def resync(
        self, link: str | None, kind: ResyncKind, once: bool, *, unprotected: bool = False
    ) -> list[str]:
        """Begins to bring one peer, or all, up to date; the links' names."""
        chosen = self._chosen(link)
        self._carrier.do(self.core.resync(None if link is None else chosen[0], kind, once, unprotected))
        return [self.core.feeders[each].spec.name for each in chosen]

    def verify(self, link: str | None, halt: bool, rate: int) -> list[str]:
        """Begins to compare one peer's copy, or all, with ours; the links' names."""
        chosen = self._chosen(link)
        self._carrier.do(self.core.verify(None if link is None else chosen[0], halt, rate))
        return [self.core.feeders[each].spec.name for each in chosen]

    def end_verify(self, link: str | None) -> list[str]:
        """Ends that; the links on which it was under way."""
        chosen = [each for each in self._chosen(link) if self.core.feeders[each].verify.cursor is not None]
        for each in chosen:
            self._carrier.do(self.core.end_verify(each))
        return [self.core.feeders[each].spec.name for each in chosen]

    def found(self, link: str) -> dict[str, Any]:
        """What a verify has found over a link."""
        return findings.listed(self.core.feeders[self._chosen(link)[0]])

    def repair_found(self, link: str, expected: str) -> list[str]:
        """Copies that over the peer's copy, if it is what was expected; the link's name."""
        self._carrier.do(self.core.repair_found(self._chosen(link)[0], expected))
        return [link]

    def peer_back(self, peer: str | None) -> None:
        """A line is said to be back: whoever is waiting to connect does it now."""
        for each, feeder in list(self.core.feeders.items()):
            if peer is None or feeder.spec.peer == peer:
                self._carrier.do(self.core.peer_back(each))

    def pace(self, shares: dict[str, int]) -> dict[str, tuple[int, int]]:
        """What each link, by its id in hex, may send of what its node may: bytes per second, 0 or not named
        for no bound. Returns what each has sent in all, and how much waits."""
        for link, runner in self.runners.items():
            runner.bound(share=shares.get(link.hex(), 0))
        return {link.hex(): (runner.sent_total, runner.backlog) for link, runner in self.runners.items()}

    def _chosen(self, link: str | None) -> list[bytes]:
        if link is None:
            return [each.id for each in self.core.chosen(None)]
        chosen = [each for each, feeder in self.core.feeders.items() if feeder.spec.name == link]
        if not chosen:
            raise FarshoreError("not-found", f"the group has no link {link}", next_step="farshore link list")
        return chosen

    # -- facts ------------------------------------------------------------------------------

    def complete(self, entries: Iterable[dict[str, Any]]) -> None:
        """Adds to the links' entries of a status document what only their connections know."""
        for entry in entries:
            runner = self.runners[bytes.fromhex(entry["id"])]
            entry["sent_bytes_total"] = runner.sent_total
            entry["received_bytes_total"] = runner.received_total
            entry["max_rate"] = runner.rate or None
            entry |= _packing(runner)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait on the connections."""
        return sum(runner.backlog for runner in self.runners.values())

    @property
    def receive_bytes(self) -> int:
        """Bytes of the connections' receive buffers."""
        links = [runner.connection for runner in self.runners.values()]
        return sum(each.buffered for each in links if each is not None)


def _packing(runner: LinkRunner) -> dict[str, Any]:
    if runner.packed is None:
        return {"compress": "none", "compress_ratio": None}
    raw, packed = runner.packed
    return {"compress": "zstd", "compress_ratio": round(raw / packed, 3) if packed else None}


def _read(volume: Volume, offset: int, length: int) -> bytes | None:
    data = volume.read(offset, length)
    if data == _ZEROES[:length] if length <= len(_ZEROES) else not any(data):
        return None
    return data
