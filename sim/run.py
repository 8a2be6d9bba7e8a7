"""`python -m sim`: runs seeds and shows what became of them; a failing seed replays exactly.

Exits with 1 after a seed that broke a rule, with the seed, the rule and the last lines of its
trace. Anything that is raised and is not a broken rule is a failure too: a defect of what ships, or
of the simulator.
"""

from __future__ import annotations

import argparse
import gc
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sim.cluster import Cluster, Report
from sim.options import chained, drawn
from sim.world import BrokenRule


@dataclass(slots=True)
class Outcome:
    """What became of one seed. `broken` is empty when no rule was broken."""

    seed: int
    broken: str = ""
    rule: str = ""
    """Of the law, where the oracle found one broken; empty for anything else that went wrong."""
    trace: list[str] = field(default_factory=list)
    report: Report | None = None


def any_life(seed: int) -> Cluster:
    """The run of a seed with everything that may happen in it."""
    return Cluster(drawn(seed))


def any_chain(seed: int) -> Cluster:
    """The same with a copy behind a peer in any case."""
    return Cluster(chained(seed))


def run_seed(seed: int, make: Callable[[int], Cluster] = any_life) -> Outcome:
    """Runs one seed of some kind of run to its end."""
    with _garbage_at_the_end():
        return _outcome(seed, make)


@contextmanager
def _garbage_at_the_end() -> Iterator[None]:
    """A run makes few cycles and takes half a second: a search for them at its end is enough, and saves a
    seventh of its time."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        if searched:
            gc.enable()


def _outcome(seed: int, make: Callable[[int], Cluster]) -> Outcome:
    cluster: Cluster | None = None
    try:
        cluster = make(seed)
        return Outcome(seed, report=cluster.run())
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a run is the run's result
        text = "".join(traceback.format_exception(error)[-6:])
        trace = cluster.world.trace() if cluster is not None else []
        rule = error.rule if isinstance(error, BrokenRule) else ""
        return Outcome(seed, f"{type(error).__name__}: {error}\n{text}", rule, trace)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--seeds", default="1-100", metavar="A-B", help="run these seeds")
    parser.add_argument("--trace", type=int, default=60, metavar="N", help="lines of a failing seed's trace")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failing seed")
    parser.add_argument("--chain", action="store_true", help="a copy behind a peer, in every seed")
    given = parser.parse_args(arguments)
    first, _, last = given.seeds.partition("-")
    seeds = [given.seed] if given.seed is not None else range(int(first), int(last or first) + 1)
    reached: Counter[str] = Counter()
    failed: list[int] = []
    for seed in seeds:
        outcome = run_seed(seed, any_chain if given.chain else any_life)
        if outcome.broken:
            failed.append(seed)
            _show(outcome, given.trace)
            if not given.keep_going:
                break
        elif outcome.report is not None:
            reached.update(outcome.report.reached)
            if given.seed is not None:
                print(outcome.report)
    for event, count in sorted(reached.items()):
        print(f"{count:8} {event}")
    print(f"{len(failed)} failed: {failed}" if failed else "no rule broken")
    return 1 if failed else 0


def _show(outcome: Outcome, lines: int) -> None:
    for line in outcome.trace[len(outcome.trace) - lines :] if lines else []:
        print(line, file=sys.stderr)
    print(f"seed {outcome.seed}: {outcome.broken}", file=sys.stderr)
