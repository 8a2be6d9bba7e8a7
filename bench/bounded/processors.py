"""Who may run where: the near side and the far side share no processor, as they would share no machine.

Otherwise the far engine and the line would take from the near one what on two machines they would not. With a
single processor there is nothing to divide.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager


def halves(processors: Collection[int]) -> tuple[set[int], set[int]]:
    """Those of the near side and those of the far side. At least one processor is needed."""
    ordered = sorted(processors)
    middle = (len(ordered) + 1) // 2
    return set(ordered[:middle]), set(ordered[middle:] or ordered)


@contextmanager
def held_to(processors: Collection[int]) -> Iterator[None]:
    """This thread stays on these processors meanwhile; what it starts meanwhile, for good."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
