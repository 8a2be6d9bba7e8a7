"""What a copy says of itself: plain values for status, in the keys that users script against.

Unknown figures are None, never 0. Times are RFC 3339 in UTC. Byte totals of channels belong to
the shell, which adds them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from farshore.core import findings, holding, refused
from farshore.core.fault_texts import doubts_volumes, fault_id
from farshore.core.feeder import Feeder
from farshore.core.health import LinkFacts, of_group
from farshore.core.lag import of_link
from farshore.core.links import Links
from farshore.core.liveness import Liveness
from farshore.core.moments import moment
from farshore.core.primary import Primary
from farshore.core.secondary import Secondary
from farshore.core.turning import in_doubt, obstacle
from farshore.core.undoing import reach, whole
from farshore.model.header import Fault
from farshore.model.options import Health, LinkState, Role, Writes
from farshore.model.positions import Position
from farshore.model.units import format_size

GROUP: Final = "GROUP"
"""In a next step that was written where nobody knows the group's name."""


def of_primary(primary: Primary, group: str) -> dict[str, Any]:
    """The entry of one group whose primary is here, without names and paths of volumes."""
    feeders = list(primary.feeders.values())
    fault = primary.keeper.header.fault
    failed = fault.text if fault is not None else ""
    trouble = "" if primary.fenced else failed or primary.rescue.trouble
    verdict = of_group(
        group,
        trouble,
        primary.fenced,
        [_facts(primary, each, group) for each in feeders if not each.spec.resting],
    )
    waits, ending = holding.until_answered(primary, group)
    return {
        "role": Role.PRIMARY.value,
        "health": verdict.health.value,
        "writes": primary.writable.value,
        "since": moment(max([each.since for each in feeders], default=primary.started_at)),
        "why": "; ".join(each for each in (verdict.why, waits) if each),
        "next": "; ".join(each for each in (verdict.next_step, ending) if each),
        "generation": primary.generation.hex(),
        "sequence": primary.sequence,
        "fault": failed or trouble or None,
        "fault_id": fault_id(primary.keeper.header) or None,
        "fault_doubts_volumes": doubts_volumes(fault),
        "unreadable_bytes": len(primary.rescue.bad) * primary.geometry.region,
        "held_by": holding.held_by(primary),
        "turn": primary.keeper.header.turn.hex() or None,
        "fenced": primary.fenced or None,
        "links": [of_feeder(primary, each, group) for each in feeders],
    }


def _facts(primary: Primary, feeder: Feeder, group: str) -> LinkFacts:
    options, lag = feeder.spec.options, of_link(primary.timeline, primary.outbox, feeder)
    return LinkFacts(
        feeder.spec.name,
        feeder.state,
        feeder.standing.reason,
        feeder.why,
        lag.seconds if lag is not None else None,
        options.rpo,
        options.autosync,
        feeder.next_step.replace(GROUP, group),
        feeder.record.paused_for,
        feeder.filling.headway.rates if feeder.filling is not None else None,
        feeder.board.found_bytes(),
        feeder.sync and feeder.gate.alone,
    )


