"""`farshore doctor`: looks for what would keep a node from working, and says what to do about it.

What this host shows is looked at here, in `doctor_checks`; what only the node knows (peers, clocks, engines)
it is asked for. Nothing is changed. Exit 0 where nothing failed, 1 otherwise; warnings are not failures.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from farshore import config
from farshore.cli import doctor_checks, output
from farshore.cli.options import connect, json_option, target_of, target_options
from farshore.client import Node
from farshore.client.answers import Check
from farshore.errors import EXIT_ERROR, FarshoreError

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@json_option
@target_options
def doctor(as_json: bool) -> int:
    """Check this host and its node, and name the next step for whatever is wrong."""
    target = target_of(click.get_current_context())
    state = Path(config.state_of(target, os.environ, os.geteuid()))
    checks = doctor_checks.of_host(state) + _of_node(connect())
    failed = [each for each in checks if each.result == "fail"]
    if as_json:
        output.emit({"result": "fail" if failed else "ok", "checks": [asdict(each) for each in checks]})
        return EXIT_ERROR if failed else 0
    for each in checks:
        mark = f"{each.result:<4}"
        painted = click.style(mark, fg=_COLOURS.get(each.result)) if output.colour() else mark
        output.say(f"{painted}  {each.name:<16}  {each.text}")
        if each.next:
            output.say(f"{'':<4}  {'':<16}  next: {each.next}")
    return EXIT_ERROR if failed else 0


def _of_node(node: Node) -> list[Check]:
    try:
        info = node.show()
    except FarshoreError as error:
        return [Check("node", "fail", error.what, error.next_step)]
    found = [Check("node", "ok", f"{info.node.name} answers at {info.api} (pid {info.pid})")]
    try:
        found += node.doctor().checks
    except FarshoreError as error:
        found.append(Check("node's own checks", "fail", error.what, error.next_step))
    return found
