"""What the tests of the disk queue begin with: a link in step, a load, what was sent."""

from dataclasses import replace
from itertools import pairwise

from farshore.core import actions as a
from farshore.model.options import LinkOptions
from tests.unit.core.pair import ASYNC, KIB, Pair, Wish
from tests.unit.core.queue_disk import QueueDisk
from tests.unit.core.scenes import begins

MEMORY = 2000
"""Bytes of the memory queue: three writes."""
QUEUED = replace(ASYNC, queue_memory=MEMORY, queue_disk=64 * KIB)


def queued(options: LinkOptions = QUEUED) -> Pair:
    """In step, with everything durable at the peer."""
    pair = Pair(Wish(links=(options,)))
    pair.replicating()
    pair.turn(30)
    pair.write(0)
    pair.turn(30)
    pair.line.credit = 0
    return pair


def write_on(pair: Pair, count: int, start: int = 0) -> None:
    """So many frames of a write each, all over the volume."""
    for n in range(start, start + count):
        pair.write((n * 5 % 128) * 512)


def disk(pair: Pair) -> QueueDisk:
    return pair.near.queues[pair.link]


def frames(pair: Pair) -> list[a.Issue]:
    """Every frame that was sent."""
    return [unit for unit in pair.line.sent if isinstance(unit, a.Issue)]


def in_order(pair: Pair) -> bool:
    """Whether no frame was sent twice, or before an older one."""
    return all(before.first < after.first for before, after in pairwise(frames(pair)))


def no_resync_since(pair: Pair, before: int) -> bool:
    return len(begins(pair)) == before