def of_feeder(links: Links, feeder: Feeder, group: str = GROUP) -> dict[str, Any]:
    """One link."""
    filling, record, acked = feeder.filling, feeder.record, feeder.acked
    unacknowledged = links.ledger.bytes_after(acked.durable) if feeder.following else 0
    lag = of_link(links.timeline, links.outbox, feeder)
    seconds = lag.seconds if lag is not None else None
    usable, as_of, why = peer_usable(links, feeder)
    stopped = record.stopped_at
    rates = filling.headway.rates if filling is not None else None
    return {
        "id": feeder.id.hex(),
        "name": feeder.spec.name,
        "mode": feeder.spec.options.mode.value,
        "wire": feeder.spec.options.wire,
        "state": feeder.state.value,
        "reason": feeder.standing.reason.value,
        "why": feeder.why,
        "next": feeder.next_step.replace(GROUP, group),
        "refused": refused.report(feeder.session.refused),
        "since": moment(feeder.since),
        "direction": "forward",
        "progress": filling.cursor.progress if filling is not None else None,
        "eta_seconds": filling.eta() if filling is not None else None,
        "copied_bytes_per_second": round(rates.copied) if rates is not None else None,
        "marked_bytes_per_second": round(rates.marked) if rates is not None else None,
        "lag_seconds": seconds,
        "lag_bytes": lag.size if lag is not None else None,
        "lag_writes": lag.writes if lag is not None else None,
        "rpo_seconds": feeder.spec.options.rpo,
        "dirty_bytes": feeder.board.dirty_bytes() + unacknowledged,
        "queue": {
            "memory_bytes": max(feeder.queue, feeder.disk.memory_bytes),
            "memory_limit": feeder.spec.options.queue_memory,
            "disk_bytes": feeder.disk.disk_bytes if feeder.disk.configured else None,
            "disk_limit": feeder.spec.options.queue_disk or None,
        },
        "sequence": {
            "sent": acked.sent,
            "received": acked.received,
            "applied": acked.applied,
            "durable": acked.durable,
        }
        if feeder.counted
        else {"sent": None, "received": None, "applied": None, "durable": None},
        "resent_bytes_total": feeder.fill_bytes,
        "peer_usable": usable,
        "peer_usable_as_of": as_of,
        "peer_usable_why": why,
        "rtt_seconds": feeder.session.liveness.rtt,
        **_clocks(feeder.session.liveness),
        "stopped_at": stopped.sequence if stopped is not None else None,
        "stopped_time": moment(record.stopped_time),
        "peer_copy": record.peer_copy.hex() if record.peer_copy is not None else None,
        "alone_since": place(record.alone_since),
        "peer_head": place(feeder.session.peer_head),
        "diverged_from": _parted(feeder, unacknowledged),
        "verify": findings.report(feeder),
    }


def place(position: Position | None) -> dict[str, object] | None:
    """A position, as users and nodes name it."""
    return (
        None if position is None else {"generation": position.generation.hex(), "sequence": position.sequence}
    )


def _parted(feeder: Feeder, unacknowledged: int) -> dict[str, object] | None:
    """Where the peer's history leaves ours, if it does, and how much was changed here that it may lack."""
    at = feeder.session.parted
    if at is None:
        return None
    since = feeder.record.stopped_time if feeder.record.stopped_at is not None else None
    return {
        "fork": {**(place(at) or {}), "time": moment(since)},
        "own_bytes": feeder.board.dirty_bytes() + unacknowledged,
        "peer_head": place(feeder.session.peer_head),
    }


def _clocks(liveness: Liveness | None) -> dict[str, float | None]:
    """By how much the peer's clock is ahead of ours, and how far that may be wrong."""
    return {
        "clock_difference_seconds": liveness.clock_difference if liveness is not None else None,
        "clock_uncertainty_seconds": liveness.clock_uncertainty if liveness is not None else None,
    }


def peer_usable(links: Links, feeder: Feeder) -> tuple[bool | None, str | None, str]:
    """Whether the peer's copy could be used as it is, as of when, and why (or why not)."""
    record = feeder.record
    if feeder.state is LinkState.DIVERGED:
        return None, None, "the two copies have conflicting histories"
    if record.open_resync is not None and feeder.undo_at is not None:
        if feeder.session.doubtful:
            return False, None, "its machine lost power: it may hold the newest writes in part"
        as_of = moment(links.timeline.written_before(feeder.undo_at))
        return True, as_of, "it keeps what the resync overwrites, and can go back to before it"
    if record.open_resync is not None:
        return False, None, "a resync has overwritten part of it and no whole undo is known to be kept"
    if feeder.board.base is None:
        return False, None, "the first copy has not been completed"
    if feeder.session.faulted:
        return False, None, f"its disk failed: {feeder.session.faulted}"
    found = feeder.board.found_bytes()
    if found:
        return False, None, f"a verify has found {format_size(found)} in it that differ"
    if feeder.session.doubtful:
        return False, None, "it lost power, or its disk is full: it may hold the newest writes in part"
    if feeder.state is LinkState.REPLICATING:
        return True, moment(_as_of(links, feeder.acked.applied)), "every write is applied in order"
    return (
        True,
        moment(_newest_at_peer(links, feeder)),
        "it stands where the link stopped, as of the last contact",
    )


def _as_of(links: Links, sequence: int) -> float | None:
    """As of when a peer is that has everything up to `sequence`, by our clock."""
    age = links.age(sequence)
    return None if age is None else links.outbox.wall - age


