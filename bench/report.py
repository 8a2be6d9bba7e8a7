"""Turns results into a table for the terminal, a Markdown page and a JSON document.

Every figure that appears was measured in this session. What was not measured appears as such, with
the reason; a median never stands without the smallest and the largest value beside it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.bounded import page as bounded
from bench.bounded.outcome import Outcome
from bench.machine import Machine
from bench.rounds import Effort, Entry, Result, Verdict
from bench.tables import aligned, markdown, short, spread

_FIGURES = {
    "iops": "IOPS",
    "bytes_per_second": "bytes/s",
    "mean_us": "mean latency",
    "p999_us": "p99.9 latency",
}
_HEAD = ("contender", "IOPS", "min–max", "MB/s", "mean µs", "p50 µs", "p99 µs", "p99.9 µs")
_JUDGED = ("ratio", "figure", "target", "median", "min–max", "met")


@dataclass(frozen=True, slots=True)
class Session:
    """All that one call of the benchmark found out, and how hard it looked."""

    machine: Machine
    effort: Effort
    results: tuple[Result, ...]
    outcomes: tuple[Outcome, ...] = ()
    """Of the scenarios that are held against a bound."""

    @property
    def stem(self) -> str:
        """The name of its files: date, time, commit."""
        return f"{self.machine.started:%Y-%m-%d-%H%M}-{self.machine.commit}"


def document(session: Session) -> dict[str, Any]:
    """Everything, as it is kept for later comparison."""
    machine = asdict(session.machine)
    machine["started"] = session.machine.started.isoformat()
    return {
        "schema": 1,
        "machine": machine,
        "effort": asdict(session.effort),
        "scenarios": [_scenario(result) for result in session.results],
        "bounded": [bounded.document(outcome) for outcome in session.outcomes],
    }


def page(session: Session) -> str:
    """The same for people, in Markdown."""
    machine, effort = session.machine, session.effort
    others = "; ".join(sorted(machine.programs.values())) or "no other program found"
    size = f"{machine.cores} cores, {machine.memory_bytes / (1 << 30):.0f} GiB"
    turns = f"{effort.rounds} rounds of {effort.seconds:g} s each, contenders in turn within a round"
    lines = [
        f"# Benchmark of {machine.started:%Y-%m-%d %H:%M} UTC, commit {machine.commit}",
        "",
        f"- Machine: {machine.processor}, {size}, Linux {machine.kernel}",
        f"- Python {machine.python}; {others}",
        f"- {_load(machine)}",
        f"- {turns}; volumes of {effort.volume_bytes >> 20} MiB in memory, filled beforehand",
        "- A ratio is taken between runs of the same round; the median of these counts.",
    ]
    for result in session.results:
        lines += ["", f"## {result.scenario.name}: {result.scenario.title}", ""]
        lines += markdown(_HEAD, [_row(entry) for entry in result.entries])
        missing = [f"- {entry.label}: {entry.reason}" for entry in result.entries if entry.reason]
        lines += ["", "Missing runs:", *missing] if missing else []
        lines += ["", *markdown(_JUDGED, [_judged(verdict) for verdict in result.verdicts])]
    for outcome in session.outcomes:
        lines += ["", *bounded.markdown_page(outcome)]
    return "\n".join(lines) + "\n"


def text(result: Result) -> str:
    """One scenario for a terminal."""
    lines = [f"{result.scenario.name}: {result.scenario.title}"]
    lines += aligned([_HEAD, *(_row(entry) for entry in result.entries)])
    lines += [f"  {entry.label}: {entry.reason}" for entry in result.entries if entry.reason]
    lines += aligned([_JUDGED, *(_judged(verdict) for verdict in result.verdicts)])
    return "\n".join(lines) + "\n"


def write(session: Session, folder: Path) -> tuple[Path, Path]:
    """Keep both forms in `folder`; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    kept, shown = folder / f"{session.stem}.json", folder / f"{session.stem}.md"
    kept.write_text(json.dumps(document(session), indent=1) + "\n")
    shown.write_text(page(session))
    return kept, shown


def _load(machine: Machine) -> str:
    words = f"Load of the machine in the minute before: {machine.load:g}"
    return f"{words}: it was **busy with other work**" if machine.load > machine.cores / 4 else words


def _scenario(result: Result) -> dict[str, Any]:
    return {
        "name": result.scenario.name,
        "title": result.scenario.title,
        "job": asdict(result.scenario.job),
        "contenders": [asdict(entry) for entry in result.entries],
        "comparisons": [
            {
                **asdict(verdict.comparison),
                "ratios": verdict.ratios,
                "unsteady_rounds": verdict.unsteady,
                "median": verdict.median,
                "met": verdict.met,
            }
            for verdict in result.verdicts
        ],
    }


def _row(entry: Entry) -> tuple[str, ...]:
    found = [each for each in entry.rounds if each is not None]
    if not found:
        return (entry.label, "not measured", *[""] * (len(_HEAD) - 2))

    def median(figure: str, scale: float = 1.0) -> str:
        value = entry.median(lambda each: float(getattr(each, figure)))
        return "" if value is None else short(value / scale)

    extremes = spread([each.iops for each in found])
    latencies = (median(name) for name in ("mean_us", "p50_us", "p99_us", "p999_us"))
    return (entry.label, median("iops"), extremes, median("bytes_per_second", 1e6), *latencies)


def _judged(verdict: Verdict) -> tuple[str, ...]:
    comparison = verdict.comparison
    name = f"{comparison.left} / {comparison.right}"
    figure = _FIGURES[comparison.figure]
    if verdict.median is None:
        why = f"not steady in {verdict.unsteady} rounds" if verdict.unsteady else "not measured"
        return (name, figure, comparison.bound, why, "", "")
    met = {True: "yes", False: "NO", None: ""}[verdict.met]
    note = f" ({verdict.unsteady} unsteady rounds left out)" if verdict.unsteady else ""
    return (name, figure, comparison.bound, f"{verdict.median:.2f}{note}", spread(verdict.ratios), met)
