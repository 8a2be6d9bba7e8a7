"""What tests of the preserve store begin with: a pair that has been apart, a resync that stands still."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from farshore.core import report
from farshore.model import messages as m
from tests.unit.core.pair import REGION, SYNC, Pair, Wish
from tests.unit.core.scenes import CONTENT

REGIONS = 16


def apart(*places: int, wish: Wish | None = None) -> Pair:
    """A pair that was in step until the line was cut, and wrote to these regions since."""
    pair = Pair(wish or Wish(links=(SYNC,), content=CONTENT))
    pair.replicating()
    pair.turn(20)
    pair.cut()
    pair.write(*[place * REGION for place in places or range(0, REGIONS, 2)])
    pair.turn(2)
    return pair


def open_resync(pair: Pair, fills: int) -> None:
    """Lets the resync come as far as so many fills."""
    pair.line.stops = lambda unit: (
        isinstance(unit, m.ResyncEnd) or (isinstance(unit, m.Fill) and unit.ordinal > fills)
    )
    pair.mend()
    pair.until(lambda: pair.far.core.session is not None and pair.far.core.session.fills_applied >= fills)


def of(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = report.of_feeder(pair.near.core, pair.feeder)
    return found


@contextmanager
def broken(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """A rule broken on purpose."""
    original = owner.__dict__[name]
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
