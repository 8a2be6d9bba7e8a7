"""Runs a scenario's contenders in turn and compares what they did, round by round.

The machine may be shared and its speed may change from minute to minute, so a ratio is only ever
taken between runs of the same round, and the median of those ratios is what counts. A contender
that could not start, or a run that failed, leaves a gap with a reason, never a figure.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.contenders.base import CannotStart, Contender, Unfair
from bench.fio import FioFailed, Measure, Run, measure
from bench.scenarios import Comparison, Scenario


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rounds, seconds of each run, size of each volume."""

    rounds: int
    seconds: float
    volume_bytes: int

    @property
    def warm_up_seconds(self) -> float:
        """The length of the run that is thrown away."""
        return min(1.0, self.seconds)


@dataclass(slots=True)
class Entry:
    """One contender's part in one scenario. A round that failed is None."""

    name: str
    label: str
    rounds: list[Measure | None] = field(default_factory=list)
    reason: str | None = None
    """Why figures are missing: it could not start, or the first run that failed."""

    def median(self, figure: Callable[[Measure], float]) -> float | None:
        """The median of a figure over the rounds that succeeded; None if none did."""
        found = [figure(each) for each in self.rounds if each is not None]
        return statistics.median(found) if found else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comparison with its ratios, round by round."""

    comparison: Comparison
    ratios: tuple[float, ...]
    unsteady: int
    """Rounds that were left out because the queue grew."""

    @property
    def median(self) -> float | None:
        """None if no round had both figures."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def met(self) -> bool | None:
        """None if there is no target, or nothing to judge it by."""
        median = self.median
        return None if median is None else self.comparison.met(median)


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario after its rounds."""

    scenario: Scenario
    entries: tuple[Entry, ...]
    verdicts: tuple[Verdict, ...]


class Lane:
    """The contenders of a session: each is started when first needed, once, and ended at the end."""

    __slots__ = ("_known", "_started")

    def __init__(self, known: dict[str, Contender]) -> None:
        self._known = known
        self._started: dict[str, str | CannotStart] = {}

    def __getitem__(self, name: str) -> Contender:
        return self._known[name]

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def uri(self, name: str) -> str:
        """Where `name` takes writes; raises CannotStart, each time, if it did not come up."""
        if name not in self._started:
            try:
                self._started[name] = self._known[name].start()
            except CannotStart as why:
                self._started[name] = why
                self._known[name].stop()
        found = self._started[name]
        if isinstance(found, CannotStart):
            raise found
        return found

    @contextmanager
    def open(self) -> Iterator["Lane"]:
        """Stops every contender at the end, also those that are half up."""
        try:
            yield self
        finally:
            for contender in self._known.values():
                contender.stop()


def play(scenario: Scenario, lane: Lane, effort: Effort, say: Callable[[str], None]) -> Result:
    """Warm every contender up, then run them in turn, A B C A B C ..., and compare."""
    entries = [Entry(name, lane[name].label) for name in scenario.contenders if name in lane]
    for entry in entries:
        say(f"{scenario.name}: {entry.label}: warming up")
        try:
            uri = lane.uri(entry.name)
            measure(scenario.job, Run(uri, effort.volume_bytes, effort.warm_up_seconds))
            lane[entry.name].settle()
        except (CannotStart, FioFailed, Unfair) as why:
            entry.reason = str(why)
    able = [entry for entry in entries if entry.reason is None]
    for number in range(effort.rounds):
        for entry in able:
            say(f"{scenario.name}: round {number + 1} of {effort.rounds}: {entry.label}")
            entry.rounds.append(_one(scenario, lane, effort, entry))
    verdicts = tuple(compare(each, entries) for each in scenario.comparisons)
    return Result(scenario, tuple(entries), verdicts)


def _one(scenario: Scenario, lane: Lane, effort: Effort, entry: Entry) -> Measure | None:
    contender = lane[entry.name]
    run = Run(lane.uri(entry.name), effort.volume_bytes, effort.seconds)
    try:
        found = measure(scenario.job, run, contender.queued_bytes)
        contender.settle()
    except (CannotStart, FioFailed, Unfair) as why:
        entry.reason = entry.reason or str(why)
        return None
    return found


def compare(comparison: Comparison, entries: list[Entry]) -> Verdict:
    """The ratios of the rounds in which both sides have a figure."""
    by_name = {entry.name: entry.rounds for entry in entries}
    ratios = []
    unsteady = 0
    for left, right in zip(by_name.get(comparison.left, []), by_name.get(comparison.right, []), strict=False):
        if left is None or right is None:
            continue
        if comparison.steady and left.steady is not True:
            unsteady += 1
            continue
        ratios.append(getattr(left, comparison.figure) / getattr(right, comparison.figure))
    return Verdict(comparison, tuple(ratios), unsteady)
