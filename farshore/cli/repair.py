"""`farshore repair`: goes on after a disk error, with nothing believed that the error has put in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from farshore.cli import plans
from farshore.cli.options import connect, target_options
from farshore.client.role_moves import RoleMove


@click.command()
@click.argument("group")
@plans.plan_options
@target_options
def repair(group: str, choice: plans.Choice) -> None:
    """Bring GROUP's copies on this node back once their disk is well again.

    After a failed sync, or write of its records, a copy starts anew and compares everything with its peers;
    what could not be read is written anew with what a peer has. It shows its plan first where writes that
    were acknowledged may be missing, and is done at once where nothing can be lost. Where another file or
    device stands at a volume's path than the copy had, it goes on with that one, always by a plan.
    """
    node = connect()

    def ask(accept: str | None) -> RoleMove:
        return node.repair_plan(group) if choice.dry_run else node.repair(group, accept)

    done = plans.decided(ask, f"farshore repair {group}", choice)
    if done is not None:
        told = [f"{each['copy']}: {_told(each)}" for each in done.document["copies"]]
        plans.tell(done, "\n".join([*told, f"next: farshore status {group}"]), choice)


def _told(copy: Mapping[str, Any]) -> str:
    if copy["fault"]:
        return f"started anew after: {copy['fault']}"
    if copy["mended"] or copy["left"]:
        return f"{copy['mended']} regions can be read again, {copy['left']} cannot"
    return "it is well"
