"""`farshore repair`: goes on after a disk error, with nothing believed that the error has put in doubt."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from farshore.cli import output
from farshore.cli.options import connect, json_option, target_options
from farshore.errors import FarshoreError


@click.command()
@click.argument("group")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--accept", metavar="PLAN", help="Carry out the plan of this id.")
@json_option
@target_options
def repair(group: str, dry_run: bool, accept: str | None, as_json: bool) -> None:
    """Bring GROUP's copy on this node back once its disk is well again.

    After a failed sync, or write of its records, the copy starts anew and compares everything with its
    peers. What could not be read is written anew with what a peer has.
    """
    node = connect()
    if dry_run:
        _show(node.repair_plan(group), as_json=as_json)
        return
    try:
        done = node.repair(group, accept)
    except FarshoreError as error:
        if error.code.name != "plan-needed" or not sys.stdin.isatty():
            raise
        plan = node.repair_plan(group)
        _show(plan, as_json=False)
        if click.prompt("Type the group's name to carry it out", default="", err=True) != group:
            raise
        ids = [each["plan"] for each in plan["copies"] if each["plan"]]
        done = node.repair(group, ids[0] if ids else None)
    if as_json:
        output.emit(done)
        return
    for each in done["copies"]:
        output.note(f"{each['copy']}: {_told(each)}")
    output.note(f"next: farshore status {group}")


def _told(copy: Mapping[str, Any]) -> str:
    if copy["fault"]:
        return f"started anew after: {copy['fault']}"
    if copy["mended"] or copy["left"]:
        return f"{copy['mended']} regions can be read again, {copy['left']} cannot"
    return "it is well"


def _show(plan: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.emit(plan)
        return
    for each in plan["copies"]:
        output.say(f"{plan['group']}/{each['copy']}: {each['fault'] or 'no fault'}")
        for number, step in enumerate(each["steps"], 1):
            output.say(f"  {number}. {step}")
        if each["lost"]:
            output.say(f"  {each['lost']}")
        if each["plan"]:
            output.say(f"  plan {each['plan']}: farshore repair {plan['group']} --accept {each['plan']}")
