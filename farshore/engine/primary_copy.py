"""A primary at work: its core, its volumes, its links and its NBD clients on one loop.

In each turn: everything that has arrived is received; then one batch goes to the core and is carried
out (frames leave before the local write begins); then reads are served; then links and clients are
sent what they have coming, with one call each. All order is the core's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from farshore.core import actions as a
from farshore.core import report
from farshore.core.primary import Primary
from farshore.core.write_path import Batch
from farshore.engine.carrier import Carrier
from farshore.engine.digests import Digests
from farshore.engine.durable_records import DurableRecords
from farshore.engine.frame_buffer import frame_buffer_of
from farshore.engine.journal import Journal
from farshore.engine.link_queues import LinkQueues
from farshore.engine.link_runner import LinkRunner, Route
from farshore.engine.local_writes import LocalWrites
from farshore.engine.nbd_server import NbdServer, Surroundings
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.engine.stored_copy import StoredCopy
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer, Message
from farshore.model.options import LinkSpec, ResyncKind
from farshore.model.positions import Position
from farshore.store.volume import Volume
from farshore.wire import frame, session

_ZEROES: Final = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a copy works with."""

    reactor: Reactor
    stored: StoredCopy
    durable_pool: Pool
    """For writes that must become durable, and the slow disk's writer."""
    read_pool: Pool
    """For reads that wait for a disk, and names that are looked up."""
    journal: Journal
    tidy: Callable[[], None]
    """To be called when a connection is gone."""


