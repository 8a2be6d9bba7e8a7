"""`farshore rewind`: a copy goes back to an earlier state, and is the primary from there."""

from __future__ import annotations

from typing import Any

import click

from farshore.cli import plans
from farshore.cli.options import DURATION, connect, target_options
from farshore.cli.plans import Choice
from farshore.model.units import means_time, parse_time


@click.command()
@click.argument("group")
@click.option("--on", "node", metavar="NODE[/COPY]", help="The copy that goes back; default: the one here.")
@click.option("--to", metavar="TIME|SNAPSHOT", help="An RFC 3339 time with a zone, or a snapshot's name.")
@plans.plan_options
@click.option("--timeout", type=DURATION, help="How long writes may be held meanwhile; default 30s.")
@target_options
def rewind(group: str, node: str | None, to: str | None, timeout: float | None, choice: Choice) -> None:
    """Take a secondary back to a moment before a mistake, and make it the primary from there.

    The plan names the moment that can really be had, and what is undone. What the copy held is kept as a
    rescue. The primary becomes a secondary first, where it can be reached; it and the other copies follow
    then. Cut off anywhere, the same command with --accept PLAN goes on; --to may be left out then.
    """
    if to is None and choice.accept is None:
        raise click.UsageError("--to says where to go back to: a time with a zone, or a snapshot's name")
    where = _where(to)
    api = connect()
    command = f"farshore rewind {group}" + (f" --on {node}" if node else "") + (f" --to {to}" if to else "")
    done = plans.decided(
        lambda plan: api.rewind(group, node, accept=plan, timeout=timeout, **where), command, choice
    )
    if done is not None:
        text = f"{done.plan.goal} is the primary of {group} now, from an earlier state"
        kept = f"; what it held before is its rescue {done.rescue}" if done.rescue else ""
        plans.tell(done, f"{text}{kept}; next: farshore status {group}", choice)


def _where(to: str | None) -> dict[str, Any]:
    if to is None:
        return {}
    if not means_time(to):
        return {"snapshot": to}
    try:
        return {"time": parse_time(to).timestamp()}
    except ValueError as error:
        raise click.UsageError(f"--to: {error}") from error
