"""`farshore wait`: returns when a group has the wanted health, or all its links the wanted state."""

from __future__ import annotations

import click

from farshore.cli import output, polling
from farshore.cli.lasting import LastingRefusals
from farshore.cli.options import DURATION, connect, json_option, target_options
from farshore.client.answers import Group
from farshore.errors import FarshoreError
from farshore.model.options import Health, LinkState
from farshore.model.units import format_duration

_WORDS = tuple(dict.fromkeys([*(str(each) for each in Health), *(str(each) for each in LinkState)]))


@click.command()
@click.argument("group")
@click.option("--for", "wanted", type=click.Choice(_WORDS), default="protected", show_default=True)
@click.option("--timeout", type=DURATION, help="Give up after this long, as in 30s; default: never.")
@json_option
@target_options
def wait(group: str, wanted: str, timeout: float | None, as_json: bool) -> None:
    """Wait until GROUP has a health, or all its links have a state.

    Exit 0 when it is so, 7 when the time is over, 8 when the copies have diverged: no waiting mends that. Nor
    does it where a peer answers and refuses a link until somebody gives a command, which is an error too. A
    peer that is away is waited for.
    """
    node, progress = connect(), polling.Progress(group, as_json=as_json)
    refusals = LastingRefusals()
    try:
        status = polling.until(
            node, group, lambda seen: reached(seen, wanted, refusals), timeout=timeout, progress=progress
        )
    finally:
        progress.close()
    if status is None:
        now = polling.the_group(node.status(group), group)
        links = (
            ", ".join(f"{each.name} {each.state or '-'} ({each.reason or '-'})" for each in now.links)
            or "no links"
        )
        raise FarshoreError(
            "timeout",
            f"group {group} is not {wanted} after {format_duration(timeout or 0)},"
            f" but {now.health or 'unknown'}; {links}",
            means=now.why or "",
            next_step=now.next or f"farshore status {group}",
        )
    if as_json:
        output.emit(status.document)
    else:
        output.note(f"{group} is {wanted}")


def reached(group: Group, wanted: str, refusals: LastingRefusals) -> bool:
    """Whether `group` is as wanted. Raises FarshoreError where it never will be by waiting."""
    links = [each for each in group.links if each.left_for is None]
    if group.health == wanted or (links and all(each.state == wanted for each in links)):
        return True
    ended = next((each for each in links if each.state in ("diverged", "failed")), None)
    for state, code in (("diverged", "diverged"), ("failed", "faulted")):
        if group.health == state or (ended is not None and ended.state == state):
            where = f"link {group.name}/{ended.name} to {ended.peer}" if ended else f"group {group.name}"
            raise FarshoreError(
                code,
                f"{where} is {state}" + (f": {group.why}" if group.why else ""),
                means="waiting does not mend it; nothing was overwritten",
                next_step=group.next or f"farshore status {group.name}",
            )
    full = next((each for each in links if each.reason == "store-full" and each.next), None)
    if full is not None:
        # No newer answer comes before somebody asks for a resync, which takes `next` away.
        raise FarshoreError(
            "store-full",
            f"link {group.name}/{full.name} to {full.peer} waits: the peer has no room to keep what would be"
            " overwritten",
            means="waiting does not mend it; nothing was overwritten there that is not kept",
            next_step=f"make room, then farshore resync {group.name} --link {full.name}; or, to keep it"
            " nowhere: the same with --unprotected",
        )
    refusals.look(group, links)
    return False
