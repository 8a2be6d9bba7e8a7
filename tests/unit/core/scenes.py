"""What several tests begin with: a pair that replicates, a queue that overflows, what was sent."""

from dataclasses import replace

from farshore.model import messages as m
from farshore.model.options import LinkOptions, OnOutage
from tests.unit.core.pair import KIB, REGION, SYNC, Pair, Wish

EIO = 5
FREEZE = replace(SYNC, on_outage=OnOutage.FREEZE)
CONTENT = (bytes(range(1, 256)) * 258)[: 64 * KIB]
"""Something in every byte of a volume of 64 KiB."""


def running(*links: LinkOptions, capacity: int = 16) -> Pair:
    """A pair that replicates, with everything durable."""
    pair = Pair(Wish(links=links or (SYNC,), content=CONTENT, capacity=capacity))
    pair.replicating()
    pair.turn(20)
    return pair


def filled(fills: list[m.Fill]) -> set[int]:
    """The regions that fills covered."""
    return {
        region
        for each in fills
        for region in range(each.offset // REGION, -(-(each.offset + each.length) // REGION))
    }


def begins(pair: Pair) -> list[m.ResyncBegin]:
    return [unit for unit in pair.line.sent if isinstance(unit, m.ResyncBegin)]


def overflow(pair: Pair, size: int = 20) -> None:
    """More than the queue takes, on a line that takes nothing."""
    pair.line.room = 0
    for n in range(size):
        pair.write(n * 512)
    assert not pair.feeder.streaming


def restarted(boot: str, on_start: str, *links: LinkOptions) -> tuple[Pair, list[int]]:
    """Killed, then started while no line is up."""
    pair = running(*links)
    pair.kill_near(lose_cache=boot != "boot-1")
    for link in pair.lines:
        pair.cut(link)
    pair.start_near(boot, on_start)
    tokens = pair.write(0)
    pair.turn(3)
    return pair, tokens
