"""`farshore snapshot`: moments of a whole group that every copy keeps."""

from __future__ import annotations

import time

import click

from farshore.cli import output
from farshore.cli.options import DURATION, connect, json_option, target_options
from farshore.client import Node
from farshore.client.snapshots import CopySnapshot, KeptAt, Snapshot
from farshore.errors import FarshoreError
from farshore.model.units import format_duration, format_size

_LOOK_EVERY = 0.2  # seconds
_TIMEOUT = 60.0


@click.group()
@target_options
def snapshot() -> None:
    """Keep a moment of a whole group: one cut of its writes, at every copy."""


@snapshot.command()
@click.argument("group")
@click.argument("name", required=False)
@click.option("--everywhere", is_flag=True, help="Wait until every copy has it; exit 0 only then.")
@click.option("--timeout", type=DURATION, help="With --everywhere: wait no longer than this; default 60s.")
@json_option
@target_options
def create(group: str, name: str | None, everywhere: bool, timeout: float | None, as_json: bool) -> None:
    """Make snapshot NAME of GROUP at a cut made now; without NAME it is called after the time.

    It holds everything that was acknowledged before, over all volumes, and takes room at each copy, the
    primary included, only for what is overwritten there later. A copy that cannot take it exactly there,
    since it is being resynced for one, misses it. Without --everywhere the command says what is known right
    then, and returns.
    """
    if timeout is not None and not everywhere:
        raise click.UsageError("--timeout needs --everywhere")
    node = connect()
    made = node.create_snapshot(group, name)
    if everywhere:
        made = _settled(node, made, _TIMEOUT if timeout is None else timeout)
    if as_json:
        output.emit(made.document)
    else:
        _show(made)
    if everywhere:
        _judge(made, _TIMEOUT if timeout is None else timeout)


@snapshot.command("list")
@click.argument("group")
@json_option
@target_options
def list_snapshots(group: str, as_json: bool) -> None:
    """Show the snapshots of GROUP, oldest first, and which copies have them."""
    found = connect().snapshots(group)
    if as_json:
        output.emit(found.document)
        return
    rows = [
        [each.name, each.time or "-", f"{kept.copy} ({_kept(kept)})"]
        for each in found.snapshots
        for kept in each.copies
    ]
    output.table(["NAME", "TIME", "KEPT AT"], rows, empty=f"there are no snapshots of {group}")
    for each in found.snapshots:
        for missed in each.missed:
            output.note(f"{each.name} is not at {missed.copy}: {missed.why}")
    for store in found.stores:
        if store.unusable:
            output.note(f"{store.copy} cannot use its preserve store: {store.unusable}")
        elif store.limit_bytes:
            used, limit = format_size(store.used_bytes or 0), format_size(store.limit_bytes)
            output.note(f"{store.copy} keeps {used} of at most {limit}")
    for silent in found.silent:
        output.note(f"nothing is known of {silent.copy}: {silent.why}")


@snapshot.command()
@click.argument("group")
@click.argument("name")
@json_option
@target_options
def delete(group: str, name: str, as_json: bool) -> None:
    """Delete snapshot NAME of GROUP at every copy within reach, and say where it may still be."""
    done = connect().delete_snapshot(group, name)
    if as_json:
        output.emit(done.document)
    else:
        output.note(f"snapshot {name} of {group} deleted at {', '.join(done.deleted)}")
        for left in done.left:
            output.note(f"not at {left.copy}: {left.why}")


def _kept(kept: KeptAt) -> str:
    size = "-" if kept.bytes is None else format_size(kept.bytes)
    if kept.broken:
        return f"{size}, broken: it cannot be read"
    lost = f", lacks {format_size(kept.unreadable_bytes)} that its disk did not show"
    return size + lost if kept.unreadable_bytes else size


def _settled(node: Node, made: Snapshot, seconds: float) -> Snapshot:
    """Once nothing is pending any more, or the time is over."""
    until = time.monotonic() + seconds
    while made.pending and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)
        made = node.look_at_snapshot(made)
    return made


def _show(made: Snapshot) -> None:
    output.say(made.name)
    for each in made.copies:
        output.note(f"{each.copy}: {each.state}" + (f" ({each.why})" if each.why else ""))


def _judge(made: Snapshot, seconds: float) -> None:
    """Raises FarshoreError unless every copy has it."""
    if made.done:
        return
    code, text = "wrong-state", f"snapshot {made.name} of {made.group} is not at every copy"
    if made.pending:
        code, text = "timeout", f"{text} after {format_duration(seconds)}"
    raise FarshoreError(
        code,
        f"{text}: {_listed(made.copies)}",
        means="it stays where it is done; a copy where it is pending takes it when the cut comes there",
        next_step=f"farshore snapshot list {made.group}; farshore snapshot delete {made.group} {made.name}",
    )


def _listed(copies: tuple[CopySnapshot, ...]) -> str:
    left = [each for each in copies if each.state != "done"]
    return "; ".join(f"{each.copy} {each.state}" + (f" ({each.why})" if each.why else "") for each in left)
