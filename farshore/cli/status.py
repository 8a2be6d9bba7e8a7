"""`farshore status`: the state of every group of a node, once or again and again.

A plain status is normally answered by `quick` and comes here only with its errors; text and JSON are the
same either way.
"""

from __future__ import annotations

import sys
import threading

import click

from farshore.cli import output, status_text
from farshore.cli.options import connect, json_option, target_options
from farshore.client import Node
from farshore.errors import FarshoreError

_EVERY = 1.0  # seconds between two looks of --watch


@click.command()
@click.argument("group", required=False)
@click.option("--watch", is_flag=True, help="Show it again whenever it changes, until interrupted.")
@json_option
@target_options
def status(group: str | None, watch: bool, as_json: bool) -> None:
    """Show health, links and figures of GROUP, or of all groups."""
    node = connect()
    if watch:
        _watch(node, group, as_json)
        return
    document = node.status(group).document
    if as_json:
        output.emit(document)
    else:
        click.echo(status_text.render(document, colour=output.colour()), nl=False, color=output.colour())


def _watch(node: Node, group: str | None, as_json: bool) -> None:
    pulse, shown = threading.Event(), ""
    node.status(
        group
    )  # a wrong name or a missing node is an error at once; later ones are shown and waited out
    if not as_json and sys.stdout.isatty():
        _watch_on_terminal(node, group, pulse)
        return
    while True:
        text = _look(node, group, as_json)
        if text != shown:
            click.echo(text, nl=False, color=output.colour())
            shown = text
        pulse.wait(_EVERY)


def _watch_on_terminal(node: Node, group: str | None, pulse: threading.Event) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=not output.colour(), highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(_look(node, group, as_json=False)), refresh=True)
            pulse.wait(_EVERY)


def _look(node: Node, group: str | None, as_json: bool) -> str:
    try:
        document = node.status(group).document
    except FarshoreError as error:
        if as_json:
            return status_text.as_json({"error": error.as_dict()})
        return f"{error.what} ({error.code.name}); asking again\n"
    if as_json:
        return status_text.as_json(document)
    return status_text.render(document, colour=output.colour())