class PrimaryCopy:
    """See the module."""

    def __init__(self, core: Primary, shop: Workshop) -> None:
        self.core = core
        self._shop = shop
        stored, self._group = shop.stored, core.setup.header.group
        self._volumes = stored.volumes
        self.writes = LocalWrites(stored.volumes, shop.durable_pool)
        self._records = records = DurableRecords(stored, shop.durable_pool, self.writes)
        self.carrier = carrier = Carrier(core, records, shop.journal)
        self.digests = Digests(shop.reactor, stored.volumes)
        self.links: dict[bytes, LinkRunner] = {}
        self.nbd = NbdServer(
            Surroundings(shop.reactor, shop.read_pool, shop.tidy),
            self._submit,
            self._dirty_extents,
            self._link_names,
        )
        written, boarded = carrier.reporting(core.activity_written), carrier.reporting(core.board_written)
        carrier.table |= {
            a.Issue: self._issue,
            a.Reply: self._reply,
            a.WriteActivity: lambda action: records.write_activity(action, written),
            a.WriteBoard: lambda action: records.write_board(action, boarded),
            a.Connect: lambda action: self.links[action.link].connect(),
            a.Close: self._close,
            a.Send: self._send,
            a.ReadRegion: self._read_region,
        }
        self.queues = LinkQueues(core, stored, shop.durable_pool, carrier, self.links)
        carrier.table |= self.queues.table
        self.writes.later = carrier.reporting(core.written)
        self._region_read = carrier.reporting(core.region_read)

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Lets the core begin."""
        self.carrier.do(self.core.start())

    def stop(self) -> None:
        """Begins a clean stop."""
        self.carrier.do(self.core.stop())

    @property
    def stopped(self) -> bool:
        """The clean stop is complete."""
        return self.core.stopped

    def tick(self) -> None:
        """Gives the core a chance to do what is due."""
        for runner in self.links.values():
            runner.report()
        self.carrier.do(self.core.tick())

    def end_turn(self) -> None:
        """See the module."""
        nbd = self.nbd
        nbd.end_requests()
        for runner in self.links.values():
            runner.end_turn()
        nbd.answers.settle()

    def close(self) -> None:
        """Ends everything that is open."""
        self.nbd.close()
        for runner in self.links.values():
            runner.abort()
        self.queues.close()
        self.digests.close()

    # -- the application --------------------------------------------------------------------

    def _submit(self, batch: Batch) -> None:
        self.carrier.do(self.core.submit(batch))

    def _reply(self, action: a.Reply) -> None:
        self.nbd.answers.take(action.tokens, action.errno)  # type: ignore[arg-type]

    def _issue(self, action: a.Issue) -> None:
        operations, payloads = action.operations, action.payloads
        if action.links or action.queues:
            body = self._frame(action)
            prefix = session.frame_prefix(len(body))
            for link in action.links:
                self.links[link].send_frame(prefix, body)
            if action.queues:
                self.queues.keep(action, body)
        errors = self.writes.write(operations, payloads, action.ticket)
        if errors is not None:
            self.carrier.do(self.core.written(action.ticket, errors))

    def _frame(self, action: a.Issue) -> Buffer:
        core, operations, payloads = self.core, action.operations, action.payloads
        stamp = frame.FrameStamp(self._group, core.generation, action.first, time.time_ns(), action.follows)
        buffer = frame_buffer_of(payloads[0]) if len(payloads) == 1 else None
        if buffer is not None:
            frame.encode_into(buffer, stamp, operations[0])
            return buffer
        return frame.encode(stamp, operations, payloads)

    def _dirty_extents(self, link: str, volume: int, offset: int, length: int) -> Iterable[tuple[int, bool]]:
        for feeder in self.core.feeders.values():
            if feeder.spec.name == link:
                return feeder.dirty_extents(volume, offset, length)
        return [(length, True)]  # a link that is gone: nothing is known to be equal anywhere

    def _link_names(self) -> list[str]:
        return [feeder.spec.name for feeder in self.core.feeders.values()]

    # -- links ------------------------------------------------------------------------------

    def add_link(self, spec: LinkSpec, route: Route, *, known: bool) -> None:
        """A link of the operator's intent; `known` when the core has it already."""
        self.links[spec.id] = runner = LinkRunner(self._shop.reactor, self._shop.read_pool, route, self)
        runner.bound(own=spec.options.max_rate)
        if not known:
            self.carrier.do(self.core.add_link(spec))

    def remove_link(self, link: bytes) -> None:
        """A link that is no longer wanted, with its scoreboard."""
        self.carrier.do(self.core.remove_link(link))
        runner = self.links.pop(link)
        runner.close()
        runner.end()
        self.queues.remove(link)
        self._records.discard_board(link)

    def change_link(self, spec: LinkSpec) -> None:
        """Other options for a link."""
        self.carrier.do(self.core.change_link(spec))
        self.links[spec.id].bound(own=spec.options.max_rate)

    def _close(self, action: a.Close) -> None:
        runner = self.links.get(action.channel)
        if runner is not None:
            runner.close()

    def _send(self, action: a.Send) -> None:
        runner = self.links.get(action.channel)
        if runner is not None:
            runner.send(action.message)

    def connected(self, link: bytes) -> None:
        self.carrier.do(self.core.connected(link))

    def disconnected(self, link: bytes, why: str, next_step: str = "") -> None:
        self._shop.tidy()
        self.carrier.do(self.core.disconnected(link, why, next_step))

    def received(self, link: bytes, message: Message) -> None:
        self.carrier.do(self.core.received(link, message))

    def heard(self, link: bytes) -> None:
        self.core.heard(link)

    def backlog(self, link: bytes, size: int) -> None:
        self.carrier.do(self.core.backlog(link, size))

    # -- reads for a resync -----------------------------------------------------------------

    def _read_region(self, action: a.ReadRegion) -> None:
        report_read = partial(self._region_read, action.ticket)
        if action.digest:
            region = self.core.geometry.region
            self.digests.request(action.volume, action.offset, action.length, region, report_read)
            return

        def done(data: bytes | OSError | None) -> None:
            if isinstance(data, OSError):
                report_read(b"", data.errno or 5)
            else:
                report_read(data, 0)

        volume = self._volumes[action.volume]
        self._shop.read_pool.submit(object(), partial(_read, volume, action.offset, action.length), done)

    # -- the operator -----------------------------------------------------------------------

    def pause(self, link: str | None, drain: bool, timeout: float) -> list[str]:
        """Begins a pause of one link, or of all at one sequence (rule B5); the links' names."""
        chosen = self._chosen(link)
        self.carrier.do(self.core.pause(None if link is None else chosen[0], drain, timeout))
        return [self.core.feeders[each].spec.name for each in chosen]

    def resync(self, link: str | None, kind: ResyncKind, once: bool) -> list[str]:
        """Begins to bring one peer, or all, up to date; the links' names."""
        chosen = self._chosen(link)
        self.carrier.do(self.core.resync(None if link is None else chosen[0], kind, once))
        return [self.core.feeders[each].spec.name for each in chosen]

    def cut(self, name: str, number: int) -> Position:
        """A cut behind everything that was acknowledged; its position."""
        actions = self.core.cut(name, number)
        position = Position(self.core.generation, self.core.sequence)
        self.carrier.do(actions)
        return position

    def peer_back(self, peer: str | None) -> None:
        """A line is said to be back: whoever is waiting to connect does it now."""
        for each, feeder in list(self.core.feeders.items()):
            if peer is None or feeder.spec.peer == peer:
                self.carrier.do(self.core.peer_back(each))

    def pace(self, shares: dict[str, int]) -> dict[str, tuple[int, int]]:
        """What each link, by its id in hex, may send of what its node may: bytes per second, 0 or not named
        for no bound. Returns what each has sent in all, and how much waits."""
        for link, runner in self.links.items():
            runner.bound(share=shares.get(link.hex(), 0))
        return {link.hex(): (runner.sent_total, runner.backlog) for link, runner in self.links.items()}

    def _chosen(self, link: str | None) -> list[bytes]:
        chosen = [
            each for each, feeder in self.core.feeders.items() if link is None or feeder.spec.name == link
        ]
        if not chosen and link is not None:
            raise FarshoreError("not-found", f"the group has no link {link}", next_step="farshore link list")
        return chosen

    def report(self, group: str) -> dict[str, Any]:
        """The group's entry of a status document, as far as it is known here."""
        document = report.of_primary(self.core, group)
        for entry in document["links"]:
            runner = self.links[bytes.fromhex(entry["id"])]
            entry["sent_bytes_total"] = runner.sent_total
            entry["received_bytes_total"] = runner.received_total
            entry["max_rate"] = runner.rate or None
            entry |= _packing(runner)
        return document

    def buffers(self) -> dict[str, int]:
        """What is held in memory, in bytes."""
        links = [runner.connection for runner in self.links.values() if runner.connection is not None]
        return {
            "clients": len(self.nbd.clients),
            "clients_bytes": self.nbd.outstanding(),
            "queues_kept_bytes": self.queues.memory_bytes,
            "links_unsent_bytes": sum(each.channel.backlog for each in links),
            "receive_bytes": len(self.nbd.arena.view) + sum(each.buffered for each in links),
            "digests_waiting": self.digests.waiting,
        }


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
