"""`python -m bench`: measure, print, and keep the results under bench/results/.

Exit code 0 when it ran to its end, whatever it found; with --strict, 1 where a target was missed or
something could not be measured; 2 for wrong arguments.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import machine, report, rounds, scenarios
from bench.bounded import page
from bench.bounded.ground import Ground
from bench.bounded.known import BOUNDED, Bounded
from bench.bounded.outcome import Outcome
from bench.contenders.base import Room
from bench.contenders.known import contenders
from bench.contenders.sites import Sites

_RESULTS = Path(__file__).parent / "results"
_MEBIBYTE = 1 << 20
_EVERY: tuple[scenarios.Scenario | Bounded, ...] = (*scenarios.SCENARIOS, *BOUNDED)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Farshore beside its peers.")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn (default 5)")
    parser.add_argument("--seconds", type=float, help="length of one run (default 3)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s, for a first look")
    parser.add_argument(
        "--only", metavar="S1,S3", help="these scenarios: families such as S4, or names such as S4-4k"
    )
    parser.add_argument("--with", metavar="NAME,NAME", dest="contenders", help="these contenders only")
    parser.add_argument(
        "--volume", type=int, default=256, metavar="MIB", help="size of each volume (default 256)"
    )
    parser.add_argument("--out", type=Path, default=_RESULTS, metavar="DIR", help="where results are kept")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a target is not met")
    parser.add_argument("--list", action="store_true", help="name the scenarios and contenders and end")
    return parser


def _effort(given: argparse.Namespace) -> rounds.Effort:
    number = given.rounds or (2 if given.quick else 5)
    seconds = given.seconds or (1.0 if given.quick else 3.0)
    if number < 1 or not 0 < seconds <= 3600 or not 1 <= given.volume <= 1 << 20:
        raise ValueError("rounds, seconds and volume must be positive")
    return rounds.Effort(number, seconds, given.volume * _MEBIBYTE)


def _lane(room: Room, sites: Sites, names: str | None) -> rounds.Lane:
    known = contenders(room, sites)
    wanted = list(known) if names is None else [word.strip() for word in names.split(",")]
    strangers = [name for name in wanted if name not in known]
    if strangers:
        raise ValueError(f"no contender {', '.join(strangers)}; there are {', '.join(known)}")
    return rounds.Lane({name: known[name] for name in wanted})


def _measure(given: argparse.Namespace) -> report.Session:
    wanted = scenarios.chosen(given.only, _EVERY)
    here, effort = machine.look(), _effort(given)
    beside = [each for each in wanted if isinstance(each, scenarios.Scenario)]
    bounded = [each for each in wanted if isinstance(each, Bounded)]
    with Room.make(effort.volume_bytes) as room:
        results = _compared(beside, room, effort, given.contenders)
        outcomes = _bounded(bounded, room, effort)
    return report.Session(here, effort, results, outcomes)


def _compared(
    wanted: Sequence[scenarios.Scenario], room: Room, effort: rounds.Effort, contenders: str | None
) -> tuple[rounds.Result, ...]:
    """The scenarios in which we stand beside others."""
    results, sites = [], Sites(room)
    try:
        with _lane(room, sites, contenders).open() as lane:
            for scenario in wanted:
                results.append(rounds.play(scenario, lane, effort, _say))
                print(report.text(results[-1]), flush=True)
    finally:
        sites.stop()
    return tuple(results)


def _bounded(wanted: Sequence[Bounded], room: Room, effort: rounds.Effort) -> tuple[Outcome, ...]:
    """The scenarios that are held against a bound."""
    outcomes, ground = [], Ground(room)
    try:
        for each in wanted:
            outcomes.append(each.run(ground, effort, partial(_tell, each.name)))
            print(page.text(outcomes[-1]), flush=True)
    finally:
        ground.stop()
    return tuple(outcomes)


def _tell(name: str, words: str) -> None:
    _say(f"{name}: {words}")


def _say(words: str) -> None:
    """Progress, for whoever watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Run and return the exit code."""
    parser = _arguments()
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if given.list:
        print(*map(_shown, _EVERY), sep="\n")
        return 0
    try:
        session = _measure(given)
    except ValueError as wrong:
        parser.error(str(wrong))
    print("kept in", *report.write(session, given.out), file=sys.stderr)
    verdicts = [
        verdict for result in session.results for verdict in result.verdicts if verdict.comparison.bound
    ]
    met = all(verdict.met for verdict in verdicts) and all(outcome.met for outcome in session.outcomes)
    return int(given.strict and not met)


def _shown(each: scenarios.Scenario | Bounded) -> str:
    who = f": {', '.join(each.contenders)}" if isinstance(each, scenarios.Scenario) else ""
    return f"{each.name:9} {each.title}{who}"


if __name__ == "__main__":
    sys.exit(main())
