"""Who holds an application's writes at a primary, in words."""

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