def _newest_at_peer(links: Links, feeder: Feeder) -> float | None:
    """As of when the copy of a peer is that is not followed now: never later than the newest write that it
    has. None where the oldest one that it lacks was written before this run began."""
    record, base = feeder.record, feeder.board.base
    has = feeder.acked.applied if feeder.counted else base.sequence if base is not None else 0
    if feeder.shared.relaying:
        return _as_of(links, has)  # when a hop stopped says nothing of how old its feeder was by then
    if record.stopped_at is not None and has >= record.stopped_at.sequence:
        return record.stopped_time
    return links.timeline.written_before(has)


def _own_as_of(secondary: Secondary) -> float | None:
    """As of when this copy is, by our clock; None also where it cannot be used."""
    age = secondary.age(secondary.applied) if secondary.consistent else None
    return None if age is None else secondary.outbox.wall - age


def _promotion(secondary: Secondary) -> dict[str, Any]:
    """Whether this copy could become the primary, and what a turn would have to accept."""
    header = secondary.keeper.header
    resync = header.resync
    doubtful = secondary.standing.doubtful if resync is None else in_doubt(header)
    fault = Fault(secondary.fault, None) if secondary.fault else None
    against = obstacle(replace(header, fault=fault), doubtful, reach(secondary))
    usable = secondary.consistent or (resync is not None and whole(secondary) and not doubtful)
    return {
        "turn": header.turn.hex() or None,
        "promotable": against is None,
        "promotable_why": "" if against is None else against.why,
        "promotable_risk": (against.risk or None) if against is not None else None,
        "usable_position": place(secondary.history().head) if usable else None,
        "undo": _undo(secondary),
        "resync_open": None
        if resync is None
        else {"id": resync.id.hex(), "kind": resync.kind.value, "start": place(resync.start)},
        "retired": [
            {
                "link": each.link.hex(),
                "peer_copy": each.peer_copy.hex() if each.peer_copy is not None else None,
                "ever_replicated": each.ever_replicated,
                "alone_since": place(each.alone_since),
            }
            for each in header.links
            if each.retired
        ],
    }


def _undo(secondary: Secondary) -> dict[str, object] | None:
    """What the open resync can be taken back to."""
    layer = secondary.preserve.layer(secondary.keeper.header.undo)
    if layer is None:
        return None
    return {
        "layer": layer.id.hex(),
        "kind": layer.kind.value,
        "name": layer.name or None,
        "position": place(layer.mark),
        "time": moment(layer.time),
        "whole": whole(secondary),
    }


def of_secondary(secondary: Secondary, feeder_name: str, group: str = GROUP) -> dict[str, Any]:
    """The entry of one group of which a secondary is here."""
    connected = secondary.session is not None and secondary.session.ready
    resyncing = secondary.keeper.header.resync is not None
    if secondary.fault:
        health, why = Health.FAILED, secondary.fault
    elif resyncing:
        health, why = Health.CATCHING_UP, f"{feeder_name} is copying what this copy lacks"
    elif secondary.replaying:
        health, why = Health.CATCHING_UP, "what its journal holds is being applied"
    elif not connected:
        health, why = Health.UNPROTECTED, f"{feeder_name} is not connected"
    else:
        health, why = Health.PROTECTED, f"{feeder_name} sends every write in order"
    history = secondary.history()
    return {
        "role": Role.SECONDARY.value,
        "health": health.value,
        "writes": Writes.REFUSED.value,
        "since": moment(secondary.since or None),
        "why": why,
        "next": f"see to the disk, then farshore repair {group}" if secondary.fault else "",
        "generation": history.head.generation.hex() if history.head is not None else None,
        "sequence": secondary.applied,
        "durable": secondary.durable,
        "fault": secondary.fault or None,
        "held_by": None,
        "connected": connected,
        "usable": secondary.consistent,
        "usable_as_of": moment(_own_as_of(secondary)),
        **_promotion(secondary),
        # By the primary's clock; by the second figure it differs from ours.
        "newest_write_at": moment(secondary.newest_write / 1e9 if secondary.newest_write else None),
        **_clocks(secondary.session.liveness if secondary.session is not None else None),
        "links": [of_feeder(secondary.relay, each, group) for each in secondary.relay.feeders.values()],
    }
