"""`farshore events`: what happened at a node, oldest first."""

from __future__ import annotations

import sys
import threading

import click

from farshore.cli import output, status_text
from farshore.cli.options import connect, json_option, target_options
from farshore.client import Node
from farshore.client.answers import Event, Events
from farshore.errors import FarshoreError

_WAIT = 25.0  # seconds that the node holds one request of --follow
_AGAIN = 2.0  # seconds after which a node that went away is asked again


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on.")
@click.option(
    "--since", type=click.IntRange(min=0), default=0, metavar="ID", help="Only events after this id."
)
@json_option
@target_options
def events(follow: bool, since: int, as_json: bool) -> None:
    """Show what happened: links, resyncs, peers, engines, operators' commands.

    With --follow and --json: one JSON object per line and event.
    """
    node = connect()
    found = node.events(since)
    if as_json and not follow:
        output.emit(found.document)
        return
    _print(found, as_json)
    while follow:
        found = _next(node, found.next)
        _print(found, as_json)
    if not found.events:
        output.note("no events")


def _next(node: Node, since: int) -> Events:
    """The next events; a node that is restarted is waited for, since its events go on behind it."""
    pulse = threading.Event()
    while True:
        try:
            return node.events(since, wait=_WAIT)
        except FarshoreError as error:
            if error.code.name not in (
                "unreachable",
                "internal",
            ):  # a node that is just ending says the latter
                raise
            output.note(f"{error.what}; asking again")
            pulse.wait(_AGAIN)


def _print(found: Events, as_json: bool) -> None:
    for event, document in zip(found.events, found.document.get("events", ()), strict=True):
        output.say(status_text.as_json(document).rstrip("\n") if as_json else _line(event))
    sys.stdout.flush()


def _line(event: Event) -> str:
    return f"{event.id:>6}  {event.time}  {event.kind:<18}  {event.text}"
