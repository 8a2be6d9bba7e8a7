"""`farshore topology`: which nodes hold copies of a group, and what feeds what, as trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from farshore.cli import output, status_text
from farshore.cli.options import connect, json_option, target_options
from farshore.model.units import format_duration


@click.command()
@click.argument("group", required=False)
@json_option
@target_options
def topology(group: str | None, as_json: bool) -> None:
    """Draw which nodes hold copies of GROUP, or of all groups here, and how they are linked.

    The nodes that this one is paired with are asked; one that does not answer is drawn from what others
    say of it.
    """
    document = connect().topology(group)
    if as_json:
        output.emit(document)
    else:
        output.say("\n".join(render(document, colour=output.colour())))


def render(document: Mapping[str, Any], *, colour: bool) -> list[str]:
    """The lines of all groups' trees."""
    lines: list[str] = []
    for group in document["groups"]:
        lines += ["", group["name"]] if lines else [group["name"]]
        held = Counter(_nodes(group["roots"]))
        for root in group["roots"]:
            lines.append("  " + _copy(root, held, colour))
            lines += _below(root, held, "  ", colour)
    if not document["groups"]:
        lines.append("no groups yet; next: farshore group create NAME --volume PATH")
    for silent in document["silent"]:
        lines += ["", f"{silent['node']} did not answer: {silent['why']}"]
    return lines


def _nodes(branches: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for branch in branches:
        yield branch["node"]
        yield from _nodes(branch["copies"])


def _below(branch: Mapping[str, Any], held: Counter[str], indent: str, colour: bool) -> Iterator[str]:
    for number, copy in enumerate(branch["copies"], 1):
        last = number == len(branch["copies"])
        yield f"{indent}{'└─' if last else '├─'} {_copy(copy, held, colour)}"
        yield from _below(copy, held, indent + ("   " if last else "│  "), colour)


def _copy(copy: Mapping[str, Any], held: Counter[str], colour: bool) -> str:
    several = held[copy["node"]] > 1 and copy["copy"] is not None
    name = f"{copy['node']}/{copy['copy']}" if several else copy["node"]
    words = [copy["role"] or "role unknown"]
    if copy["health"]:
        words.append(status_text.paint(copy["health"], colour))
    if not copy["seen"]:
        words.append("not asked")
    text = f"{name}  {', '.join(words)}"
    return f"{text}  {_link(copy['via'], colour)}" if copy["via"] is not None else text


def _link(link: Mapping[str, Any], colour: bool) -> str:
    if link["name"] is None:
        return "by a link of which nothing is known here"
    state = status_text.paint(link["state"], colour) if link["state"] else "state unknown"
    words = [link["mode"], state]
    if link["lag_seconds"] is not None:
        words.append(f"lag {format_duration(link['lag_seconds'])}")
    return f"by link {link['name']}: {', '.join(word for word in words if word)}"
