"""`farshore resync`: brings a group's peers back to its content, by sending what differs."""

from __future__ import annotations

import click

from farshore.cli import output, plans, polling
from farshore.cli.carrying_on import Moving, carry_on
from farshore.cli.lasting import LastingRefusals, refusal
from farshore.cli.options import DURATION, connect, target_options
from farshore.client import Node
from farshore.client.answers import Group, Link
from farshore.client.role_moves import RoleMove
from farshore.errors import FarshoreError
from farshore.model.units import format_duration


@click.command()
@click.argument("group")
@click.option("--link", metavar="LINK", help="Only this link; default: all of the group.")
@click.option("--full", is_flag=True, help="Copy everything.")
@click.option("--digest", is_flag=True, help="Compare everything, copy what differs.")
@click.option("--once", is_flag=True, help="Log again as soon as the copy is complete.")
@click.option(
    "--unprotected",
    is_flag=True,
    help="Go on where the peer has no room to keep what is overwritten: until the end its copy is of no use.",
)
@click.option(
    "--reverse", is_flag=True, help="Replace the content here, at the primary, by that of the peer's copy."
)
@click.option("--wait", is_flag=True, help="Return when it is complete.")
@click.option("--timeout", type=DURATION, help="Give up waiting after this long; the resync goes on.")
@plans.plan_options
@target_options
def resync(group: str, link: str | None, timeout: float | None, choice: plans.Choice, **flags: bool) -> None:
    """Send GROUP's peers what they lack, then replicate.

    By default only the regions that changed since the peer's copy are sent. The application goes on writing.

    With --reverse the peer's copy is the good one: exports are closed, what is here is kept as a rescue, what
    differs is copied from the peer, and exports are open again. Cut off anywhere, the same command goes on.
    """
    _check(flags, timeout, choice)
    kind = "full" if flags["full"] else "digest" if flags["digest"] else "update"
    node, as_json = connect(), choice.as_json
    if flags["reverse"]:
        _reverse(node, group, link, timeout, choice, kind=kind, unprotected=flags["unprotected"] or None)
        return
    before = {each.name: each for each in polling.the_group(node.status(group), group).links}
    once = flags["once"]
    if flags["unprotected"]:
        command = f"farshore resync {group}" + (f" --link {link}" if link else "") + " --unprotected"
        look = choice.dry_run or None
        how = {"link": link, "kind": kind, "once": once or None, "look": look}
        move = plans.decided(lambda plan: node.resync_unprotected(group, accept=plan, **how), command, choice)
        if move is None:
            return
        began, document = move.links or (), move.document
    else:
        started = node.resync(group, link=link, kind=kind, once=once)
        began, document = started.links, started.document
    if flags["wait"]:
        _wait(node, _Waiting(group, began, before, once=once), timeout, as_json)
    elif as_json:
        output.emit(document)
    else:
        names = ", ".join(began) or "no link"
        output.note(f"{kind} of {group} began: {names}; watch it with: farshore status {group} --watch")


def _check(flags: dict[str, bool], timeout: float | None, choice: plans.Choice) -> None:
    if flags["full"] and flags["digest"]:
        raise click.UsageError("--full and --digest exclude each other")
    if flags["reverse"] and flags["once"]:
        raise click.UsageError("--reverse and --once exclude each other")
    if timeout is not None and not (flags["wait"] or flags["reverse"]):
        raise click.UsageError("--timeout needs --wait")
    if (choice.dry_run or choice.accept) and not (flags["reverse"] or flags["unprotected"]):
        raise click.UsageError("--dry-run and --accept need --reverse or --unprotected")


def _reverse(
    node: Node, group: str, link: str | None, timeout: float | None, choice: plans.Choice, **how: object
) -> None:
    words = ["farshore resync", group, "--reverse", *(["--link", link] if link else [])]
    words += [f"--{how['kind']}"] if how["kind"] != "update" else []
    command = " ".join([*words, *(["--unprotected"] if how["unprotected"] else [])])

    def ask(plan: str | None) -> RoleMove:
        return node.resync_reverse(group, link=link, accept=plan, **how)

    done = plans.decided(ask, command, choice)
    if done is None:
        return
    again = choice.accept or done.plan.id
    moving = Moving(group, f"{command} --accept {again}", "not everything is copied", timeout)
    done = carry_on(node, done, moving, choice, lambda: ask(again))
    plans.tell(done, f"{group} has the content of the peer's copy; next: farshore status {group}", choice)


class _Waiting:
    """Decides when the resyncs that were started have ended."""

    def __init__(self, group: str, links: tuple[str, ...], before: dict[str, Link], *, once: bool) -> None:
        self.group = group
        self._open = set(links)
        self._before = before
        self._once = once
        self._refusals = LastingRefusals(before.values())

    def done(self, group: Group) -> bool:
        """True when every link has got where it was to go. Raises FarshoreError where one cannot."""
        for name in sorted(self._open):
            link = group.link(name)
            if link is None:
                raise FarshoreError("not-found", f"link {group.name}/{name} was deleted during its resync")
            if self._ended(link, group):
                self._open.discard(name)
        return not self._open

    def _ended(self, link: Link, group: Group) -> bool:
        if link.state == "replicating":
            return not self._once
        if link.state in ("resyncing", None):
            return False  # None: the engine does not answer just now
        where = f"link {group.name}/{link.name} to {link.peer}"
        if link.state == "diverged":
            raise FarshoreError(
                "diverged",
                f"{where}: the copies have diverged",
                means=group.why or "",
                next_step=group.next or "",
            )
        if link.state == "failed":
            raise FarshoreError(
                "faulted", f"{where} failed: {link.reason}", means=group.why or "", next_step=group.next or ""
            )
        before = self._before.get(link.name)
        refused = self._refusals.has(link)
        if link.reason == "store-full" and (refused or before is None or before.since != link.since):
            raise FarshoreError(
                "store-full",
                f"{where} waits: the peer has no room to keep what would be overwritten",
                means="nothing was overwritten there that is not kept",
                next_step=f"make room, or farshore resync {group.name} --link {link.name} --unprotected",
            )
        if refused:
            raise refusal(group, link)
        if before is not None and before.since == link.since:
            return False  # it has not begun yet
        if link.reason == "restarted" and before is not None and before.state in ("diverged", "failed"):
            return False  # the peer is asked once more
        if link.reason == "operator":
            return (
                True  # with --once this is the end; otherwise somebody has paused it, and it will not go on
            )
        raise FarshoreError(
            "unreachable",
            f"{where} was interrupted: {link.state} ({link.reason})",
            means="until the resync ends the peer's copy is what it was before, if peer_usable says so",
            next_step=f"farshore resync {group.name} --link {link.name} --wait",
        )


def _wait(node: Node, waiting: _Waiting, timeout: float | None, as_json: bool) -> None:
    progress = polling.Progress(waiting.group, as_json=as_json)
    try:
        status = polling.until(node, waiting.group, waiting.done, timeout=timeout, progress=progress)
    finally:
        progress.close()
    if status is None:
        raise FarshoreError(
            "timeout",
            f"the resync of group {waiting.group} has not ended after {format_duration(timeout or 0)}",
            means="it goes on; until it ends the peer's copy is what it was before, if peer_usable says so",
            next_step=f"farshore status {waiting.group} --watch",
        )
    if as_json:
        output.emit(status.document)
    else:
        output.note(f"the resync of {waiting.group} is complete")
