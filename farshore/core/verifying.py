"""The verify of one link: compares both copies while writes go on (rules E5, E7).

Digests of a range are queued behind the last frame that was sent, so that they speak of one position
in the stream, and the follower answers for exactly that one. It runs only while the link replicates;
whenever that ends it waits, and goes on from where it stood, also in another process. It gives way to
the application: while that writes, one short piece at a time and at a bounded pace. What differs is only
noted and shown. It is the near end of the matter; `comparing` is the far one.
"""

from __future__ import annotations

import errno as errnos
from dataclasses import replace
from typing import TYPE_CHECKING

from farshore.core.actions import ReadRegion
from farshore.core.pieces import CHUNK, Piece
from farshore.core.verify_cursor import VerifyCursor
from farshore.model import messages as m
from farshore.model.header import VerifyRecord, VerifyState

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder

ORDINALS = 1 << 63
"""Ordinals of a verify's queries begin here: no answer is ever taken for one to a resync's query."""
UNDER_WAY = 16
"""Pieces that may be read or asked for at once."""
SHORT = 256 << 10
"""The longest piece while the application writes."""
BUSY_RATE = 32 << 20
"""Bytes per second that are compared at most while it does."""
QUIET = 0.1
"""Seconds without a write after which the application counts as quiet."""
RECORD_EVERY = 5.0
"""Seconds between two records of how far it has come."""
LEAST_ALLOWANCE = 1 << 20
"""Bytes that a pace lets through at once, however slow it is."""

_Range = tuple[int, int, int]


