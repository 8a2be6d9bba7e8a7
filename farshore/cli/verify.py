"""`farshore verify`: compares copies while writes go on, and repairs what differs."""

from __future__ import annotations

from typing import Any

import click

from farshore.cli import output, plans, polling
from farshore.cli.options import DURATION, EVERY, RATE, connect, target_options
from farshore.client import Node
from farshore.client.answers import Group, Link
from farshore.errors import FarshoreError
from farshore.model.units import format_duration, format_size

_ALONE = ("every", "repair", "stop")


@click.command()
@click.argument("group")
@click.option("--link", metavar="LINK", help="Only this link; default: all of the group.")
@click.option("--halt", is_flag=True, help="Stop the link at the first difference.")
@click.option("--max-rate", type=RATE, help="Compare at most so much per second, as in 50MiB/s.")
@click.option("--wait/--no-wait", default=True, help="Return when it has ended (the default), or at once.")
@click.option("--timeout", type=DURATION, help="Give up waiting after this long; the verify goes on.")
@click.option("--every", type=EVERY, help="Verify by itself so often, the first time now; 0 ends that.")
@click.option("--stop", is_flag=True, help="End a verify that is under way.")
@click.option(
    "--repair", is_flag=True, help="Copy over the peer's what the last verify has found: by a plan."
)
@plans.plan_options
@target_options
def verify(group: str, link: str | None, choice: plans.Choice, **how: Any) -> None:
    """Compare the copies of GROUP at its peers with the one here.

    The application goes on writing, and what is in flight is never reported. Exit 0 when the copies are
    equal, 1 when something differs; nothing is copied then, see --repair. It goes on after an outage or a
    restart.
    """
    _check(how, choice)
    node, as_json = connect(), choice.as_json
    if how["repair"]:
        _repair(node, group, link, choice)
    elif how["stop"]:
        _tell(node.end_verify(group, link=link).links, f"verify of {group} ended", as_json)
    elif how["every"] is not None:
        _schedule(node, group, link, how["every"], as_json)
    else:
        started = node.verify(group, link=link, halt=how["halt"], max_rate=how["max_rate"] or 0)
        if how["wait"]:
            _wait(node, group, started.links, how["timeout"], as_json)
        else:
            _tell(started.links, f"verify of {group} began; see farshore status {group}", as_json)


def _check(how: dict[str, Any], choice: plans.Choice) -> None:
    alone = [name for name in _ALONE if how[name] not in (None, False)]
    if len(alone) > 1 or (alone and (how["halt"] or how["max_rate"] is not None)):
        raise click.UsageError(
            f"--{alone[0]} excludes --halt, --max-rate and the others of --every, --repair, --stop"
        )
    if (choice.dry_run or choice.accept) and not how["repair"]:
        raise click.UsageError("--dry-run and --accept need --repair")
    if how["timeout"] is not None and (alone or not how["wait"]):
        raise click.UsageError("--timeout needs --wait")


def _tell(links: tuple[str, ...], text: str, as_json: bool) -> None:
    if as_json:
        output.emit({"links": list(links)})
    else:
        output.note(f"{text} ({', '.join(links) or 'no link'})")


def _schedule(node: Node, group: str, link: str | None, every: float, as_json: bool) -> None:
    chosen = node.schedule_verify(group, every, link=link).links
    how_often = f"every {format_duration(every)}" if every else "only when it is asked for"
    _tell(chosen, f"{group} is verified {how_often}", as_json)


def _repair(node: Node, group: str, link: str | None, choice: plans.Choice) -> None:
    command = f"farshore verify {group}" + (f" --link {link}" if link else "") + " --repair"
    done = plans.decided(lambda accept: node.repair_found(group, link=link, accept=accept), command, choice)
    if done is not None:
        plans.tell(done, f"the repair has begun; farshore wait {group}, then farshore verify {group}", choice)


def _wait(node: Node, group: str, links: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    progress = polling.Progress(group, as_json=as_json)
    try:
        status = polling.until(
            node, group, lambda seen: _ended(seen, links), timeout=timeout, progress=progress
        )
    finally:
        progress.close()
    if status is None:
        raise FarshoreError(
            "timeout",
            f"the verify of group {group} has not ended after {format_duration(timeout or 0)}",
            means="it goes on, also after an outage or a restart",
            next_step=f"farshore status {group}; farshore verify {group} --stop",
        )
    seen = polling.the_group(status, group)
    chosen = [each for each in seen.links if each.name in links]
    if as_json:
        documents = next(each for each in status.document["groups"] if each["name"] == group)["links"]
        output.emit(
            {
                "group": group,
                "links": [
                    {"name": each["name"], "verify": each["verify"]}
                    for each in documents
                    if each["name"] in links
                ],
            }
        )
    _judge(group, chosen)
    if not as_json:
        output.note(
            f"the copies of {group} are equal at {', '.join(each.peer for each in chosen) or 'no peer'}"
        )


def _ended(group: Group, links: tuple[str, ...]) -> bool:
    """Whether every verify has. Raises FarshoreError where one cannot."""
    for name in links:
        link = group.link(name)
        if link is None:
            raise FarshoreError("not-found", f"link {group.name}/{name} was deleted during its verify")
        found = link.verify
        if found is not None and found.state not in ("running", "waiting"):
            continue
        stopped = link.state in ("diverged", "failed") or (
            link.state == "logging" and link.reason == "operator"
        )
        if stopped:
            raise FarshoreError(
                "wrong-state",
                f"link {group.name}/{name} is {link.state} ({link.reason}), so that nothing can be compared",
                means="the verify goes on once the link replicates",
                next_step=group.next or f"farshore status {group.name}",
            )
        return False
    return True


def _judge(group: str, links: list[Link]) -> None:
    """Raises FarshoreError for what has failed, or differs."""
    for link in links:
        found = link.verify
        assert found is not None
        where = f"link {group}/{link.name} to {link.peer}"
        if found.found_bytes:
            halted = "; the link was stopped there" if found.state == "halted" else ""
            raise FarshoreError(
                "differences",
                f"{where}: {format_size(found.found_bytes)} differ at the peer{halted}",
                means="nothing was copied: either side may be the good one",
                next_step=f"farshore verify {group} --link {link.name} --repair --dry-run",
            )
        if found.state != "finished":
            raise FarshoreError(
                "wrong-state",
                f"{where}: the verify was {found.state}" + (f": {found.why}" if found.why else ""),
                means="nothing differs in what was compared until then",
                next_step=f"farshore verify {group} --link {link.name}",
            )
