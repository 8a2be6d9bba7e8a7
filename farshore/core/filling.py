"""One resync within one session: reads regions, sends fills and digest queries, ends with the cut.

The cursor (`resync`) knows which regions; this file knows when: it bounds what is under way, gives
way to the application, keeps to the link's rate, and sends the completion cut once nothing is
owed. It lives no longer than its session; what it had not settled stays marked (rule A4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core.actions import ReadRegion
from farshore.core.headway import Headway
from farshore.core.pieces import CHUNK, Piece
from farshore.core.resync import WINDOW, ResyncCursor
from farshore.model import messages as m
from farshore.model.header import OpenResync
from farshore.model.positions import Position

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder

READS = 8
"""Reads under way at once."""
BACKLOG_IDLE = 8 << 20
"""Bytes on the channel beyond which no fill is begun while the application is quiet."""
BACKLOG_BUSY = 1 << 20
"""The same while the application writes: fills give way (rule E5)."""
QUIET = 0.1
"""Seconds without a write after which the application counts as quiet."""
LOW_WATER = 4
"""Ordered sending resumes when the queue has fallen to 1/LOW_WATER of its limit (rule E4)."""
FEW_REGIONS = 8
"""Regions left to copy that never keep ordered sending from resuming."""
LONGEST_TURN = 64
"""Limits of the queue, in bytes of fills, that a pass goes first at most before order is tried again."""
PIECES = 8
"""A piece is at most 1/PIECES of the queue's limit, so that fills alone never fill a small queue."""
FILL_HEAD = 64
"""Bytes that a fill costs on the line besides its data, for accounting only."""


class Turns:
    """How long fills go first after the queue has overflowed in a resync (rule E4).

    With order, live writes travel themselves and mark nothing anew: a load that the line carries
    should have it back soon. A load beyond the line overflows again, and what it had sent in order
    was lost for the pass; so each further overflow doubles the fills that have to leave first, and
    order that lasts for as many fills as were asked for last starts from the beginning.
    """

    __slots__ = ("_needed", "_overflows", "_since")

    def __init__(self) -> None:
        self._overflows = 0
        self._needed = 0
        self._since = 0

    def overflowed(self, fill_bytes: int, limit: int) -> None:
        """The stream was given up when so many bytes of fills had been sent."""
        if fill_bytes - self._since >= self._needed:
            self._overflows = 0
        self._needed = limit * min(1 << self._overflows, LONGEST_TURN)
        self._overflows += 1
        self._since = fill_bytes

    def resumed(self, fill_bytes: int) -> None:
        """Ordered frames follow again."""
        self._since = fill_bytes

    def over(self, fill_bytes: int) -> bool:
        """Whether enough fills have gone first."""
        return fill_bytes - self._since >= self._needed


