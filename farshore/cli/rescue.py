"""`farshore rescue`: what copies held that was overwritten by a plan, and kept."""

from __future__ import annotations

from typing import Any

import click

from farshore.cli import output, plans
from farshore.cli.options import connect, json_option, target_options
from farshore.errors import FarshoreError
from farshore.model.units import format_size


@click.group()
@target_options
def rescue() -> None:
    """Look at, and give up, what was overwritten by a plan.

    A copy that is made to follow another one (split-brain resolve, failback, failover --revert, resync
    --reverse, or by itself) keeps what only it had, until that is deleted here.
    """


@rescue.command("list")
@click.argument("group")
@click.argument("name", required=False)
@json_option
@target_options
def list_(group: str, name: str | None, as_json: bool) -> None:
    """Show the rescues of GROUP: since when, of which position, how large, at which node."""
    document = dict(connect().rescues(group))
    if name is not None:
        document["rescues"] = [each for each in document["rescues"] if each["name"] == name]
    if as_json:
        output.emit(document)
    elif document["rescues"]:
        output.say("\n".join(_line(each) for each in document["rescues"]))
    else:
        output.note(f"no copy of {group} that answers keeps a rescue")
    for each in document["silent"] if not as_json else ():
        output.note(f"{each['node']} does not say: {each['why']}")
    if name is not None and not document["rescues"]:
        raise FarshoreError(
            "not-found",
            f"no copy of {group} that answers has a rescue {name!r}",
            next_step=f"farshore rescue list {group}",
        )


@rescue.command()
@click.argument("what", metavar="GROUP[/VOLUME]")
@click.argument("name")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["uri", "qemu", "libvirt"]),
    default="uri",
    show_default=True,
    help="Whose words are printed.",
)
@click.option("--tcp", metavar="HOST:PORT", help="Listen there instead of on a Unix socket.")
@click.option("--copy", "copy_name", metavar="COPY", help="Which copy, where this node holds several.")
@json_option
@target_options
@click.pass_context
def export(ctx: click.Context, /, what: str, name: str, **how: Any) -> None:
    """Make rescue NAME of GROUP readable over NBD, at the node that keeps it.

    It is what `farshore export GROUP@NAME` does; `farshore export delete GROUP@NAME` ends it.
    """
    from farshore.cli.export import create

    try:
        ctx.invoke(create, what=f"{what}@{name}", **how)
    except FarshoreError as error:
        group = what.partition("/")[0]
        if error.code.name == "not-found" and (elsewhere := _nodes_with(group, name)):
            error.next_step = f"farshore rescue export {what} {name}, at {' or '.join(elsewhere)}"
        raise


def _nodes_with(group: str, name: str) -> list[str]:
    return [each["node"] for each in connect().rescues(group)["rescues"] if each["name"] == name]


@rescue.command()
@click.argument("group")
@click.argument("name")
@click.option("--on", metavar="NODE[/COPY]", help="Only the one there; default: wherever it is.")
@plans.plan_options
@target_options
def delete(group: str, name: str, on: str | None, choice: plans.Choice) -> None:
    """Give up rescue NAME of GROUP: what it keeps is nowhere else."""
    api = connect()
    command = f"farshore rescue delete {group} {name}" + (f" --on {on}" if on else "")
    done = plans.decided(lambda plan: api.delete_rescue(group, name, on=on, accept=plan), command, choice)
    if done is not None:
        plans.tell(done, f"rescue {name} of {group} is deleted", choice)


def _line(each: dict[str, Any]) -> str:
    size = "-" if each["bytes"] is None else format_size(each["bytes"])
    where = each["node"] if each["copy"] in ("", each["node"]) else f"{each['node']}/{each['copy']}"
    at = "-" if each["sequence"] is None else f"sequence {each['sequence']}"
    still = "; its resync is not done" if each["open"] else ""
    lost = each.get("unreadable_bytes")
    still += f"; lacks {format_size(lost)} that its disk did not show" if lost else ""
    still += "; broken: it lacks what was overwritten, and cannot be read" if each.get("broken") else ""
    return f"{each['name']}  at {where}, as of {each['time']} ({at}), {size}{still}"
