"""How a failure is told: what happened, what it means for the data, the next command, where to read more."""

from __future__ import annotations

import json

import click

from farshore.cli.output import colour
from farshore.errors import FarshoreError


def show(error: FarshoreError, *, as_json: bool) -> None:
    """On stderr: one JSON object where the command was asked for JSON, sentences otherwise."""
    if as_json:
        click.echo(json.dumps({"schema": 1, "error": error.as_dict()}, ensure_ascii=False), err=True)
        return
    lines = [f"farshore: {error.what} ({error.code.name})"]
    if error.means:
        lines.append(f"  means  {error.means}")
    if error.next_step:
        lines.append(f"  next   {error.next_step}")
    if colour(err=True):
        lines[0] = click.style(lines[0], fg="red")
    click.echo("\n".join(lines), err=True, color=colour(err=True))
