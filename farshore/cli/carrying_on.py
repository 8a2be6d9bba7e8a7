"""Changes of roles that wait until a copy has caught up: the same command again, until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from farshore.cli import polling
from farshore.cli.lasting import LastingRefusals
from farshore.cli.plans import Choice
from farshore.client import Node
from farshore.client.answers import Group
from farshore.client.role_moves import RoleMove
from farshore.errors import FarshoreError
from farshore.model.units import format_duration

_AGAIN = 0.3  # seconds between two looks whether it can go on


@dataclass(frozen=True, slots=True)
class Moving:
    """What is under way: the command that goes on, what to say once `timeout` seconds are over."""

    group: str
    command: str
    late: str
    timeout: float | None


def carry_on(
    api: Node, done: RoleMove, moving: Moving, choice: Choice, again: Callable[[], RoleMove]
) -> RoleMove:
    """Asks `again` until it is done. Raises FarshoreError."""
    deadline = None if moving.timeout is None else time.monotonic() + moving.timeout
    progress = polling.Progress(moving.group, as_json=choice.as_json)
    refusals = LastingRefusals()

    def left() -> float:
        if deadline is None:
            return _AGAIN
        if time.monotonic() > deadline:
            raise FarshoreError(
                "timeout",
                f"{moving.late} after {format_duration(moving.timeout or 0)}",
                means="it goes on catching up; the role has not moved",
                next_step=moving.command,
            )
        return min(deadline - time.monotonic(), _AGAIN)

    try:
        while not done.done:
            polling.until(
                api,
                moving.group,
                _caught_up(moving.group, done, refusals),
                timeout=left(),
                progress=progress,
            )
            done = again()
    finally:
        progress.close()
    return done


def _caught_up(group: str, move: RoleMove, refusals: LastingRefusals) -> Callable[[Group], bool]:
    """Whether the link replicates that is waited for, as far as this node can see that."""
    name = (move.waits_for or {}).get("link")

    def reached(seen: Group) -> bool:
        link = seen.link(str(name))
        if link is None:
            return seen.role == "secondary" and seen.health == "protected"
        if link.reason == "store-full":
            raise FarshoreError(
                "store-full",
                f"link {group}/{name} waits: {link.peer} has no room to keep what only it has",
                means="nothing was overwritten there that is not kept; the role has not moved",
                next_step=f"make room: farshore rescue list {group}; or, to keep it nowhere:"
                f" farshore resync {group} --link {name} --unprotected",
            )
        if link.state == "diverged":
            raise FarshoreError(
                "diverged", f"link {group}/{name}: the copies have diverged", next_step=seen.next or ""
            )
        refusals.look(seen, (link,))
        return link.state == "replicating"

    return reached
