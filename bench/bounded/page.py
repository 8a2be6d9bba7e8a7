"""The report's part about outcomes: for the terminal, in Markdown and as it is kept in JSON."""

from dataclasses import asdict
from typing import Any

from bench.bounded.outcome import Outcome, Row
from bench.tables import aligned, markdown, short, spread

_HEAD = ("what", "figure", "target", "median", "min–max", "met")


def text(outcome: Outcome) -> str:
    """For a terminal."""
    lines = [f"{outcome.name}: {outcome.title}", *aligned([_HEAD, *map(_cells, outcome.rows)])]
    return "\n".join([*lines, *(f"  {gap}" for gap in outcome.gaps)]) + "\n"


def markdown_page(outcome: Outcome) -> list[str]:
    """The lines of its section."""
    lines = [f"## {outcome.name}: {outcome.title}", ""]
    lines += markdown(_HEAD, [_cells(row) for row in outcome.rows])
    return lines + (["", "Missing runs:", *(f"- {gap}" for gap in outcome.gaps)] if outcome.gaps else [])


def document(outcome: Outcome) -> dict[str, Any]:
    """Everything, for later comparison."""
    rows = [{**asdict(row), "median": row.median, "met": row.met} for row in outcome.rows]
    return {"name": outcome.name, "title": outcome.title, "rows": rows, "gaps": outcome.gaps}


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return (row.who, row.figure, row.bound, short(row.median), spread(row.values), met)
