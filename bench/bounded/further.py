"""S8: what each further link costs the primary's engine in processor time per write.

The time is that of all threads of the engine, in user and kernel mode, from before the load until the copies
have everything. With `on-full=block` the load cannot outrun the links: otherwise a queue would fill on a
machine that does the work of all copies at once, and links that log are cheap.
"""

from collections.abc import Callable
from itertools import pairwise

from bench.bounded.ground import Ground
from bench.bounded.outcome import Outcome, Row
from bench.bounded.replicated import Replicated
from bench.bounded.turns import play
from bench.contenders.base import Unfair
from bench.contenders.sites import Group
from bench.fio import Job, Run, measure
from bench.rounds import Effort

MOST_LINKS = 3
ENOUGH_US, SHARE = 5.0, 0.4
TITLE = "processor time of the primary's engine per 4 KiB random write, depth 32, plain, by number of links"
_JOB = Job(4096, 32)


class _Links:
    """A group with so many links under the load."""

    def __init__(self, ground: Ground, mode: str, links: int) -> None:
        self._ground, self._mode, self._links = ground, mode, links
        self._group: Replicated | None = None

    def start(self) -> None:
        options = ("--mode", self._mode, "--wire", "plain", "--on-full", "block")
        wanted = Group(f"s8-{self._mode}-{self._links}", options if self._links else None, self._links)
        self._group = Replicated(self._ground.beside(), wanted)
        self._group.start()

    def run(self, seconds: float) -> float:
        """Microseconds per write."""
        assert self._group is not None
        before = self._group.processor_seconds()
        found = measure(_JOB, Run(self._group.uri, self._ground.volume_bytes, seconds))
        self._group.settle()
        if not found.writes:
            raise Unfair("nothing was written")
        return (self._group.processor_seconds() - before) / found.writes * 1e6


def run(ground: Ground, effort: Effort, say: Callable[[str], None]) -> Outcome:
    """Measure 0 to 3 links, sync and async, in turn."""
    parties = {_named("sync", 0): _Links(ground, "sync", 0)}
    for mode in ("sync", "async"):
        parties |= {_named(mode, links): _Links(ground, mode, links) for links in range(1, MOST_LINKS + 1)}
    turns = play(parties, effort, say)
    rows: list[Row] = []
    for who in turns.rounds:
        rows += turns.row(who, "µs per write", lambda each: each)
    for mode in ("sync", "async"):
        rounds = turns.together(*(_named(mode, links) for links in range(MOST_LINKS + 1)))
        rows += further(mode, rounds)
    return Outcome("S8", TITLE, tuple(rows), turns.gaps)


def further(mode: str, rounds: list[tuple[float, ...]]) -> list[Row]:
    """What each link adds, and the further ones beside what they may; `rounds`: µs with 0, 1, ... links."""
    added = [[after - before for before, after in pairwise(each)] for each in rounds]
    rows: list[Row] = []
    for number in range(1, len(rounds[0])) if rounds else ():
        who = f"{mode}, link {number}"
        rows.append(Row(who, "adds µs per write", tuple(each[number - 1] for each in added)))
        if number > 1:
            allowed = (each[number - 1] / max(ENOUGH_US, SHARE * each[0]) for each in added)
            figure = f"of {ENOUGH_US:g} µs or {SHARE:.0%} of link 1, whichever is more"
            rows.append(Row(who, figure, tuple(allowed), most=1.0))
    return rows


def _named(mode: str, links: int) -> str:
    if not links:
        return "no link"
    return f"{mode}, {links} link{'s' if links > 1 else ''}"
