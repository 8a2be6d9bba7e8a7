"""Rules of links and their ends, broken on purpose: B4, B5, B8, E4, F1, F3; see `sim.variants`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from farshore.core import objections
from farshore.core.durability import Durability
from farshore.core.feeder import Feeder
from farshore.core.filling import Filling
from farshore.core.journaling import Journaling
from farshore.core.link import LinkEvent
from farshore.core.links import Links
from farshore.core.pieces import Pieces
from farshore.core.queueing import LinkQueue
from farshore.core.relaying import Relay
from farshore.core.secondary import Secondary
from farshore.model import messages as m
from farshore.model.options import Mode
from farshore.model.positions import Position
from sim.variant import Variant


def _nothing(_: Any) -> Any:
    return lambda *_arguments, **_named: None


def _never(_: Any) -> Any:
    return lambda *_arguments: False


# -- B4 ---------------------------------------------------------------------------------------------


def _what_is_applied_does_not_gather(reached: Any) -> Any:
    return lambda self, sequence, _size: reached(self, sequence, 0)


# -- B5 ---------------------------------------------------------------------------------------------


def _a_stop_leaves_no_record(remember: Any) -> Any:
    def remember_all_but_that(
        self: Feeder, then: Callable[[], None] | None = None, **changes: object
    ) -> None:
        kept = {name: value for name, value in changes.items() if not name.startswith("stopped_")}
        remember(self, then, **kept)

    return remember_all_but_that


def _a_stop_is_where_the_peer_was_durable(stop: Any) -> Any:
    def stop_there(self: Feeder, event: LinkEvent, why: str, at: Position | None = None) -> None:
        stop(self, event, why, at or self.shared.history().position_of(self.acked.durable))

    return stop_there


# -- B8 ---------------------------------------------------------------------------------------------


def _without_objection(code: str) -> Callable[[Any], Any]:
    """A follower that does not mind what the code says."""

    def make(objection: Any) -> Any:
        def object_to_the_rest(copy: Secondary, hello: m.Hello) -> tuple[str, str] | None:
            found: tuple[str, str] | None = objection(copy, hello)
            ready = copy.started and not copy.stopping and not copy.fault
            return None if ready and found is not None and found[0] == code else found

        return object_to_the_rest

    return make


# -- E4 ---------------------------------------------------------------------------------------------


def _a_resync_makes_its_link_sync(facts: Any) -> Any:
    def facts_of_a_sync_link(self: Feeder) -> Any:
        record, options, acked = facts(self)
        return record, options if self.filling is None else replace(options, mode=Mode.SYNC), acked

    return facts_of_a_sync_link


# -- F3 ---------------------------------------------------------------------------------------------


def _a_hop_is_as_old_as_its_own_lag(_: Any) -> Any:
    return Links.age


def _what_came_late_counts_as_new(hear: Any) -> Any:
    def at(self: Secondary, sequence: int) -> float | None:
        return None if hear(self, sequence) is None else 0.0

    return at


VARIANTS: Final[dict[str, Variant]] = {
    "what is applied does not gather": Variant("B4", Durability, "reached", _what_is_applied_does_not_gather),
    "a follower does not heed its feeder's queue": Variant("B4", Durability, "heed", _nothing),
    "a journal waits for a flush": Variant("B4", Journaling, "tick", _nothing),
    "a stop leaves no record": Variant("B5", Feeder, "remember", _a_stop_leaves_no_record),
    "a stop is where the peer was durable": Variant(
        "B5", Feeder, "stop", _a_stop_is_where_the_peer_was_durable
    ),
    "a second instance of a feeder is let in": Variant(
        "B8", objections, "to", _without_objection("session-live")
    ),
    "a former feeder is let in": Variant("B8", objections, "to", _without_objection("wrong-feeder")),
    "order does not come back in a resync": Variant("E4", Filling, "_stream_again", _nothing),
    "writes are never held for a read": Variant("E4", Pieces, "hold_needed", _never),
    "a resync makes its link sync": Variant("E4", Feeder, "_gate_facts", _a_resync_makes_its_link_sync),
    "a memory queue has no bound": Variant("F1", Feeder, "_overflows", _never),
    "a disk queue has no bound": Variant("F1", LinkQueue, "_full", _never),
    "a hop is as old as its own lag": Variant("F3", Relay, "age", _a_hop_is_as_old_as_its_own_lag),
    "a copy that is fed is as of now": Variant("F3", Secondary, "age", _what_came_late_counts_as_new),
}
