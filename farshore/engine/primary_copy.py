"""A primary at work: its core, its volumes, its links and its NBD clients on one loop.

In each turn: everything that has arrived is received; then one batch goes to the core and is carried
out (frames leave before the local write begins); then reads are served; then links and clients are
sent what they have coming, with one call each. All order is the core's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from farshore.core import actions as a
from farshore.core import fences, report
from farshore.core.primary import Primary
from farshore.core.write_path import Batch
from farshore.engine.answering import Answering
from farshore.engine.carrier import Carrier
from farshore.engine.digests import Digests
from farshore.engine.durable_records import DurableRecords
from farshore.engine.frame_buffer import frame_buffer_of
from farshore.engine.growing import growing
from farshore.engine.link_queues import LinkQueues
from farshore.engine.local_writes import LocalWrites
from farshore.engine.nbd_reads import Rescuer
from farshore.engine.nbd_server import NbdServer, Surroundings
from farshore.engine.nbd_wounded import Wounded
from farshore.engine.outgoing_links import OutgoingLinks
from farshore.engine.pool import errno_of
from farshore.engine.preserving import PreserveRoom
from farshore.engine.served_volumes import ServedVolumes
from farshore.engine.workshop import Workshop
from farshore.errors import FarshoreError
from farshore.model.messages import Buffer
from farshore.model.positions import Position
from farshore.wire import frame, session


class PrimaryCopy:
    """See the module."""

    def __init__(self, core: Primary, shop: Workshop) -> None:
        self.core = core
        stored, self._group = shop.stored, core.setup.header.group
        self._volumes, self._pool = stored.volumes, shop.durable_pool
        self.writes = LocalWrites(stored.volumes, shop.durable_pool)
        records = DurableRecords(stored, shop.durable_pool, self.writes)
        self.carrier = carrier = Carrier(core, records, shop.journal)
        self.digests = Digests(shop.reactor, stored.volumes, shop.read_pool)
        self.links = OutgoingLinks(core, shop, carrier, records, self.digests)
        self._runners = self.links.runners
        self.former = Answering(
            shop, "the former feeder", lambda hello: fences.answer_to_former(core.keeper.header, hello)
        )
        self.successor = Answering(
            shop, "a promoted copy", lambda hello: fences.answer_to_successor(stored.header.header, hello)
        )
        self.nbd = NbdServer(
            Surroundings(shop.reactor, shop.read_pool, shop.tidy, shop.journal.note, self._rescuer()),
            self._submit,
            self._dirty_extents,
            self._link_names,
        )
        self.served = ServedVolumes(self.nbd, shop)
        written = carrier.reporting(core.activity_written)
        carrier.table |= {
            a.Issue: self._issue,
            a.Reply: self._reply,
            a.AnswerRead: self._answer_read,
            a.MendRegion: self._mend,
            a.WriteActivity: lambda action: records.write_activity(action, written),
        }
        carrier.table |= self.links.table
        made = core.resizing.room.made
        carrier.table |= growing(stored, shop.durable_pool, carrier, made, self.nbd.grown)
        self.preserve = PreserveRoom(stored, shop.durable_pool, carrier, core.keeping.preserve.broken)
        carrier.table |= self.preserve.offer(core.preserved, core.layer_dropped)
        self.queues = LinkQueues(core, stored, shop.durable_pool, carrier, self._runners)
        self.links.gone = self.queues.remove
        carrier.table |= self.queues.table
        self.writes.later = carrier.reporting(core.written)

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
        self.links.report()
        self.served.tick()
        self.carrier.do(self.core.tick())

    def end_turn(self) -> None:
        """See the module."""
        nbd = self.nbd
        nbd.end_requests()
        for runner in self._runners.values():
            runner.end_turn()
        nbd.answers.settle()

    def close(self) -> None:
        """Ends everything that is open."""
        self.nbd.close()
        self.former.close()
        self.successor.close()
        self.links.close()
        self.queues.close()
        self.digests.close()

    # -- the application --------------------------------------------------------------------

    def _submit(self, batch: Batch) -> None:
        self.carrier.do(self.core.submit(batch))

    def _reply(self, action: a.Reply) -> None:
        self.nbd.answers.take(action.tokens, action.errno)  # type: ignore[arg-type]

    def _rescuer(self) -> Rescuer:
        core, carrier = self.core, self.carrier
        failed = carrier.reporting(core.rescue.read_failed)
        return Rescuer(core.geometry.region, failed, lambda: bool(core.keeper.header.fault))

    def _answer_read(self, action: a.AnswerRead) -> None:
        assert isinstance(action.token, Wounded)
        self.nbd.reads.rescued(action.token, action.found, action.errno)

    def _mend(self, action: a.MendRegion) -> None:
        volume, mended = self._volumes[action.volume], self.carrier.reporting(self.core.mending.mended)

        def done(result: OSError | None) -> None:
            self.writes.unsynced.add(action.volume)
            mended(action.ticket, errno_of(result))

        self._pool.submit(object(), partial(volume.write, action.data, action.offset), done)

    def _issue(self, action: a.Issue) -> None:
        operations, payloads = action.operations, action.payloads
        if action.links or action.queues:
            body = self._frame(action)
            prefix = session.frame_prefix(len(body))
            for link in action.links:
                self._runners[link].send_frame(prefix, body)
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

    # -- the operator -----------------------------------------------------------------------

    def cut(self, name: str, number: int) -> Position:
        """A cut behind everything that was acknowledged; its position."""
        actions = self.core.cut(name, number)
        position = Position(self.core.generation, self.core.sequence)
        self.carrier.do(actions)
        return position

    def snapshot(self, name: str, number: int, told: Callable[[Position | FarshoreError], None]) -> None:
        """As `Keeping.snapshot`."""
        self.carrier.do(self.core.keeping.snapshot(name, number, told))

    def drain(self, timeout: float) -> None:
        """Holds new writes until `resume`, once every peer that is there has all of it; a note tells."""
        self.carrier.do(self.core.drain(timeout))

    def resume(self) -> None:
        """Lets writes flow again."""
        self.carrier.do(self.core.resume())

    def repair(self) -> None:
        """Begins to end what ails the copy; notes tell of it."""
        self.carrier.do(self.core.faulting.repair())

    def report(self, group: str) -> dict[str, Any]:
        """The group's entry of a status document, as far as it is known here."""
        document = report.of_primary(self.core, group)
        self.links.complete(document["links"])
        document["not_exported"] = self.served.report()
        document["preserve"] = self.preserve.report(self.core.keeping.preserve, b"")
        return document

    def buffers(self) -> dict[str, int]:
        """What is held in memory, in bytes."""
        return {
            "clients": len(self.nbd.clients),
            "clients_bytes": self.nbd.outstanding(),
            "queues_kept_bytes": self.queues.memory_bytes,
            "links_unsent_bytes": self.links.unsent_bytes,
            "receive_bytes": len(self.nbd.arena.view) + self.links.receive_bytes,
            "digests_waiting": self.digests.waiting,
        }
