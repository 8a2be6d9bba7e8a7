"""Where output goes and how: data to stdout, everything else to stderr, colour on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from farshore.cli import status_text


def colour(*, err: bool = False) -> bool:
    """Whether the stream shows colour to somebody who wants it."""
    return status_text.wants_colour(sys.stderr if err else sys.stdout, os.environ)


def emit(document: Mapping[str, Any]) -> None:
    """A document for a script: one line of JSON on stdout, `schema` on top."""
    click.echo(status_text.as_json(document), nl=False)


def say(text: str) -> None:
    """Data for a human, to stdout."""
    click.echo(text, color=colour())


def note(text: str) -> None:
    """What was done or is going on, to stderr."""
    click.echo(text, err=True, color=colour(err=True))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Rows to stdout; where there are none, `empty` to stderr, so that a script counts lines rightly."""
    lines = status_text.table(head, rows)
    if lines:
        say("\n".join(lines))
    else:
        note(empty)
