"""`farshore config`: what the configuration file gets wrong, and which settings hold and why.

Both look at files and the environment alone: they work without a node, and change nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from farshore.cli import output
from farshore.cli.options import json_option, target_of, target_options
from farshore.config import Target, file_of, state_of
from farshore.errors import EXIT_ERROR, FarshoreError


@click.group()
@target_options
def config() -> None:
    """The configuration file, and what is set where."""


@config.command()
@click.argument("file", required=False, metavar="[FILE]")
@json_option
@target_options
def check(file: str | None, as_json: bool) -> int:
    """Name every mistake of the configuration file, each with its line and what to write instead.

    Without FILE it is the file that the node would be started with. Exits with 1 where there is a mistake.
    """
    from farshore.settings import file as configuration

    target = target_of(click.get_current_context())
    path = Path(file) if file is not None else Path(file_of(target, os.environ, os.geteuid()))
    found = configuration.read(path)
    if not found.there and file is not None:
        raise FarshoreError("not-found", f"{path} is not there", next_step="farshore config show")
    mistakes = sorted(found.mistakes, key=lambda each: each.line or 0)
    if as_json:
        rows = [{"line": each.line, "what": each.what, "instead": each.instead} for each in mistakes]
        output.emit(
            {"file": str(path), "there": found.there, "result": "fail" if rows else "ok", "mistakes": rows}
        )
    else:
        for each in mistakes:
            place = str(path) if each.line is None else f"{path}:{each.line}"
            output.say(f"{place}: {each.what}\n  instead  {each.instead}")
        if not mistakes:
            said = (
                f"sets {len(found.values)} of the settings" if found.there else "is not there: nothing is set"
            )
            output.note(f"{path} {said}")
    return EXIT_ERROR if mistakes else 0


@config.command()
@json_option
@target_options
def show(as_json: bool) -> None:
    """Show each setting: its value, and who says so.

    A flag of `node start` comes before the environment, that before the file, that before what the node
    remembers from an earlier start, that before the default.
    """
    from farshore.settings.known import SETTINGS

    target = target_of(click.get_current_context())
    found = rows(target)
    path = file_of(target, os.environ, os.geteuid())
    if as_json:
        output.emit({"file": path, "there": Path(path).exists(), "settings": found})
        return
    variables = {each.path: each.variable for each in SETTINGS}
    output.table(
        ("SETTING", "VALUE", "FROM", "VARIABLE"),
        [
            (
                each["setting"],
                each["value"] or f"({each['default']})",
                each["origin"],
                variables[each["setting"]],
            )
            for each in found
        ],
        empty="no settings",
    )
    output.note(f"the file: {path}" + ("" if Path(path).exists() else " (not there)"))


def rows(target: Target) -> list[dict[str, Any]]:
    """Each setting as `config show --json` has it. Raises FarshoreError."""
    from farshore.settings import sources
    from farshore.settings.known import SETTINGS

    state = Path(state_of(target, os.environ, os.geteuid()))
    flags = {"node.state": target.state and str(state), "node.api": target.api}
    environ = dict(os.environ)
    if environ.get("FARSHORE_STATE"):
        environ["FARSHORE_STATE"] = str(state)  # a relative path is one from here
    if target.state:
        environ.pop("FARSHORE_API", None)  # it is for the node that the environment means
    chosen = sources.choose(flags, environ, sources.of_node(target.state, os.environ, os.geteuid()))
    remembered = _remembered(state)
    found: list[dict[str, Any]] = []
    for setting in SETTINGS:
        one = chosen.get(setting.path)
        value, origin = (one.text, one.origin) if one is not None else (None, "default")
        if one is None and setting.path == "node.state":
            value = str(state)
        elif one is None and setting.path in remembered:
            value, origin = remembered[setting.path], "an earlier start"
        found.append({"setting": setting.path, "value": value, "origin": origin, "default": setting.default})
    return found


def _remembered(state: Path) -> dict[str, str]:
    """What the node has written down of its last start; nothing where there was none."""
    try:
        document = json.loads((state / "node.json").read_bytes())
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise FarshoreError(
            "permission",
            f"{state}: {error.strerror}",
            next_step="run this as the owner of the state directory",
        ) from error
    except (OSError, ValueError) as error:
        raise FarshoreError(
            "state-damaged", f"{state}/node.json cannot be read: {error}", next_step="farshore doctor"
        ) from error
    if not isinstance(document, dict):
        return {}
    return {f"node.{key}": str(document[key]) for key in ("name", "listen", "api") if key in document}
