"""`farshore split-brain`: two copies of a group that were written independently."""

from __future__ import annotations

import click

from farshore.cli import output, plans
from farshore.cli.options import connect, json_option, target_options


@click.group("split-brain")
@target_options
def split_brain() -> None:
    """Look at copies that contradict each other, and keep one of them."""


@split_brain.command()
@click.argument("group")
@json_option
@target_options
def show(group: str, as_json: bool) -> None:
    """Show since when the copies of GROUP are apart, and how much each was written."""
    document = connect().split_brain(group)
    if as_json:
        output.emit(document)
    elif not document["split"]:
        output.note(f"no copy of {group} that answers contradicts another")
    else:
        output.say("\n".join(plans.sides(document)))
        output.note(f"next: {document['next']}")


@split_brain.command()
@click.argument("group")
@click.option("--end", is_flag=True, help="Let the side that takes writes be written again.")
@json_option
@target_options
def preview(group: str, end: bool, as_json: bool) -> None:
    """Export every side of GROUP read-only, each at its node, to look at them.

    Neither side can be written meanwhile: until --end, or until resolve keeps one of them.
    """
    document = connect().split_brain_preview(group, end=end)
    if as_json:
        output.emit(document)
    elif end:
        output.note(f"the preview of {group} has ended; next: farshore split-brain show {group}")
    else:
        output.say("\n".join(plans.sides(document)))
        output.note(
            f"neither side can be written now; next: farshore split-brain resolve {group} --keep NODE"
        )
        output.note(f"or: farshore split-brain preview {group} --end")


@split_brain.command()
@click.argument("group")
@click.option("--keep", required=True, metavar="NODE[/COPY]", help="The copy that stays as it is.")
@plans.unprotected_option
@plans.plan_options
@target_options
def resolve(group: str, keep: str, unprotected: bool, choice: plans.Choice) -> None:
    """Keep the copy at NODE, and have those that contradict it follow it.

    What the others hold and NODE lacks is overwritten, and kept at each of them as a rescue: farshore rescue
    list GROUP. The plan says how much that is.
    """
    api = connect()
    done = plans.decided(
        lambda plan: api.split_brain_resolve(group, keep, accept=plan, unprotected=unprotected or None),
        f"farshore split-brain resolve {group} --keep {keep}" + " --unprotected" * unprotected,
        choice,
    )
    if done is not None:
        plans.tell(
            done,
            f"the copy of {group} at {keep} is kept; the others catch up; next: farshore wait {group}",
            choice,
        )