class Verifying:
    """See the module. There is one for each link, with a `cursor` while a pass is under way."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self.cursor: VerifyCursor | None = None
        self._ordinal = ORDINALS
        self._barriers: list[_Range] = []
        """Ranges whose writes are held until their read has succeeded (rule E4)."""
        self._allowance = 0.0
        self._paid_at = self._recorded_at = feeder.shared.outbox.now
        self._busy_at = 0.0
        self._sequence_seen = feeder.shared.path.sequence
        self._ending = False
        self._saving = False
        self._unsaid = 0
        """Bytes found that no event tells of."""
        record = self.record
        if record is not None and record.state is VerifyState.RUNNING:
            self.cursor = VerifyCursor(feeder.board, record.volume, record.region)

    @property
    def record(self) -> VerifyRecord | None:
        """What is durable of it."""
        return self._feeder.record.verify

    # -- orders -----------------------------------------------------------------------------

    def begin(self, halt: bool, rate: int) -> None:
        """A new pass; one that is under way goes on, with these options."""
        feeder, record = self._feeder, self.record
        if self.cursor is None or record is None:
            record = VerifyRecord(VerifyState.RUNNING, feeder.shared.outbox.wall)
            self.cursor = VerifyCursor(feeder.board, 0, 0)
            self._ending = False
        self._put(replace(record, halt=halt, rate=rate), "verify-begun")
        self.pump()

    def end(self) -> None:
        """Whatever is under way ends here; what it found stays."""
        if self.cursor is not None:
            self._conclude(VerifyState.STOPPED, "verify-stopped")

    def _put(self, record: VerifyRecord, kind: str) -> None:
        """Make a record durable, then tell of it."""
        feeder = self._feeder

        def durable() -> None:
            feeder.shared.outbox.note(
                kind,
                link=feeder.spec.name,
                found_bytes=record.found,
                sequence=feeder.shared.path.sequence,
                why=record.why,
            )

        feeder.remember(durable, verify=record)

    def _conclude(self, state: VerifyState, kind: str, why: str = "") -> None:
        """The pass is over. What it found is durable before its end is, and that before it is told."""
        feeder = self._feeder
        self._ending, at = True, feeder.shared.position()
        self.interrupted()

        def saved() -> None:
            record = self.record
            if not self._ending or self.cursor is None or record is None or feeder.retired:
                return
            volume, region = self.cursor.place
            self.cursor, self._ending = None, False
            ended = replace(
                record,
                state=state,
                volume=volume,
                region=region,
                ended=feeder.shared.outbox.wall,
                at=at,
                found=record.found + self._unsaid,
                why=why,
            )
            self._unsaid = 0
            self._put(ended, kind)

        feeder.shared.persist(feeder.id, saved)

    # -- going on ---------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether pieces may be read and sent now: the peer stands where our volumes do."""
        feeder = self._feeder
        if self.cursor is None or self._ending or feeder.pause is not None or feeder.disk.behind:
            return False
        in_order = feeder.live and feeder.replicating and feeder.streaming
        return in_order and feeder.acked.sent == feeder.shared.path.sequence

    def pump(self) -> None:
        """Begin as many reads as may be under way."""
        while self.cursor is not None and self._may_read(self.cursor):
            piece = self.cursor.next_piece(SHORT if self._busy else CHUNK)
            if piece is None:
                break
            self._read(self.cursor, piece)
        if self.running and self.cursor is not None and self.cursor.exhausted:
            self._conclude(VerifyState.FINISHED, "verify-finished")

    def tick(self) -> None:
        """Time passes."""
        feeder, now = self._feeder, self._feeder.shared.outbox.now
        if self.cursor is None:
            if feeder.replicating and self._due(self.record):
                self.begin(False, 0)
            return
        if not self.running:
            self._let_all_go()  # nobody's writes wait for a read that may not be for long
        if now - self._recorded_at >= RECORD_EVERY and not self._ending and self.running:
            self._recorded_at = now
            self._save()
        self.pump()

    def _due(self, record: VerifyRecord | None) -> bool:
        every = self._feeder.spec.options.verify_every
        if not every:
            return False
        return record is None or self._feeder.shared.outbox.wall >= record.begun + every

    @property
    def _busy(self) -> bool:
        return self._feeder.shared.outbox.now - self._busy_at < QUIET

    def _may_read(self, cursor: VerifyCursor) -> bool:
        feeder = self._feeder
        if not self.running:
            return False
        if self._barriers and not cursor.reading:
            return True  # writes wait for this read
        now, sequence = feeder.shared.outbox.now, feeder.shared.path.sequence
        if sequence != self._sequence_seen:
            self._sequence_seen, self._busy_at = sequence, now
        record = self.record
        rates = [record.rate if record is not None else 0, BUSY_RATE if self._busy else 0]
        rate = min([each for each in rates if each], default=0)
        elapsed, self._paid_at = now - self._paid_at, now
        if rate:
            self._allowance = min(self._allowance + elapsed * rate, max(rate / 10, LEAST_ALLOWANCE))
            if self._allowance <= 0:
                return False
        else:
            self._allowance = 0.0
        return len(cursor.reading) + len(cursor.queries) < (1 if self._busy else UNDER_WAY)

    def _read(self, cursor: VerifyCursor, piece: Piece) -> None:
        feeder, path = self._feeder, self._feeder.shared.path
        offset, length = cursor.geometry.span(piece.volume, piece.first, piece.stop - piece.first)
        barrier = (piece.volume, offset, offset + length)
        held = cursor.hold_needed(piece)
        if held and barrier not in self._barriers:
            self._barriers.append(barrier)
            path.barriers.append(barrier)

        def done(data: bytes | None, errno: int) -> None:
            if cursor is self.cursor and ticket in cursor.reading:
                self._read_done(cursor, ticket, barrier, data or b"", errno)

        ticket = feeder.shared.outbox.ticket(done)
        cursor.begin_read(ticket, piece, (each[1] for each in path.unwritten))
        self._allowance -= length
        feeder.shared.outbox.emit(ReadRegion(ticket, feeder.id, piece.volume, offset, length, True, held))

    def _read_done(self, cursor: VerifyCursor, ticket: int, span: _Range, digests: bytes, errno: int) -> None:
        held = cursor.hold_needed(cursor.reading[ticket])
        piece = cursor.read_done(ticket, usable=self.running and not errno)
        if errno and span[2] - span[1] <= cursor.geometry.region:
            name = errnos.errorcode.get(errno, errno)
            why = f"volume {span[0]} cannot be read here at byte {span[1]}: {name}"
            self._conclude(VerifyState.FAILED, "verify-failed", why)
            return
        if piece is not None:
            self._send(cursor, piece, digests, m.Purpose.VERIFY_HELD if held else m.Purpose.VERIFY)
            self._let_go(span)
        self.pump()

    def _send(self, cursor: VerifyCursor, piece: Piece, digests: bytes, purpose: m.Purpose) -> None:
        feeder = self._feeder
        offset, length = cursor.geometry.span(piece.volume, piece.first, piece.stop - piece.first)
        self._ordinal += 1
        cursor.queries[self._ordinal] = piece
        feeder.send(
            m.DigestQuery(
                feeder.session.nonce,
                self._ordinal,
                feeder.acked.sent,  # where the follower will stand when this arrives
                piece.volume,
                offset,
                length,
                cursor.geometry.region,
                digests,
                purpose,
            )
        )

    def _let_all_go(self) -> None:
        for span in list(self._barriers):
            self._let_go(span)

    def _let_go(self, span: _Range) -> None:
        if span in self._barriers:
            self._barriers.remove(span)
            self._feeder.shared.path.barriers.remove(span)

    # -- what the peer says, and what becomes of the link -------------------------------------

    def compared(self, ordinal: int, answers: bytes) -> None:
        """The peer's answer; one to a query that does not count any more changes nothing."""
        cursor = self.cursor
        if cursor is None or ordinal not in cursor.queries:
            return
        found = cursor.compared(ordinal, answers)
        if found is None:
            self._feeder.protocol_error("the peer answers a digest query with another number of regions")
            return
        if found:
            self._found(found)
        self.pump()

    def _found(self, found: list[tuple[int, int]]) -> None:
        record, geometry = self.record, self._feeder.board.geometry
        self._unsaid += sum(geometry.span(volume, region, 1)[1] for volume, region in found)
        if record is not None and record.halt:
            self._halt()
        else:
            self._save()

    def _save(self) -> None:
        """What was found, and how far everything is compared, becomes durable; then what was found is told.
        One such step at a time: what comes meanwhile goes with the next one."""
        feeder = self._feeder
        if self._saving or self.cursor is None or self._ending:
            return
        self._saving = True
        (volume, region), told = self.cursor.place, self._unsaid
        self._unsaid = 0

        def saved() -> None:
            self._saving = False
            record = self.record
            if record is None or record.state is not VerifyState.RUNNING or feeder.retired:
                return
            here = replace(record, volume=volume, region=region, found=record.found + told)
            if told:
                self._put(here, "verify-found")
            else:
                feeder.remember(verify=here)
            if self._unsaid:
                self._save()

        feeder.shared.persist(feeder.id, saved)

    def _halt(self) -> None:
        """The first difference stops the link, as the operator wished: what comes later does not hide it."""
        feeder = self._feeder
        record = self.record
        assert record is not None
        feeder.remember(paused=True, verify=replace(record, state=VerifyState.HALTED))
        event, why = feeder.paused_by
        self._conclude(VerifyState.HALTED, "verify-halted")
        feeder.close("", why)
        feeder.stop(event, why)

    def interrupted(self) -> None:
        """The link stopped, or the pass ends: held writes go on."""
        if self.cursor is not None:
            self.cursor.interrupted()
        self._let_all_go()

    def retire(self) -> None:
        """The link was removed."""
        self.interrupted()
        self.cursor = None
