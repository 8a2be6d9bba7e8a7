"""`farshore pause`: stops a group's links at one sequence and logs from there on."""

from __future__ import annotations

import click

from farshore.cli import output
from farshore.cli.options import DURATION, connect, json_option, target_options
from farshore.client.answers import Paused


@click.command()
@click.argument("group")
@click.option("--link", metavar="LINK", help="Only this link; default: all of the group.")
@click.option("--drain/--now", default=True, help="Send what is queued first, or drop it (it stays marked).")
@click.option("--timeout", type=DURATION, default="30s", show_default=True, help="How long to drain.")
@json_option
@target_options
def pause(group: str, link: str | None, drain: bool, timeout: float, as_json: bool) -> None:
    """Stop sending GROUP's writes and mark what changes.

    The whole group stops at one sequence, which is reported. `farshore resync GROUP` goes on from there.
    """
    pauses = connect().pause(group, link=link, drain=drain, timeout=timeout)
    if as_json:
        output.emit(pauses.document)
        return
    output.table(
        ("LINK", "STOPPED AT", "TIME", "EVERYTHING SENT"),
        [_row(each) for each in pauses.links],
        empty=f"group {group} has no links",
    )
    output.note(f"changes are logged from here on; next: farshore resync {group}")


def _row(paused: Paused) -> tuple[str, ...]:
    sequence = (paused.position or {}).get("sequence")
    drained = {True: "yes", False: "no"}.get(paused.drained, "-") if paused.drained is not None else "-"
    return (paused.name, "-" if sequence is None else str(sequence), paused.time or "-", drained)
