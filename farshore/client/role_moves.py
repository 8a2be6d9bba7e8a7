"""The part of a node's API that says who is the primary: plans, and carrying them out.

A method without `accept` shows the plan and changes nothing; with the plan's id it is carried out, unless the
state is another one by then (`stale-plan`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farshore.client import transport
from farshore.client.answers import Answer
from farshore.client.calls import Calls
from farshore.client.documents import read

_LOOKING = 15.0
_CHANGING_ROLES = 420.0  # seconds that the engines of all nodes concerned may take to end and to start


@dataclass(frozen=True, slots=True)
class PlanRefusal:
    """Why a plan cannot be carried out."""

    code: str
    what: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, what is known to be lost by it, and what is to be thought of first."""

    id: str
    kind: str
    group: str
    goal: str
    title: str
    steps: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    refusals: tuple[PlanRefusal, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleMove(Answer):
    """A plan, and whether it was carried out; `waits_for` where the rest has to wait for something."""

    plan: Plan
    done: bool
    waits_for: dict[str, Any] | None = None
    not_told: tuple[str, ...] | None = None
    """Nodes whose copies could not be told of it."""
    links: tuple[str, ...] | None = None
    """Of a resync: those over which it began."""
    rescue: str | None = None
    """Of a rewind: the name of the rescue that keeps what was there before."""


class RoleMoves(Calls):
    """See the module."""

    def switchover(self, group: str, node: str, **how: Any) -> RoleMove:
        """Moves the role to the copy at a node, without a loss. `how`: `accept`, a plan's id, else the plan
        is shown only; `timeout` to drain for."""
        return self._move(group, "switchover", node=node, **how)

    def failover(self, group: str, node: str | None = None, **how: Any) -> RoleMove:
        """Promotes the copy at a node, the most advanced one by default, without its primary."""
        return self._move(group, "failover", node=node, **how)

    def failover_revert(self, group: str, **how: Any) -> RoleMove:
        """Takes a failover back that was not committed."""
        return self._move(group, "failover/revert", **how)

    def failover_commit(self, group: str) -> Mapping[str, Any]:
        """Makes a failover final."""
        return self.call("POST", _path(group, "failover/commit"), {}, extra=_CHANGING_ROLES)

    def failback(self, group: str, node: str, **how: Any) -> RoleMove:
        """Brings a former primary up to date and gives it the role again; called again until it is done."""
        return self._move(group, "failback", node=node, **how)

    def resync_reverse(self, group: str, **how: Any) -> RoleMove:
        """Replaces the content of the primary here by that of a copy that it feeds; called again until it is
        done. `how`: `link`, `kind`, `unprotected`, `accept`."""
        return self._move(group, "resync/reverse", **how)

    def resync_unprotected(self, group: str, **how: Any) -> RoleMove:
        """Starts a resync also where what it overwrites cannot be kept: done at once where nothing is lost
        by that, else by a plan. `how`: `link`, `kind`, `once`, `accept`."""
        return self._move(group, "resync/unprotected", **how)

    def rewind(self, group: str, node: str | None = None, **how: Any) -> RoleMove:
        """Has the copy at a node go back to an earlier state, and promotes it from there. `how`: `time` in
        seconds since the epoch, or `snapshot`, a name; `accept`, `timeout`."""
        return self._move(group, "rewind", node=node, **how)

    def split_brain(self, group: str) -> Mapping[str, Any]:
        """The copies that contradict each other."""
        return self.call("GET", _path(group, "split-brain"), extra=_LOOKING)

    def split_brain_preview(self, group: str, *, end: bool = False) -> Mapping[str, Any]:
        """Exports all of them read-only, and nobody can write to them until `end`, or until one is kept."""
        body = {"end": True} if end else {}
        return self.call("POST", _path(group, "split-brain/preview"), body, extra=_CHANGING_ROLES)

    def split_brain_resolve(self, group: str, keep: str, **how: Any) -> RoleMove:
        """Keeps the copy at a node; those that contradict it follow it."""
        return self._move(group, "split-brain/resolve", node=keep, **how)

    def _move(self, group: str, what: str, **body: Any) -> RoleMove:
        extra = _CHANGING_ROLES + float(body.get("timeout") or 0.0)
        given = {name: value for name, value in body.items() if value is not None}
        return read(RoleMove, self.call("POST", _path(group, what), given, extra=extra))


def _path(group: str, what: str) -> str:
    return f"/v1/groups/{transport.quoted(group)}/{what}"
