"""The shipping code with one rule broken on purpose: what the oracle has to catch.

Each variant changes one piece of the core, or of a shell, in the way a plausible mistake would, and
only while it is in force. That seeds catch all of them, and pass without them, gives passing seeds a
meaning. The oracle may report another rule than the one named here: what is lost is noticed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from farshore.core import cutting, handshake
from farshore.core.actions import Reply
from farshore.core.activity import ActivityLog
from farshore.core.board_keeper import BoardKeeper
from farshore.core.durability import Durability
from farshore.core.feeder import Feeder
from farshore.core.gate import LinkGate
from farshore.core.handshake import Course, Decision
from farshore.core.outbox import GroupSync
from farshore.core.pieces import Pieces
from farshore.core.primary import Primary
from farshore.core.queueing import LinkQueue
from farshore.core.resync import ResyncCursor
from farshore.core.scoreboard import Scoreboard
from farshore.core.stream import Stream
from farshore.core.unlogged import Unlogged
from farshore.core.write_path import WritePath
from farshore.model.positions import Position
from farshore.model.volumes import FLUSH
from sim import (
    journal_variants,
    link_variants,
    preserve_variants,
    read_scenes,
    relay_variants,
    verify_variants,
)
from sim.variant import Variant


@contextmanager
def in_force(name: str) -> Iterator[Variant]:
    """Breaks the rule until the end of the block."""
    variant = VARIANTS[name]
    original = variant.owner.__dict__[variant.name]
    setattr(variant.owner, variant.name, variant.make(original))
    try:
        yield variant
    finally:
        setattr(variant.owner, variant.name, original)


def _nothing(_: Any) -> Any:
    return lambda *_arguments, **_named: None


# -- A1 ---------------------------------------------------------------------------------------------


def _fold_forgets_the_newest_frame(_: Any) -> Any:
    def fold(self: Feeder) -> None:
        for entry in list(self.shared.ledger.after(self.acked.durable))[1:]:
            self.board.dirty.mark_operations(entry.operations)
        self.board.keep_queued()

    return fold


def _fold_starts_at_what_is_applied(_: Any) -> Any:
    def fold(self: Feeder) -> None:
        for entry in self.shared.ledger.after(self.acked.applied):
            self.board.dirty.mark_operations(entry.operations)
        self.board.keep_queued()

    return fold


# -- A2 ---------------------------------------------------------------------------------------------


def _frames_leave_before_the_activity_log_is_durable(begin: Any) -> Any:
    def begin_and_believe(self: ActivityLog, keys: frozenset[int]) -> Any:
        extents = begin(self, keys)
        self.added()
        return extents

    return begin_and_believe


def _extents_cool_without_a_local_sync(cool: Any) -> Any:
    def cool_unsynced(self: BoardKeeper, activity: Any, path: WritePath, ledger: Any) -> None:
        sync_now = path.sync_now
        path.sync_now = lambda then: then()  # type: ignore[method-assign]
        cool(self, activity, path, ledger)
        path.sync_now = sync_now  # type: ignore[method-assign]

    return cool_unsynced


def _suspects_are_resolved_before_a_local_sync(sync_now: Any) -> Any:
    def skip_at_start(self: WritePath, then: Callable[[], None]) -> None:
        if getattr(then, "__func__", None) is Primary._recovered:
            then()
        else:
            sync_now(self, then)

    return skip_at_start


# -- A4 ---------------------------------------------------------------------------------------------


def _a_live_write_cleans_its_region(live: Any) -> Any:
    def live_and_clean(self: ResyncCursor, operations: Any, streamed: bool) -> None:
        live(self, operations, streamed)
        for volume, _, offset, length in operations:
            for region in self.board.geometry.regions_of(offset, length) if streamed else ():
                self.board.dirty.set(volume, region, region + 1, 0)

    return live_and_clean


def _fills_count_once_they_are_applied(acknowledge: Any) -> Any:
    def acknowledge_early(self: Stream) -> None:
        self.fills_durable = self.fills_applied
        acknowledge(self)

    return acknowledge_early


def _cleared_bits_are_forgotten_at_once(fills_durable: Any) -> Any:
    def clear(self: ResyncCursor, ordinal: int) -> None:
        before = {volume: bits.copy() for volume, bits in self.board.second.bits.items()}
        fills_durable(self, ordinal)
        self.board.second.bits.update(before)

    return clear


def _an_interrupted_resync_is_not_taken_back(_: Any) -> Any:
    def forget(self: Scoreboard) -> None:
        self.second.set_all(0)

    return forget


def _regions_read_while_written_are_sent(_: Any) -> Any:
    return lambda *_arguments: None


# -- A5 ---------------------------------------------------------------------------------------------


def _any_base_will_do(_: Any) -> Any:
    return lambda *_arguments: True


def _base_moves_to_what_was_sent(_: Any) -> Any:
    def settle(self: Feeder) -> None:
        if self.replicating or self.pause is not None:
            self.board.base = Position(self.shared.path.generation, self.acked.sent)

    return settle


def _every_peer_lacks_nothing(decide: Any) -> Any:
    def resume(*arguments: Any) -> Decision:
        decision: Decision = decide(*arguments)
        if decision.course is Course.UPDATE and arguments[1].clean:
            return Decision(Course.RESUME, decision.why)
        return decision

    return resume


# -- A6 ---------------------------------------------------------------------------------------------


def _nothing_marks_what_is_not_logged(_: Any) -> Any:
    def give_up(self: Unlogged, volume: int) -> None:
        self.unknown.add(volume)

    return give_up


def _unknown_is_not_durable_before_the_first_unlogged_write(give_up: Any) -> Any:
    def give_up_in_memory(self: Unlogged, volume: int) -> None:
        suspect = self._feeder.board.suspect
        changed = set(suspect.changed)
        suspect.set(volume, 0, len(suspect.bits[volume]), 1)
        suspect.changed = changed
        self.unknown.add(volume)

    return give_up_in_memory


# -- disk queues (F1, D4) ---------------------------------------------------------------------------


def _a_queue_is_not_sealed_after_an_unclean_stop(restore: Any) -> Any:
    def believe(self: LinkQueue, image: Any, head: Any, **_: Any) -> None:
        if image is not None:
            self._feeder.board.suspect.clear()
            head = image.end
        restore(self, image, head, whole=True)

    return believe


def _marks_of_a_dropped_queue_are_forgotten(keep: Any) -> Any:
    def forget(self: Scoreboard) -> None:
        self.spooled.clear()
        keep(self)

    return forget


def _frames_go_around_the_disk_queue(pump: Any) -> Any:
    def around(self: LinkQueue) -> None:
        if self.behind and self.live and self._feeder.live:
            self.read = self.on_disk
        pump(self)

    return around


# -- C ----------------------------------------------------------------------------------------------


def _a_flush_covers_its_connection_only(release: Any) -> Any:
    """It is answered as soon as the writes of its own connection are durable."""

    def release_early(self: WritePath) -> None:
        release(self)
        newest: dict[int, int] = {}
        for last, _, tokens in self.unwritten:
            newest.update((token.connection, last) for token in tokens)  # type: ignore[attr-defined]
        for place, (last, tokens) in enumerate(self._flushes):
            early = [
                token
                for token in tokens
                if token.operation[1] == FLUSH and token.connection not in newest  # type: ignore[attr-defined]
            ]
            self._flushes[place] = (last, [token for token in tokens if token not in early])
            self.outbox.emit(Reply(early))

    return release_early


def _a_flush_does_not_wait_for_peers(limit: Any) -> Any:
    def limit_writes_only(self: LinkGate, acked: Any, level: Any) -> None:
        limit(self, acked, level)
        gate = self._path.gates[self._link]
        gate.flush = gate.write

    return limit_writes_only


def _acknowledged_when_received_by_nobody(limit: Any) -> Any:
    def limit_to_sent(self: LinkGate, acked: Any, level: Any) -> None:
        limit(self, replace(acked, received=acked.sent, applied=acked.sent), level)

    return limit_to_sent


def _acknowledged_after_an_error(done: Any) -> Any:
    return lambda self, ticket, errors: done(self, ticket, {})


def _a_failed_sync_is_tried_again(synced: Any) -> Any:
    def retry(self: GroupSync, errno: int) -> None:
        if errno:
            waiting, self._running = self._running or [], None
            self._begin(waiting)
        else:
            synced(self, errno)

    return retry


def _a_failed_write_counts_as_applied(applied: Any) -> Any:
    return lambda self, _errno: applied(self, 0)


def _alone_without_a_record(_: Any) -> Any:
    def remember(_feeder: Feeder, _since: Position, then: Callable[[], None]) -> None:
        then()

    return remember


def _a_freeze_link_lets_go(_: Any) -> Any:
    return property(lambda _gate: False)


# -- B and D ----------------------------------------------------------------------------------------


def _sequences_are_used_again(start: Any) -> Any:
    def start_low(self: Primary) -> Any:
        header = self.setup.header
        if not header.clean and header.history.stretches:
            newest = header.history.stretches[-1]
            floor = header.history.stretches[-2].last if len(header.history.stretches) > 1 else 0
            history = header.history.extended_to(max(floor, newest.last - self.setup.reserve + 10))
            self.setup = replace(self.setup, header=replace(header, history=history))
            self.keeper.header = self.setup.header
        return start(self)

    return start_low


def _a_power_loss_is_not_doubted(_: Any) -> Any:
    return property(lambda _standing: False)


def _messages_of_other_sessions_count(received: Any) -> Any:
    def take(self: Stream, message: Any) -> None:
        if hasattr(message, "session"):
            message = replace(message, session=self.nonce)
        received(self, message)

    return take


def _a_cut_counts_during_a_resync(note: Any) -> Any:
    return lambda outbox, _missed, position: note(outbox, False, position)


VARIANTS: Final[dict[str, Variant]] = {
    "fold forgets the newest frame": Variant("A1", Feeder, "_fold", _fold_forgets_the_newest_frame),
    "fold starts at what is applied": Variant("A1", Feeder, "_fold", _fold_starts_at_what_is_applied),
    "frames leave before the activity log is durable": Variant(
        "A2", ActivityLog, "begin", _frames_leave_before_the_activity_log_is_durable
    ),
    "extents cool without a local sync": Variant(
        "A2", BoardKeeper, "cool", _extents_cool_without_a_local_sync
    ),
    "extents cool without marks": Variant("A2", Scoreboard, "mark_queued", _nothing),
    "suspects are forgotten at start": Variant("A3", Primary, "suspects", lambda _: lambda _self: ()),
    "suspects are resolved before a local sync": Variant(
        "A3", WritePath, "sync_now", _suspects_are_resolved_before_a_local_sync
    ),
    "a live write cleans its region": Variant("A4", ResyncCursor, "live", _a_live_write_cleans_its_region),
    "fills count once they are applied": Variant(
        "A4", Stream, "acknowledge", _fills_count_once_they_are_applied
    ),
    "cleared bits are forgotten at once": Variant(
        "A4", ResyncCursor, "fills_durable", _cleared_bits_are_forgotten_at_once
    ),
    "an interrupted resync is not taken back": Variant(
        "A4", Scoreboard, "or_back", _an_interrupted_resync_is_not_taken_back
    ),
    "regions read while written are sent": Variant(
        "E5", Pieces, "_void", _regions_read_while_written_are_sent
    ),
    "any base will do": Variant("A5", handshake, "at_or_after", _any_base_will_do),
    "the base is not moved": Variant("A5", Feeder, "settle_base", _nothing),
    "the base moves to what was sent": Variant("A5", Feeder, "settle_base", _base_moves_to_what_was_sent),
    "nothing marks what is not logged": Variant(
        "A6", Unlogged, "_give_up", _nothing_marks_what_is_not_logged
    ),
    "unknown is not durable before the first unlogged write": Variant(
        "A6", Unlogged, "_give_up", _unknown_is_not_durable_before_the_first_unlogged_write
    ),
    "writes stay unlogged after a resync began": Variant("A6", Unlogged, "resync_begins", _nothing),
    "a disk queue is not sealed after an unclean stop": Variant(
        "D4", LinkQueue, "restore", _a_queue_is_not_sealed_after_an_unclean_stop
    ),
    "marks of a dropped disk queue are forgotten": Variant(
        "A4", Scoreboard, "keep_queued", _marks_of_a_dropped_queue_are_forgotten
    ),
    "frames go around the disk queue": Variant("B1", LinkQueue, "pump", _frames_go_around_the_disk_queue),
    "a flush covers its connection only": Variant(
        "C1", WritePath, "release", _a_flush_covers_its_connection_only
    ),
    "a flush does not wait for peers": Variant("C1", LinkGate, "follow", _a_flush_does_not_wait_for_peers),
    "acknowledged when sent": Variant("C2", LinkGate, "follow", _acknowledged_when_received_by_nobody),
    "acknowledged after an error": Variant("C3", WritePath, "local_write_done", _acknowledged_after_an_error),
    "a failed sync is tried again": Variant("C3", GroupSync, "_synced", _a_failed_sync_is_tried_again),
    "a failed write counts as applied": Variant(
        "C3", Stream, "frame_applied", _a_failed_write_counts_as_applied
    ),
    "alone without a record": Variant("C4", Feeder, "_remember_alone", _alone_without_a_record),
    "a freeze link lets go": Variant("C4", LinkGate, "freezing", _a_freeze_link_lets_go),
    "sequences are used again": Variant("D1", Primary, "start", _sequences_are_used_again),
    "a power loss is not doubted": Variant("B3", Durability, "doubtful", _a_power_loss_is_not_doubted),
    **journal_variants.VARIANTS,
    **relay_variants.VARIANTS,
    **link_variants.VARIANTS,
    **read_scenes.VARIANTS,
    **verify_variants.VARIANTS,
    **preserve_variants.VARIANTS,
    "a cut counts during a resync": Variant("H", cutting, "note", _a_cut_counts_during_a_resync),
    "messages of other sessions count": Variant("B7", Stream, "received", _messages_of_other_sessions_count),
}
