"""What status says of changes of roles that are not done, of failovers that can be taken back, and of
fences.

An engine knows its own copy only. What a role's change is a part of stands in the copy's intent; the
command that goes on, or ends it, is named here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from farshore.model.copy_config import PREVIEWED
from farshore.model.options import Health, Role, Writes
from farshore.model.role_change import ChangeIntent
from farshore.model.units import format_time
from farshore.node.copies import StoredCopy

_BETTER: Final = (Health.PROTECTED, Health.BEHIND, Health.CATCHING_UP, None)


def show(stored: StoredCopy, found: dict[str, Any]) -> dict[str, Any]:
    """A group's entry of the status document, with what is to be said of roles."""
    found = _fenced(stored, found)
    change = stored.config.change
    if stored.config.closed and stored.config.role is Role.PRIMARY:
        found = _closed(stored, found)
    if change is None:
        return {**found, "change": None}
    why, following = _told(stored, change)
    fresh = {**found, "change": _document(change, following)}
    if change.kind == "failover" or found.get("health") not in _BETTER:
        fresh["why"] = _joined(found.get("why"), why)
        fresh["next"] = _joined(found.get("next"), following)
        return fresh
    fresh |= {"why": why, "next": following}
    if change.kind != "failback" and stored.config.role is Role.SECONDARY:
        fresh["health"] = Health.UNPROTECTED.value
    return fresh


def _told(stored: StoredCopy, change: ChangeIntent) -> tuple[str, str]:
    """What stands, and the command that goes on."""
    group = stored.config.group_name
    accept = f" --accept {change.plan}" if change.plan else ""
    goal, other = change.goal_name, change.other_name or "the former primary"
    match change.kind:
        case "switchover":
            why = f"the switchover from {other} to {goal} is not done"
            if stored.config.role is Role.SECONDARY and stored.key == change.other:
                why += ", and no copy takes writes before it is"
            back = f"; or back: farshore switchover {group} {other}" if stored.key != change.goal else ""
            return why, f"farshore switchover {group} {goal}{accept}{back}"
        case "failover":
            why = f"this copy was promoted by a failover from {other} that is not committed"
            if stored.key != change.goal:
                why = f"{goal} was promoted by a failover that is not committed"
            return why, f"farshore failover {group} --commit, or --revert, at {goal}"
        case "failover-revert":
            why = f"the failover to {goal} is being taken back"
            return why, f"farshore failover {group} --revert{accept}"
        case "failback":
            why = f"{goal} gets what it lacks from {other} and then the role"
            return why, f"farshore failback {group} {goal}{accept}"
        case "reverse" | "reverse-end":
            why = f"the content at {goal} is being replaced by that of the copy at {other}"
            if stored.config.role is Role.SECONDARY or stored.config.closed:
                why += ", and no copy takes writes before it is"
            command = f"farshore resync {group} --reverse{accept}"
            if stored.key == change.goal:
                command += f"; if {other} is lost, back to what was here: farshore failover {group}"
            return why, command
        case "rewind":
            why = f"the rewind of {goal} is not done"
            if stored.config.role is Role.SECONDARY:
                why += f", and no copy takes writes unless {other} still does"
            return why, f"farshore rewind {group}{accept}; or as it is: farshore failover {group} {goal}"
        case "rejoin":
            return f"this copy follows {goal} again by itself", "farshore events"
        case _:
            why = f"the copy at {goal} is kept, and {other} is to follow it"
            return why, f"farshore split-brain resolve {group} --keep {goal}{accept}"


def _closed(stored: StoredCopy, found: dict[str, Any]) -> dict[str, Any]:
    """A primary that no application can write to, since its exports for writing are not served."""
    closed, group = stored.config.closed, stored.config.group_name
    found |= {"writes": Writes.REFUSED.value, "why": _joined(found.get("why"), closed)}
    if closed != PREVIEWED:
        return found
    ways = f"farshore split-brain preview {group} --end, or farshore split-brain resolve {group} --keep NODE"
    return {**found, "next": ways}


def _fenced(stored: StoredCopy, found: dict[str, Any]) -> dict[str, Any]:
    """A primary that takes no writes, since a peer has been promoted: by whom, and what is next."""
    if not found.get("fenced"):
        return {**found, "fenced_by": None}
    group = stored.config.group_name
    by = [each.get("peer") for each in found.get("links") or () if each.get("state") == "diverged"]
    name = next((str(each) for each in by if each), None)
    following = f"farshore split-brain show {group}"
    if name is not None:
        following += f"; to make this copy follow {name}: farshore split-brain resolve {group} --keep {name}"
    return {**found, "fenced_by": name, "next": following}


def _document(change: ChangeIntent, following: str) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "plan": change.plan or None,
        "to": change.goal_name,
        "from": change.other_name or None,
        "since": format_time(datetime.fromtimestamp(change.began, UTC)),
        "next": following,
    }


def _joined(first: object, second: str) -> str:
    return f"{first}; {second}" if first else second
