"""`farshore switchover`, `failover`, `failback`: which copy of a group is the primary."""

from __future__ import annotations

import click

from farshore.cli import output, plans
from farshore.cli.carrying_on import Moving, carry_on
from farshore.cli.options import DURATION, connect, target_options
from farshore.cli.plans import Choice
from farshore.client import Node
from farshore.client.role_moves import RoleMove


@click.command()
@click.argument("group")
@click.argument("node", metavar="NODE[/COPY]")
@plans.plan_options
@click.option("--timeout", type=DURATION, help="How long writes may be held meanwhile; default 30s.")
@target_options
def switchover(group: str, node: str, timeout: float | None, choice: Choice) -> None:
    """Make the copy at NODE the primary, with every acknowledged write.

    Planned: the primary holds its writes until NODE has everything, and becomes a secondary of it. Cut off
    anywhere, the same command goes on; a switchover to the former primary takes it back.
    """
    api = connect()
    command = f"farshore switchover {group} {node}"
    done = plans.decided(
        lambda plan: api.switchover(group, node, accept=plan, timeout=timeout), command, choice
    )
    if done is not None:
        plans.tell(done, f"{node} is the primary of {group} now; next: farshore status {group}", choice)


@click.command()
@click.argument("group")
@click.argument("node", metavar="[NODE[/COPY]]", required=False)
@click.option("--revert", is_flag=True, help="Take a failover back that was not committed.")
@click.option("--commit", is_flag=True, help="Make a failover final.")
@plans.unprotected_option
@plans.plan_options
@target_options
def failover(group: str, node: str | None, choice: Choice, **how: bool) -> None:
    """Promote the copy at NODE without its primary; by default the most advanced one.

    Unplanned: the plan says what is known to be lost. It can be taken back with --revert until --commit: what
    was written since is overwritten then, and kept as a rescue.
    """
    revert, commit, unprotected = how["revert"], how["commit"], how["unprotected"]
    if unprotected and not revert:
        raise click.UsageError("--unprotected needs --revert")
    if (revert and commit) or (node is not None and (revert or commit)):
        raise click.UsageError("--revert and --commit exclude each other, and take no NODE")
    api = connect()
    if commit:
        _commit(api, group, choice)
        return
    command = f"farshore failover {group}" + (" --revert" if revert else f" {node}" if node else "")
    command += " --unprotected" * unprotected

    def ask(plan: str | None) -> RoleMove:
        if revert:
            return api.failover_revert(group, accept=plan, unprotected=unprotected or None)
        return api.failover(group, node, accept=plan)

    done = plans.decided(ask, command, choice)
    if done is None:
        return
    text = f"the failover of {group} is taken back; next: farshore status {group}"
    if not revert:
        text = (
            f"{done.plan.goal} is the primary of {group} now; next: farshore status {group}, then"
            f" farshore failover {group} --commit, or --revert"
        )
    plans.tell(done, text, choice)


def _commit(api: Node, group: str, choice: Choice) -> None:
    if choice.dry_run or choice.accept is not None:
        raise click.UsageError("--commit needs no plan")
    document = api.failover_commit(group)
    if choice.as_json:
        output.emit(document)
    else:
        output.note(f"the failover of {group} to {document['primary']} is final")


@click.command()
@click.argument("group")
@click.argument("node", metavar="NODE[/COPY]")
@plans.unprotected_option
@plans.plan_options
@click.option("--timeout", type=DURATION, help="How long to wait for NODE to catch up.")
@target_options
def failback(group: str, node: str, timeout: float | None, choice: Choice, unprotected: bool) -> None:
    """Bring NODE, a former primary that is back, up to date, and make it the primary again.

    Only what differs is copied, while applications go on where they are; what only NODE has is kept there as
    a rescue. Then the role moves as by a switchover. Cut off anywhere, the same command goes on.
    """
    api = connect()
    command = f"farshore failback {group} {node}" + " --unprotected" * unprotected
    bare = unprotected or None
    done = plans.decided(
        lambda plan: api.failback(group, node, accept=plan, unprotected=bare), command, choice
    )
    if done is None:
        return
    again = choice.accept or done.plan.id
    moving = Moving(group, f"{command} --accept {again}", f"{node} has not caught up", timeout)
    done = carry_on(
        api, done, moving, choice, lambda: api.failback(group, node, accept=again, unprotected=bare)
    )
    plans.tell(done, f"{node} is the primary of {group} again; next: farshore status {group}", choice)
