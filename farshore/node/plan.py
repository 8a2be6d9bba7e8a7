"""What an operator is shown before something is done that moves a role or could lose data. Pure.

A plan names its steps in sentences, what is known to be lost by it, and what is to be thought of first. Its
id is a short hash over the facts that it rests on, so that the one who accepts it accepts what was shown:
where the facts are others by then, the plan is stale and nothing is moved. Facts that change every second
(how far a link lags) are not among them. A plan that is refused has no steps that could be carried out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from farshore.errors import FarshoreError

ID_DIGITS: Final = 12
"""Hexadecimal digits of a plan's id."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a plan cannot be carried out: a code of the catalogue, a sentence, the next command."""

    code: str
    what: str
    next_step: str = ""

    def error(self) -> FarshoreError:
        """As an error of the command."""
        return FarshoreError(
            self.code, self.what, means="nothing was changed on any node", next_step=self.next_step
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """See the module. `kind`: the command's name; `goal`: NODE or NODE/COPY that it is about."""

    kind: str
    group: str
    goal: str
    title: str
    steps: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """What is known to be lost, each with "at least" where more may be."""
    warnings: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    accepts: tuple[str, ...] = ()
    """Risks that whoever accepts the plan takes, as engines name them."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that it rests on."""

    @property
    def id(self) -> str:
        """The same for the same facts, kind and goal, whichever node made it."""
        rests = {"kind": self.kind, "group": self.group, "goal": self.goal, "facts": dict(self.facts)}
        text = json.dumps({**rests, "accepts": sorted(self.accepts)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]

    def require(self) -> None:
        """Raises the FarshoreError of the first refusal."""
        for refusal in self.refusals:
            raise refusal.error()

    def accepted(self, given: str, command: str) -> None:
        """Raises FarshoreError `stale-plan` unless `given` is this plan; `command` shows the present one."""
        if given != self.id:
            raise FarshoreError(
                "stale-plan",
                f"plan {given} was made from another state than the group {self.group} is in",
                means="nothing was changed on any node",
                next_step=f"{command} --dry-run shows the plan for the present state ({self.id})",
            )

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "group": self.group,
            "goal": self.goal,
            "title": self.title,
            "steps": list(self.steps),
            "lost": list(self.lost),
            "warnings": list(self.warnings),
            "accepts": list(self.accepts),
            "refusals": [
                {"code": each.code, "what": each.what, "next": each.next_step} for each in self.refusals
            ],
        }
