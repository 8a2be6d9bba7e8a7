"""`farshore drill`: does the application come up at the other site? It is tried while the copy goes on.

`run` does all of it: begins a drill, measures, runs a script of the operator's, writes a report, ends the
drill, whatever becomes of the script. What the script has to say is its own: its output is passed on, its
exit code reported.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click

from farshore.cli import output
from farshore.cli.options import SIZE, connect, json_option, target_options
from farshore.client import Node
from farshore.client.drills import Drill
from farshore.errors import EXIT_ERROR, FarshoreError
from farshore.model.units import format_duration, format_size, means_time, parse_time

_NO_SHELL = 126, 127
_LOOKS = 10
_LOOK_AGAIN = 0.1  # seconds


def _moment(_ctx: click.Context, _param: click.Parameter, at: str | None) -> str | None:
    """As it was written: its node reads it. What is no whole time is refused here."""
    if at is not None and means_time(at):
        try:
            parse_time(at)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return at


_on = click.option("--on", metavar="NODE", help="Where the copy is: NODE or NODE/COPY; default: here.")
_at = click.option(
    "--at",
    metavar="TIME|SNAPSHOT",
    callback=_moment,
    help="An RFC 3339 time with a zone, or a snapshot's name; default: where the copy stands.",
)
_limit = click.option(
    "--limit",
    type=SIZE,
    help="Room for what is written; default: as much as the volumes have, if it is there.",
)


@click.group()
@target_options
def drill() -> None:
    """Try a copy out: volumes that can be written, while replication goes on."""


@drill.command()
@click.argument("group")
@_on
@_at
@_limit
@json_option
@target_options
def start(group: str, as_json: bool, **how: Any) -> None:
    """Begin a drill on a copy of GROUP and print how its volumes are opened.

    What is written stays in the drill. It is gone when the drill ends: by `farshore drill stop`, with its
    engine, or when the room that it takes is needed for replication.

    A TIME means what it means to `farshore rewind`: everything up to the first write after it, where the
    copy has a snapshot from before and its journal still has all that was written since. Where nothing was
    written after it, it is refused: leave --at out.
    """
    begun = connect().start_drill(group, **how)
    if as_json:
        output.emit(begun.document)
        return
    for each in begun.drill.exports:
        output.say(each.uri)
    output.note(f"a drill on {_named(begun.drill)}; {_age(begun.drill)}; farshore drill stop {group} ends it")


@drill.command()
@click.argument("group")
@_on
@json_option
@target_options
def stop(group: str, on: str | None, as_json: bool) -> None:
    """End the drill on a copy of GROUP. What was written in it is dropped."""
    ended = connect().stop_drill(group, on=on)
    if as_json:
        output.emit(ended.document)
    else:
        drilled = ended.drill
        output.note(
            f"the drill on {_named(drilled)} is over; {format_size(drilled.written_bytes)} were written"
        )


@drill.command("list")
@click.argument("group", required=False)
@json_option
@target_options
def list_drills(group: str | None, as_json: bool) -> None:
    """Show the drills at this node, and why one that is over has ended."""
    found = connect().drills(group)
    if as_json:
        output.emit(found.document)
        return
    rows = [
        (
            each.group,
            each.copy,
            each.state + (f": {each.why}" if each.why else ""),
            each.data_as_of or "-",
            f"{format_size(each.used_bytes)} of {format_size(each.limit_bytes)}",
            "  ".join(one.uri for one in each.exports),
        )
        for each in found.drills
    ]
    head = ("GROUP", "COPY", "STATE", "DATA AS OF", "ROOM", "OPENED AS")
    output.table(head, rows, empty="no drills")


@drill.command()
@click.argument("group")
@_on
@_at
@_limit
@click.option("--script", required=True, metavar="FILE", help="What is run on the drill's volumes.")
@click.option("--report", metavar="FILE", help="Where the report is written, as JSON.")
@json_option
@target_options
def run(group: str, script: str, report: str | None, as_json: bool, **how: Any) -> None:
    """Begin a drill on a copy of GROUP, run a script on it, write a report, end the drill.

    The script finds the volumes in FARSHORE_DRILL_URI_VOLUME (one for each, its name in capitals, `_` for
    what is no letter or digit), and FARSHORE_DRILL_GROUP, _NODE, _COPY, _ID and _DATA_AS_OF. Exit 0 if it
    exits with 0 and the drill has lasted so long, else 1.
    """
    path = _script(script)
    if report is not None:
        _refuse_unwritable(report)
    node, began, wall = connect(), time.monotonic(), time.time()
    _refuse_elsewhere(node, group, how["on"])
    before = signal.signal(signal.SIGTERM, _interrupted)
    code: int | None = None
    try:
        begun = _begun(node, group, how)
        ready = time.monotonic() - began
        try:
            code = _run(path, begun)
        finally:
            ended = _stop(node, group, how["on"], begun)
    finally:
        signal.signal(signal.SIGTERM, before)
    document = _report(begun, ended, wall, {"ready_seconds": ready, "script": script, "exit_code": code})
    if report is not None:
        _write(report, document)
    if as_json:
        output.emit(document)
    else:
        output.say(_text(document))
    if not document["passed"]:
        click.get_current_context().exit(EXIT_ERROR)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _begun(node: Node, group: str, how: Mapping[str, Any]) -> Drill:
    """Whoever interrupts this wants no drill: what has been begun by then is stopped, and nobody else's."""
    others = {each.id for each in node.drills(group).drills}
    try:
        return node.start_drill(group, **how).drill
    except KeyboardInterrupt:
        for _ in range(_LOOKS):  # the wish may not have reached the copy's engine yet
            for each in node.drills(group).drills:
                if each.id not in others:
                    _stop(node, group, f"{each.node}/{each.copy}", each)
                    raise
            time.sleep(_LOOK_AGAIN)
        raise


