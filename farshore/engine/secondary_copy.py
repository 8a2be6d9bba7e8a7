"""A secondary at work: its core, its volumes, the connections of the one feeder it may have, its own links.

Units of the stream are handed to the core one by one. Without a journal, what the core lets be applied
is written on the loop from the receive buffer itself, before the next unit is looked at. At the end of a
turn at most one acknowledgement leaves for everything that the turn has brought. A channel's key is a link's
id where this copy feeds, and shorter where it is fed.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from farshore.core import actions as a
from farshore.core import report
from farshore.core.record_actions import ForgetBeyond
from farshore.core.secondary import Secondary
from farshore.engine import rewindable
from farshore.engine.applying import carry_out, steps_of, volumes_in
from farshore.engine.arrivals import Arrivals
from farshore.engine.carrier import Carrier
from farshore.engine.channel import Channel
from farshore.engine.digests import Digests
from farshore.engine.durable_records import DurableRecords
from farshore.engine.frame_journal import FrameJournal, KeptFrame
from farshore.engine.growing import growing
from farshore.engine.line import Identity
from farshore.engine.link_connection import LinkConnection
from farshore.engine.local_writes import LocalWrites
from farshore.engine.outgoing_links import OutgoingLinks
from farshore.engine.pool import errno_of
from farshore.engine.preserving import PreserveRoom
from farshore.engine.workshop import Workshop
from farshore.errors import ProtocolError
from farshore.model.messages import DigestQuery, Hello, Purpose
from farshore.wire import frame, session

_WINDOW: Final = 256 << 10
HELLO_LIMIT: Final = 10.0
"""Seconds from the end of the handshake to the feeder's hello."""
_MOST_OPENINGS: Final = 8
"""Sockets that may be proving themselves at once; the oldest gives way to one more."""


