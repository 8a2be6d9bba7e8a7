"""Deaths of a host's engine and node, at moments that nobody chose, while devices are written to."""

import random
from collections.abc import Callable, Sequence

from tests.cluster import Host
from tests.fault.still import any_moment
from tests.waiting import wait_until

_LONGEST_S = 0.7
_PATIENCE_S = 60.0


def torment(
    host: Host,
    group: str,
    chosen: random.Random,
    progress: Sequence[Callable[[], int]],
    rounds: Sequence[str] = ("engine", "node", "both", "engine"),
) -> None:
    """One death per round, in any order; before and after each, every figure of `progress` has grown."""
    for what in chosen.sample(list(rounds), len(rounds)):
        _all_grow(progress)
        any_moment(chosen.uniform(0.0, _LONGEST_S))
        if what != "engine":
            host.kill_node()
        if what == "both":
            host.kill_engine_of(group)
        if what == "engine":
            host.kill_engine(group)
        else:
            host.start()
    _all_grow(progress)


def _all_grow(progress: Sequence[Callable[[], int]]) -> None:
    before = [each() for each in progress]
    wait_until(
        lambda: all(each() > was for each, was in zip(progress, before, strict=True)),
        _PATIENCE_S,
        what="all that is written to go on",
    )
