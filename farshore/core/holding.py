"""Who holds an application's writes at a primary, in words, and what an operator can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.model.options import Writes

if TYPE_CHECKING:
    from farshore.core.primary import Primary


def held_by(primary: Primary) -> str | None:
    """Why writes are held, None while they flow or are refused."""
    if primary.writable is not Writes.HELD:
        return None
    for feeder in primary.feeders.values():
        if feeder.freezing and not feeder.replicating:
            return f"link {feeder.spec.name} freezes writes until its peer is back"
    if primary.standstill.holding:
        return "writes are held for a change of roles"
    if primary.path.blocked:
        return "the queue of a link is full and holds writes until there is room (on-full=block)"
    waiting = [each.spec.name for each in primary.feeders.values() if not each.session.met]
    return f"the peers of {', '.join(waiting)} are asked first" if waiting else "the copy is starting"


def until_answered(primary: Primary, group: str) -> tuple[str, str]:
    """Rule D5: why writes wait for peers that may stay silent for ever, and what ends that; empty where they
    do not."""
    if primary.opened or primary.fenced or primary.writable is not Writes.HELD:
        return "", ""
    waiting = primary.patience.without_end(primary.feeders.values())
    names = [each.spec.name for each in waiting]
    if not names:
        return "", ""
    strange = [each.spec.name for each in waiting if each.session.strange]
    if strange:
        why = f"writes wait: the peer of {' and of '.join(strange)} speaks another protocol, and cannot say"
        why += " whether it was made the primary meanwhile"
        following = "; ".join(f"farshore link delete {group} {name}" for name in strange)
        following = f"only where that copy takes no writes and is gone for good: {following}"
        return why, f"run the same version of Farshore on both nodes; {following}"
    why = f"writes wait since the machine has restarted: the peer of {' and of '.join(names)}"
    why += " may have been made the primary meanwhile, and has not answered"
    following = "; ".join(f"farshore link delete {group} {name}" for name in names)
    return why, f"only where that copy takes no writes and is gone for good: {following}"