def _script(script: str) -> list[str]:
    path = Path(script)
    if not path.is_file():
        raise FarshoreError("not-found", f"{script} is no file", means="no drill was begun")
    return [str(path.resolve())] if os.access(path, os.X_OK) else ["/bin/sh", str(path.resolve())]


def _refuse_unwritable(report: str) -> None:
    path = Path(report).resolve()
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FarshoreError("not-found", f"{report} cannot be written", means="no drill was begun")


def _write(report: str, document: Mapping[str, Any]) -> None:
    try:
        Path(report).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise FarshoreError(
            "io-error",
            f"{report} cannot be written: {error.strerror}",
            means="the drill was carried out and is over",
            next_step="run it again with another --report",
        ) from error


def _refuse_elsewhere(node: Node, group: str, on: str | None) -> None:
    """A drill's volumes are opened at its node, and the script runs here."""
    name = (on or "").partition("/")[0]
    if name and name != node.show().node.name:
        raise FarshoreError(
            "wrong-state",
            f"the script would run here, and the drill's volumes can be opened at {name} only",
            means="no drill was begun",
            next_step=f"on {name}: farshore drill run {group} --script FILE",
        )


def _run(command: list[str], begun: Drill) -> int:
    output.note(f"a drill on {_named(begun)}; {_age(begun)}; the script runs")
    try:
        return subprocess.run(command, env={**os.environ, **environment(begun)}, check=False).returncode
    except OSError as error:
        output.note(f"{command[0]} cannot be run: {error.strerror}")
        return _NO_SHELL[0]


def environment(begun: Drill) -> Mapping[str, str]:
    """What a script is told."""
    told = {
        "GROUP": begun.group,
        "NODE": begun.node,
        "COPY": begun.copy,
        "ID": begun.id,
        "DATA_AS_OF": begun.data_as_of or "",
    }
    told |= {f"URI_{re.sub('[^A-Z0-9]', '_', each.volume.upper())}": each.uri for each in begun.exports}
    return {f"FARSHORE_DRILL_{name}": value for name, value in told.items()}


def _stop(node: Node, group: str, on: str | None, begun: Drill) -> Drill | None:
    """None where there was nothing left to be stopped: its engine has ended meanwhile."""
    try:
        ended = node.stop_drill(group, on=on).drill
    except FarshoreError as error:
        output.note(f"the drill is not known any more: {error.what}")
        return None
    return ended if ended.id == begun.id else None


def _report(begun: Drill, ended: Drill | None, wall: float, told: Mapping[str, Any]) -> dict[str, Any]:
    last = ended or begun
    first = None if last.first_write is None else _seconds(last.first_write) - wall
    lasted = ended is not None and ended.why == "it was stopped"
    return {
        "schema": 1,
        "group": begun.group,
        "node": begun.node,
        "copy": begun.copy,
        "drill": begun.id,
        "snapshot": begun.snapshot,
        "at": begun.at,
        "generation": begun.generation,
        "sequence": begun.sequence,
        "began": datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ready_seconds": round(told["ready_seconds"], 3),
        "first_write_seconds": None if first is None else round(first, 3),
        "data_as_of": begun.data_as_of,
        "data_age_seconds": begun.data_age_seconds,
        "script": told["script"],
        "exit_code": told["exit_code"],
        "seconds": round(time.time() - wall, 3),
        "written_bytes": last.written_bytes,
        "refused_writes": last.refused_writes,
        "used_bytes": last.used_bytes,
        "lasted": lasted,
        "ended_why": "its engine ended" if ended is None else ended.why,
        "passed": lasted and told["exit_code"] == 0,
    }


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _text(document: Mapping[str, Any]) -> str:
    age, first = document["data_age_seconds"], document["first_write_seconds"]
    lines = (
        (
            "drill",
            f"{document['group']} at {document['node']}: {'passed' if document['passed'] else 'FAILED'}",
        ),
        ("writable after", format_duration(document["ready_seconds"])),
        ("first write after", "nothing was written" if first is None else format_duration(max(0.0, first))),
        ("age of the data", "not known" if age is None else format_duration(age)),
        ("written", format_size(document["written_bytes"])),
        ("writes refused", str(document["refused_writes"])),
        ("script", f"{document['script']} exited with {document['exit_code']}"),
        ("took", format_duration(document["seconds"])),
        ("ended", document["ended_why"]),
    )
    return "\n".join(f"{name + ':':<19}{value}" for name, value in lines)


def _named(drilled: Drill) -> str:
    moment = drilled.at or drilled.snapshot
    return f"{drilled.group} at {drilled.node}" + (f"@{moment}" if moment else "")


def _age(drilled: Drill) -> str:
    age = drilled.data_age_seconds
    return "how old the data is, is not known" if age is None else f"the data was {format_duration(age)} old"
