"""What the demo shows: steps, the commands it runs, live figures, and at the end the table of proofs.

On a terminal with rich, otherwise plain lines; with JSON one object per line. A proof is a claim, the figure
that was observed, and whether the claim held; nothing else decides the demo's exit code.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farshore.model.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_PLAIN_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Proof:
    """One line of the table at the end."""

    claim: str
    observed: str
    held: bool


class Screen:
    """Output of one demo. `as_json`: JSON lines on stdout and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.proofs: list[Proof] = []
        self._as_json = as_json
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._console: Console | None = None
        self._status: Status | None = None
        if not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            self._console = Console(no_color=bool(os.environ.get("NO_COLOR")), highlight=False)

    def step(self, title: str) -> None:
        """A new part of the story begins."""
        self._out("step", title, f"\n== {title}", f"\n[bold]{title}[/bold]")

    def told(self, command: str) -> None:
        """A command line that is about to run."""
        self._out("command", command, f"   {command}", f"  [cyan]{_escaped(command)}[/cyan]")

    def say(self, text: str) -> None:
        """Something that was seen."""
        self._out("text", text, f"   {text}", f"  {_escaped(text)}")

    def progress(self, text: str) -> None:
        """A figure that changes: rewritten on a terminal, a line every two seconds elsewhere."""
        if self._console is not None:
            if self._status is None:
                self._status = self._console.status(_escaped(text))
                self._status.start()
            self._status.update(_escaped(text))
        elif time.monotonic() - self._shown_at >= _PLAIN_EVERY_S:
            self._out("progress", text, f"   ... {text}", "")
            self._shown_at = time.monotonic()

    def proof(self, claim: str, observed: str, held: bool) -> None:
        """Notes a claim and what was observed."""
        self.proofs.append(Proof(claim, observed, held))
        mark = "proved" if held else "NOT SO"
        colour = "green" if held else "bold red"
        line = f"{claim}: {observed}"
        self._out(
            "proof", asdict(self.proofs[-1]), f"   {mark}: {line}", f"  [{colour}]{mark}[/] {_escaped(line)}"
        )

    def finish(self, problem: str | None) -> bool:
        """Shows the table; True when there was no problem and every claim held."""
        self.quiet()
        held = problem is None and all(each.held for each in self.proofs)
        took = format_duration(time.monotonic() - self._began)
        verdict = (
            f"all {len(self.proofs)} claims held, in {took}" if held else problem or "not every claim held"
        )
        if self._as_json:
            self._json({"held": held, "problem": problem, "proofs": [asdict(each) for each in self.proofs]})
        elif self._console is not None:
            self._rich_table(verdict, held)
        else:
            width = max((len(each.claim) for each in self.proofs), default=0)
            for each in self.proofs:
                print(f"{'ok ' if each.held else 'NO '} {each.claim:<{width}}  {each.observed}")
            print(f"\n{verdict}", flush=True)
        return held

    def quiet(self) -> None:
        """Takes the live figure away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _out(self, kind: str, content: object, plain: str, rich: str) -> None:
        self.quiet()
        if self._as_json:
            self._json({kind: content})
        elif self._console is not None:
            self._console.print(rich)
        else:
            print(plain, flush=True)

    def _json(self, content: dict[str, object]) -> None:
        import json

        print(json.dumps({"schema": 1, **content}, ensure_ascii=False), flush=True)

    def _rich_table(self, verdict: str, held: bool) -> None:
        from rich.table import Table

        table = Table("", "claim", "observed", title="What was proved", title_justify="left")
        for each in self.proofs:
            mark = "[green]yes[/green]" if each.held else "[bold red]NO[/bold red]"
            table.add_row(mark, _escaped(each.claim), _escaped(each.observed))
        if self._console is not None:
            self._console.print()
            self._console.print(table)
            self._console.print(f"[{'bold green' if held else 'bold red'}]{_escaped(verdict)}[/]")


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