class Filling:
    """See the module."""

    def __init__(self, feeder: Feeder, resync: OpenResync) -> None:
        self._feeder = feeder
        longest = min(CHUNK, feeder.spec.options.queue_memory // PIECES)
        self.cursor = ResyncCursor(feeder.board, resync, longest)
        self._turns = Turns()
        self.headway = Headway()
        self._cut: Position | None = None
        self._recording = False
        self._hastened = 0
        """The newest fill that the peer was asked to make durable at once."""
        self._allowance = 0.0
        self._began_at = self._paid_at = feeder.shared.outbox.now
        self._busy_at = 0.0
        self._sequence_seen = feeder.shared.path.sequence
        self._barriers: list[tuple[int, int, int]] = []
        """Ranges whose writes are held until their read has succeeded (rule E4)."""

    # -- going on ---------------------------------------------------------------------------

    def pump(self) -> None:
        """Begin as many reads as may be under way; send the cut when all is settled."""
        feeder, cursor = self._feeder, self.cursor
        if not feeder.live or cursor.ending:
            return
        if not feeder.streaming:
            self._stream_again()
        while self._may_read():
            piece = cursor.next_piece()
            if piece is None:
                self._hasten()
                break
            self._read(piece)
        if feeder.streaming and cursor.exhausted:
            self._end()

    def _may_read(self) -> bool:
        feeder, cursor, outbox = self._feeder, self.cursor, self._feeder.shared.outbox
        if self._barriers and not cursor.reading:
            return True  # writes wait for this read: neither rate nor queue may lengthen that
        sequence = feeder.shared.path.sequence
        if sequence != self._sequence_seen:
            self._sequence_seen, self._busy_at = sequence, outbox.now
        allowed = BACKLOG_BUSY if outbox.now - self._busy_at < QUIET else BACKLOG_IDLE
        rate = self._rate
        if rate:
            elapsed = outbox.now - self._paid_at
            self._paid_at = outbox.now
            self._allowance = min(self._allowance + elapsed * rate, max(float(rate), 1 << 20))
            if self._allowance <= 0:
                return False
        allowed = min(allowed, feeder.spec.options.queue_memory // LOW_WATER)
        reading = sum(cursor.length(piece) for piece in cursor.reading.values())
        if cursor.in_flight < cursor.longest:
            return True  # as much as one piece is always under way, however long the queue: so it ends (E4)
        return len(cursor.reading) < READS and cursor.in_flight < WINDOW and feeder.queue + reading <= allowed

    @property
    def _rate(self) -> int:
        """Bytes per second that fills keep to, 0 for no bound. The channel bounds all that leaves; this keeps
        a slow link's queue free of fills. What is packed on its way is known to the channel only."""
        options = self._feeder.spec.options
        return options.max_rate if options.compress == "none" else 0

    def _read(self, piece: Piece) -> None:
        feeder = self._feeder
        offset, length = feeder.board.geometry.span(piece.volume, piece.first, piece.stop - piece.first)
        barrier = (piece.volume, offset, offset + length)
        if self.cursor.hold_needed(piece) and barrier not in self._barriers:
            self._barriers.append(barrier)
            feeder.shared.path.barriers.append(barrier)

        def done(data: bytes | None, errno: int) -> None:
            if feeder.filling is self:
                self._read_done(ticket, barrier, data, errno)

        ticket = feeder.shared.outbox.ticket(done)
        self.cursor.begin_read(ticket, piece, (each[1] for each in feeder.shared.path.unwritten))
        if self._rate and not piece.digest:
            self._allowance -= length
        awaited = barrier in self._barriers
        read = ReadRegion(ticket, feeder.id, piece.volume, offset, length, piece.digest, awaited)
        feeder.shared.outbox.emit(read)

    def _read_done(self, ticket: int, read: tuple[int, int, int], data: bytes | None, errno: int) -> None:
        feeder, (_, offset, end) = self._feeder, read
        if errno:
            feeder.shared.unreadable((read[0], offset, end - offset), errno)
            feeder.local_read_failed(errno)
            return
        if data is None and self._rate:
            self._allowance += end - offset  # a hole travels as a note: it is not charged
        piece = self.cursor.read_done(ticket)
        if piece is None:
            return  # a write crossed it: the next tick or acknowledgement reads it again, its barrier stays
        self._send(piece, offset, end - offset, data)
        if read in self._barriers:
            self._barriers.remove(read)
            feeder.shared.path.barriers.remove(read)
        self.pump()

    def _send(self, piece: Piece, offset: int, length: int, data: bytes | None) -> None:
        feeder = self._feeder
        # Where the follower will stand when this arrives: behind the last frame that was sent.
        sequence = feeder.acked.sent
        if piece.digest:
            ordinal = self.cursor.query_sent(piece)
            region = feeder.board.geometry.region
            feeder.send(
                m.DigestQuery(
                    feeder.session.nonce, ordinal, sequence, piece.volume, offset, length, region, data or b""
                )
            )
            return
        on_wire = FILL_HEAD + (len(data) if data is not None else 0)
        ordinal = self.cursor.fill_sent(piece, on_wire)
        feeder.queue += on_wire
        feeder.fill_bytes += on_wire
        feeder.send(m.Fill(feeder.session.nonce, ordinal, sequence, piece.volume, offset, length, data))

    def _hasten(self) -> None:
        """Nothing is left to read: ask the peer once to make the last fills durable without its usual wait,
        so that the cut follows before the queue can fill again."""
        cursor = self.cursor
        waits = cursor.fills and not cursor.reading and not cursor.queries
        if self._feeder.streaming and waits and self._hastened < cursor.fill_ordinal:
            self._hastened = cursor.fill_ordinal
            self._feeder.send(m.SyncNow(self._feeder.session.nonce))

    def order_lost(self) -> None:
        """The queue is full: the resync goes on while writes only mark (rule E4). What was sent and is not
        durable yet is marked anew here, since nobody follows it in the ledger from now on."""
        feeder = self._feeder
        for entry in feeder.shared.ledger.after(feeder.acked.durable):
            self.cursor.live(entry.operations, False)
        self._turns.overflowed(self.cursor.sent_bytes, feeder.spec.options.queue_memory)

    def _stream_again(self) -> None:
        """Ordered frames follow from here once the queue has room and either little is left to copy, or
        fills have gone first for long enough (rule E4)."""
        feeder, board = self._feeder, self._feeder.board
        low = feeder.spec.options.queue_memory // LOW_WATER
        if feeder.queue > low:
            return
        left = board.dirty.count() * board.geometry.region
        if left > max(low, FEW_REGIONS * board.geometry.region) and not self._turns.over(
            self.cursor.sent_bytes
        ):
            return
        self._turns.resumed(self.cursor.sent_bytes)
        position = feeder.shared.position()
        feeder.restart_stream(position)
        feeder.send(m.Skip(feeder.session.nonce, position))

    def look(self) -> None:
        """Now and then: whether there will be an end."""
        now, cursor, region = self._feeder.shared.outbox.now, self.cursor, self._feeder.board.geometry.region
        if self.headway.due(now):
            self.headway.look(now, cursor.left * region, cursor.settled * region)

    def eta(self) -> float | None:
        """Seconds that the rest may take at the pace so far; None before there is a pace."""
        elapsed, done = self._feeder.shared.outbox.now - self._began_at, self.cursor.progress
        return elapsed * (1.0 - done) / done if done > 0.0 else None

    # -- what the peer says -----------------------------------------------------------------

    def acknowledged(self, fills_durable: int) -> None:
        """Fills up to this ordinal are durable at the peer."""
        if self._feeder.live:
            self.cursor.fills_durable(min(fills_durable, self.cursor.fill_ordinal))
            self.pump()

    def compared(self, ordinal: int, differing: bytes) -> None:
        """The peer's answer to a digest query."""
        if self._feeder.live and not self.cursor.compared(ordinal, differing):
            self._feeder.protocol_error("the peer answers a digest query that was not asked")
        else:
            self.pump()

    def _end(self) -> None:
        """Nothing is owed: send the completion cut.

        A sync link first records that it is about to replicate (C4): from the first acknowledgement
        that relies on the peer, no restart may forget that a freeze link's writes wait for it.
        """
        feeder = self._feeder
        if feeder.sync and not feeder.once and not feeder.record.ever_replicated:
            self._recording = True
            feeder.remember(self._recorded, ever_replicated=True)
        elif not self._recording:
            self._send_cut()

    def _recorded(self) -> None:
        self._recording = False
        if self._feeder.filling is self:
            self.pump()

    def _send_cut(self) -> None:
        feeder = self._feeder
        self._cut = feeder.unanswered_cut = feeder.shared.position()
        self.cursor.ending = True
        if feeder.once:
            feeder.streaming = False
        else:
            feeder.gate.close()
        resync, history = self.cursor.resync.id, feeder.shared.history()
        feeder.send(m.ResyncEnd(feeder.session.nonce, resync, history, self._cut))

    def done(self, resync: bytes) -> None:
        """The completion cut is durable at the peer."""
        if self._cut is not None and resync == self.cursor.resync.id:
            self._feeder.completed(self._cut)

    def abandon(self) -> None:
        """The session is over: reads under way no longer matter, held writes go on."""
        self.cursor.reading.clear()
        for barrier in self._barriers:
            self._feeder.shared.path.barriers.remove(barrier)
        self._barriers.clear()
