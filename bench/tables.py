"""How figures and tables are set, on the terminal and in Markdown."""

from collections.abc import Sequence


def spread(values: Sequence[float]) -> str:
    """Smallest and largest."""
    return f"{short(min(values))}–{short(max(values))}"


def short(value: float) -> str:
    """Three digits that mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table for a terminal, its first row the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
