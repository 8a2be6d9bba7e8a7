"""Gives the parties of a scenario their turns, A B C A B C, and keeps what each round of each one found.

A party that could not start has no rounds and a reason; a round that failed is None and has one too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from bench.bounded.outcome import Row
from bench.contenders.base import CannotStart, Unfair
from bench.fio import FioFailed
from bench.rounds import Effort

Found = TypeVar("Found")
_Gives_co = TypeVar("_Gives_co", covariant=True)


class Party(Protocol[_Gives_co]):
    """One way of replicating under a load. Both raise CannotStart, FioFailed or Unfair."""

    def start(self) -> None:
        """Get ready."""
        ...

    def run(self, seconds: float) -> _Gives_co:
        """One round; waits until the next one has the machine to itself."""
        ...


@dataclass(slots=True)
class Turns(Generic[Found]):
    """The rounds of each party by its name."""

    rounds: dict[str, list[Found | None]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """The first failure of each party that had one."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """The failures in words."""
        return tuple(f"{name}: {why}" for name, why in self.reasons.items())

    def row(self, who: str, figure: str, value: Callable[[Found], float | None]) -> list[Row]:
        """A row of the rounds that have a value; no row if none has."""
        found = (value(each) for each in self.rounds.get(who, []) if each is not None)
        values = tuple(each for each in found if each is not None)
        return [Row(who, figure, values)] if values else []

    def together(self, *names: str) -> list[tuple[Found, ...]]:
        """The rounds in which all of these have something, in the order of `names`."""
        columns = [self.rounds.get(name, []) for name in names]
        rounds = zip(*columns, strict=False)
        return [
            kept for each in rounds if len(kept := tuple(one for one in each if one is not None)) == len(each)
        ]


def play(parties: Mapping[str, Party[Found]], effort: Effort, say: Callable[[str], None]) -> Turns[Found]:
    """Start and warm up all, then run them in turn."""
    turns: Turns[Found] = Turns()
    for name, party in parties.items():
        say(f"{name}: warming up")
        try:
            party.start()
            party.run(effort.warm_up_seconds)
        except (CannotStart, FioFailed, Unfair) as why:
            turns.reasons[name] = str(why)
        else:
            turns.rounds[name] = []
    for number in range(effort.rounds):
        for name, rounds in turns.rounds.items():
            say(f"round {number + 1} of {effort.rounds}: {name}")
            try:
                rounds.append(parties[name].run(effort.seconds))
            except (CannotStart, FioFailed, Unfair) as why:
                turns.reasons.setdefault(name, str(why))
                rounds.append(None)
    return turns
