"""Rules of relaying, broken on purpose; see `sim.variants`. Seeds with chains notice them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from farshore.core import relaying
from farshore.core.actions import SendFrames, TrimJournal
from farshore.core.draining import Draining
from farshore.core.feeder import Feeder
from farshore.core.relaying import Relay
from farshore.model.positions import Position
from sim.variant import Variant


def _nothing(_: Any) -> Any:
    return lambda *_arguments, **_named: None


# -- B6 ---------------------------------------------------------------------------------------------


def _frames_are_relayed_before_they_are_durable(advance: Any) -> Any:
    def advance_early(self: Relay) -> None:
        standing = self._copy.standing
        durable, standing.durable = standing.durable, standing.applied
        advance(self)
        standing.durable = durable

    return advance_early


def _frames_beyond_the_end_of_the_queue_are_drained(_: Any) -> Any:
    def send_all(self: Draining, frames: Any) -> str:
        feeder = self._feeder
        for head, frame in frames:
            if head.last > self._queue.read:
                self._turn_to(head.generation)
                feeder.shared.outbox.emit(SendFrames(feeder.id, [frame]))
                self._queue.read = feeder.acked.sent = head.last
                feeder.queue += head.size
        return ""

    return send_all


def _marks_of_a_resync_stay_in_memory(persist: Any) -> Any:
    def persist_later(self: Relay, then: Callable[[], None], *, exactly: bool = False) -> None:
        if exactly or not self._copy.started:
            persist(self, then, exactly=exactly)
        else:
            then()

    return persist_later


# -- D4, A5 -----------------------------------------------------------------------------------------


def _the_journal_is_trimmed_beyond_acknowledgements(_: Any) -> Any:
    def needed(feeder: Feeder) -> int:
        return feeder.shared.path.sequence

    return needed


def _frames_go_before_their_marks_are_durable(_: Any) -> Any:
    def trim(self: Relay, marked: Position) -> None:
        floor = min([marked.sequence, *[relaying._needed(each) for each in self.feeders.values()]])
        self.outbox.emit(TrimJournal(Position(marked.generation, floor)))

    return trim


def _a_scoreboard_is_trusted_without_a_journal(restore: Any) -> Any:
    def trust(self: Relay, _lost: bool, then: Callable[[], None]) -> None:
        restore(self, False, then)

    return trust


def _a_start_forgets_what_was_not_relayed(_: Any) -> Any:
    def recall(self: Relay, _start: Position, then: Callable[[], None]) -> None:
        self.persist(then)

    return recall


# -- E5 ---------------------------------------------------------------------------------------------


def _reads_do_not_know_of_waiting_frames(relay: Any) -> Any:
    def relay_and_forget(self: Relay, *arguments: Any) -> None:
        relay(self, *arguments)
        self.path.unwritten.clear()

    return relay_and_forget


VARIANTS: Final[dict[str, Variant]] = {
    "frames are relayed before they are durable": Variant(
        "B6", Relay, "advance", _frames_are_relayed_before_they_are_durable
    ),
    "frames beyond the end of the queue are drained": Variant(
        "B6", Draining, "_send", _frames_beyond_the_end_of_the_queue_are_drained
    ),
    "nothing is marked for hops in a resync": Variant("B6", Relay, "changes", _nothing),
    "hops go on while their copy is being resynced": Variant("B6", Relay, "suspend", _nothing),
    "marks of a resync stay in memory": Variant("B6", Relay, "persist", _marks_of_a_resync_stay_in_memory),
    "the journal is trimmed beyond acknowledgements": Variant(
        "D4", relaying, "_needed", _the_journal_is_trimmed_beyond_acknowledgements
    ),
    "frames go before their marks are durable": Variant(
        "D4", Relay, "trim", _frames_go_before_their_marks_are_durable
    ),
    "a scoreboard is trusted without a journal": Variant(
        "A5", Relay, "restore", _a_scoreboard_is_trusted_without_a_journal
    ),
    "a start forgets what was not relayed": Variant(
        "A1", Relay, "_recall", _a_start_forgets_what_was_not_relayed
    ),
    "reads do not know of waiting frames": Variant(
        "E5", Relay, "_relay", _reads_do_not_know_of_waiting_frames
    ),
}