class SecondaryCopy:
    """See the module."""

    def __init__(self, core: Secondary, shop: Workshop, feeder_name: str) -> None:
        self.core = core
        self._shop = shop
        self.feeder_name = feeder_name
        self.identity: Identity | None = None
        """Ours and the feeder's; None while this copy has no feeder."""
        stored = shop.stored
        self._volumes = stored.volumes
        self.writes = LocalWrites(stored.volumes, shop.durable_pool)
        records = DurableRecords(stored, shop.durable_pool, self.writes)
        self.carrier = carrier = Carrier(core, records, shop.journal)
        self.digests = Digests(shop.reactor, stored.volumes, shop.read_pool)
        self._connections: dict[bytes, LinkConnection] = {}
        self._keys: dict[LinkConnection, bytes] = {}
        self._greeted: set[bytes] = set()
        self._arrivals = Arrivals(shop, _MOST_OPENINGS, lambda: self.feeder_name, self._opened)
        self._last_key = 0
        self._received_before = 0
        self.links = OutgoingLinks(core.relay, shop, carrier, records, self.digests)
        carrier.table |= self.links.table
        carrier.table |= growing(stored, shop.durable_pool, carrier, core.room.made)
        durable_written = carrier.reporting(core.durable_written)
        carrier.table |= {
            a.Close: self._close,
            a.Send: self._send,
            a.SendFrames: self._send_frames,
            a.ApplyFrame: self._apply_frame,
            a.ApplyFill: self._apply_fill,
            ForgetBeyond: lambda action: records.forget_beyond(action, durable_written),
            a.WriteDurable: lambda action: records.write_durable(action, durable_written),
            a.CompareDigests: self._compare,
            a.ReadRange: self._look_up,
        }
        self._compared = carrier.reporting(core.compared)
        self.frames = FrameJournal(stored, carrier, shop.durable_pool, shop.reactor, self.writes)
        carrier.table |= self.frames.offer(core.appended, core.journal_done, core.journal_read)
        self.preserve = PreserveRoom(stored, shop.durable_pool, carrier, core.preserve.broken)
        carrier.table |= self.preserve.offer(core.preserved, core.layer_dropped)
        reads, relay = self.frames.reads, core.relay
        carrier.table |= reads.offer(relay.queue_read, lambda: relay.path.sequence)
        self.links.gone = reads.forget

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Lets the core begin."""
        self.carrier.do(self.core.start())

    def stop(self) -> None:
        """Begins a clean stop."""
        self.carrier.do(self.core.stop())

    def repair(self) -> None:
        """What ails the copy is to end, with its next start."""
        self.carrier.do(self.core.repair())

    @property
    def stopped(self) -> bool:
        """The clean stop is complete."""
        return self.core.stopped

    def tick(self) -> None:
        """Gives the core a chance to do what is due."""
        self.links.report()
        self.carrier.do(self.core.tick())

    def end_turn(self) -> None:
        """One acknowledgement, one send."""
        self._acknowledge()
        for connection in list(self._connections.values()):
            connection.resume()
        if self.frames.handed:
            self._acknowledge()
        for connection in list(self._connections.values()):
            if connection.channel.outbound:
                connection.flush()
        for runner in self.links.runners.values():
            runner.end_turn()

    def _acknowledge(self) -> None:
        self.frames.append()
        self.carrier.do(self.core.turn_end())

    def close(self) -> None:
        """Ends everything that is open."""
        self._arrivals.close()
        for connection in list(self._connections.values()):
            connection.abort()
        self._connections.clear()
        self.links.close()
        self.digests.close()

    # -- connections ------------------------------------------------------------------------

    def adopt(self, sock: socket.socket) -> None:
        """A socket whose preface named our link. Raises FarshoreError `wrong-feeder` if we have none."""
        self._arrivals.adopt(sock, self.identity, "this copy follows nobody")

    def _opened(self, channel: Channel) -> None:
        self._last_key += 1
        key = self._last_key.to_bytes(8, "little")
        connection = LinkConnection(self._shop.reactor, channel, self, _WINDOW)
        self._connections[key] = connection
        self._keys[connection] = key
        silent = [each for each in self._connections if each not in self._greeted]
        if len(silent) > _MOST_OPENINGS:
            self._drop_silent(silent[0])
        self._shop.reactor.after(HELLO_LIMIT, lambda: self._drop_silent(key))

    def _drop_silent(self, key: bytes) -> None:
        """A feeder that has proved its key and does not say hello holds nothing here for long."""
        if key in self._connections and key not in self._greeted:
            connection = self._forget(key)
            if connection is not None:
                connection.abort()

    def _send(self, action: a.Send) -> None:
        connection = self._connections.get(action.channel)
        if connection is not None:
            connection.send(action.message)
        else:
            self.links.carry_send(action)

    def _send_frames(self, action: a.SendFrames) -> None:
        runner = self.links.runners[action.channel]
        for each in action.frames:
            assert isinstance(each, KeptFrame | frame.Frame)
            runner.send_frame(session.frame_prefix(len(each.data)), each.data)

    def _close(self, action: a.Close) -> None:
        if action.channel not in self._connections:
            self.links.carry_close(action)
            return
        connection = self._forget(action.channel)
        if connection is not None:
            connection.close()

    def _forget(self, key: bytes) -> LinkConnection | None:
        connection = self._connections.pop(key, None)
        self._shop.tidy()
        self._greeted.discard(key)
        if connection is not None:
            del self._keys[connection]
            self._received_before += connection.channel.received_total
        return connection

    # -- the connection's handler -----------------------------------------------------------

    @property
    def holding(self) -> bool:
        """Nothing more of the stream may be handed on."""
        return self.core.holding

    def heard(self, connection: LinkConnection) -> None:
        """Any byte is a sign of life."""
        key = self._keys.get(connection)
        if key is not None:
            self.core.heard(key)

    def unit(self, connection: LinkConnection, kind: int, body: memoryview) -> None:
        """One unit of the stream."""
        key = self._keys.get(connection)
        if key is None:
            return
        if key not in self._greeted:
            hello = session.decode(kind, body) if kind != session.FRAME else None
            if not isinstance(hello, Hello):
                raise ProtocolError("the feeder does not begin with a hello")
            self._greeted.add(key)
            self.frames.append()
            self._tell(self.core.accepted, key, hello)
        elif kind == session.FRAME:
            # What goes to the journal, or waits for a save, outlives the receive buffer.
            data = memoryview(bytes(body)) if self.core.keeping else body
            whole = frame.check(data)
            if whole.head.snapshot and data is body:  # it waits until the snapshot is taken
                whole = frame.check(bytes(body))
            kept = KeptFrame(whole, steps_of(whole, self.core.geometry.sizes))
            self.carrier.do(self.core.frame(key, whole.head, kept))
        else:
            self.frames.append()
            data = memoryview(bytes(body)) if self.core.keeping else body
            self._tell(self.core.received, key, session.decode(kind, data))

    def ended(self, connection: LinkConnection, why: str) -> None:
        """The connection broke."""
        key = self._keys.get(connection)
        if key is not None:
            self._forget(key)
            self._tell(self.core.disconnected, key, why)

    def _tell(self, tell: Callable[..., list[a.Action]], *arguments: object) -> None:
        self.carrier.do(tell(*arguments))

    # -- applying ---------------------------------------------------------------------------

    def _apply_frame(self, action: a.ApplyFrame) -> None:
        kept = action.frame
        assert isinstance(kept, KeptFrame)
        self.writes.unsynced |= volumes_in(kept.steps)
        failed = carry_out(self._volumes, kept.steps) or self._record_applied(action)
        self.carrier.do(self.core.applied_frame(failed))

    def _record_applied(self, action: a.ApplyFrame) -> int:
        position = self._shop.stored.position
        assert position is not None
        try:
            position.write_applied(action.applied)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def _apply_fill(self, action: a.ApplyFill) -> None:
        fill = action.fill
        volume, failed = self._volumes[fill.volume], 0
        self.writes.unsynced.add(fill.volume)
        try:
            if fill.data is None:
                volume.zero(fill.offset, fill.length, may_unmap=True)
            else:
                volume.write(fill.data, fill.offset)
        except OSError as error:
            failed = error.errno or errno.EIO
        self._tell(self.core.filled, failed)

    def _compare(self, action: a.CompareDigests) -> None:
        query = action.query

        def done(found: bytes, code: int) -> None:
            if code == errno.EIO:
                self._shop.journal.note("read-error", _place(query))
                found, code = bytes(len(query.digests)), 0  # what cannot be read is copied anew
            differing = b"" if code else _differing(found, query.digests)
            self._compared(action.ticket, differing, code)

        if query.purpose is Purpose.VERIFY_HELD and query.length <= query.region:
            self.digests.at_once(query.volume, query.offset, query.length, done)
        else:
            self.digests.request(query.volume, query.offset, query.length, query.region, done)

    def _look_up(self, action: a.ReadRange) -> None:
        looked_up = self.carrier.reporting(self.core.lookups.looked_up)

        def done(result: bytes | OSError) -> None:
            failed = errno_of(result)
            looked_up(action.ticket, b"" if failed else result, failed)

        volume = self._volumes[action.volume]
        job = partial(volume.read, action.offset, action.length)
        self._shop.read_pool.submit(object(), job, done)

    # -- the operator -----------------------------------------------------------------------

    def report(self, group: str) -> dict[str, Any]:
        """The group's entry of a status document, as far as it is known here."""
        document = report.of_secondary(self.core, self.feeder_name, group)
        now = sum(connection.channel.received_total for connection in self._connections.values())
        document["rewindable"] = rewindable.shown(self.core, self.frames.segments)
        document["received_bytes_total"] = self._received_before + now
        document["preserve"] = self.preserve.report(self.core.preserve, self.core.keeper.header.undo)
        self.links.complete(document["links"])
        return document

    def buffers(self) -> dict[str, int]:
        """What is held in memory, in bytes."""
        return {
            "connections": len(self._connections) + len(self._arrivals),
            "links_unsent_bytes": self.links.unsent_bytes,
            "receive_bytes": sum(each.buffered for each in self._connections.values())
            + self.links.receive_bytes,
            "digests_waiting": self.digests.waiting,
            "journal_waiting_bytes": self.core.journal.waiting,
            **self.frames.buffers(),
        }


def _place(query: DigestQuery) -> dict[str, object]:
    return {"volume": query.volume, "offset": query.offset, "length": query.length, "why": "EIO"}


def _differing(mine: bytes, theirs: bytes) -> bytes:
    size = session.DIGEST_BYTES
    return bytes([mine[at : at + size] != theirs[at : at + size] for at in range(0, len(mine), size)])
