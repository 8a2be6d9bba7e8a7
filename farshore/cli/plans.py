"""Plans on the command line: shown, and carried out only by whoever accepts what was shown.

With `--dry-run` a plan is only printed. `--accept PLAN` carries it out. On a terminal, typing the group's
name does the same; without a terminal nobody is asked, the plan is printed and the command refused
(`plan-needed`). Where a node asks for no acceptance, since nothing can be lost, it has done it by then.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from farshore.cli import output
from farshore.cli.options import json_option
from farshore.client.role_moves import Plan, RoleMove
from farshore.errors import FarshoreError

Ask = Callable[[str | None], RoleMove]
"""Asks the node, with a plan's id or without."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be done with a plan, and how it is shown."""

    dry_run: bool
    accept: str | None
    as_json: bool


def plan_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds --dry-run, --accept and --json, together as `choice`."""

    @functools.wraps(function)
    def chosen(dry_run: bool, accept: str | None, as_json: bool, **rest: Any) -> None:
        if dry_run and accept is not None:
            raise click.UsageError("--dry-run and --accept exclude each other")
        function(choice=Choice(dry_run, accept, as_json), **rest)

    made = click.option("--accept", metavar="PLAN", help="Carry out the plan with this id.")(chosen)
    made = click.option("--dry-run", is_flag=True, help="Only show the plan.")(made)
    return json_option(made)


def unprotected_option(function: Callable[..., None]) -> Callable[..., None]:
    """Adds --unprotected to a command whose plan overwrites what only one copy has."""
    text = "Keep nowhere what is overwritten, where the preserve store has no room for a rescue of it."
    return click.option("--unprotected", is_flag=True, help=text)(function)


def decided(ask: Ask, command: str, choice: Choice) -> RoleMove | None:
    """What was done, with the plan's acceptance unless it needs none; None where it was only to be shown.

    `command` is the command as typed, without its options. Raises FarshoreError.
    """
    if choice.accept is not None:
        return ask(choice.accept)
    shown = ask(None)
    if shown.done:
        return shown
    if choice.as_json:
        output.emit(shown.document)
    else:
        output.say(text(shown.plan))
    for each in shown.plan.refusals:
        raise FarshoreError(
            each.code, each.what, means="nothing was changed on any node", next_step=each.next
        )
    if choice.dry_run:
        return None
    if choice.as_json or not _asked():
        raise FarshoreError(
            "plan-needed",
            f"{command} is carried out by whoever accepts its plan",
            means="nothing was changed on any node",
            next_step=f"{command} --accept {shown.plan.id}",
        )
    typed = click.prompt(f"type the group's name, {shown.plan.group}, to carry this out", err=True)
    if typed.strip() != shown.plan.group:
        raise click.UsageError(f"{typed!r} is not the group's name; nothing was changed")
    return ask(shown.plan.id)


def text(plan: Plan) -> str:
    """A plan for a human."""
    lines = [plan.title]
    lines += [f"  {number}. {step}" for number, step in enumerate(plan.steps, 1)]
    lines += [_red(f"  lost: {each}") for each in plan.lost]
    lines += [f"  mind: {each}" for each in plan.warnings]
    lines += [f"  accepts: {each}" for each in plan.accepts]
    lines += [_red(f"  refused: {each.what} ({each.code})") for each in plan.refusals]
    if not plan.refusals:
        lines.append(f"plan {plan.id}")
    return "\n".join(lines)


def tell(move: RoleMove, done: str, choice: Choice) -> None:
    """The end of a command."""
    if choice.as_json:
        output.emit(move.document)
        return
    output.note(done)
    if move.not_told:
        output.note(
            "could not be told, and are to be looked at when they are back: " + ", ".join(move.not_told)
        )


def sides(document: Mapping[str, Any]) -> Sequence[str]:
    """A split brain for a human."""
    from farshore.model.units import format_size

    lines = [_red(f"{document['group']}: two copies were written independently")]
    for side in document["sides"]:
        fork, size = side.get("fork") or {}, side.get("own_bytes")
        facts = [side["role"] or "-", f"writes {side['writes'] or '-'}"]
        if fork.get("time"):
            facts.append(f"apart since {fork['time']}")
        if size is not None:
            facts.append(f"at least {format_size(size)} written since")
        if side.get("fenced"):
            facts.append(f"takes no writes: {side['fenced']}")
        lines.append(f"  {side['node']}: " + ", ".join(facts))
        lines += [f"    {each['volume']}: {each['uri']}" for each in side.get("exports") or ()]
    lines += [f"  {each['node']} is silent: {each['why']}" for each in document["silent"]]
    return lines


def _asked() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _red(line: str) -> str:
    return click.style(line, fg="red") if output.colour() else line
