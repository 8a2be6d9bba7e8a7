"""Stops the engines at b under load at random moments, and compares what they hold with what was written."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.cluster import Cluster
from tests.fault.bench import ENGINE, Subject
from tests.fault.still import still
from tests.processes import running

_MOST_BETWEEN = 300
"""Answered writes between two looks, at most."""


@dataclass(slots=True)
class Looks:
    """What was looked at."""

    images: int = 0
    """Of groups, each with all its volumes."""
    distinct: int = 0
    """Images that were another state than the one before of the same group."""
    behind: int = 0
    """Images that lacked something that had been answered: only an async link may do that."""
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """The images of one group at one moment, and the tick just before it."""

    subject: Subject
    cut: int
    images: dict[int, bytes]


def check_prefixes(cluster: Cluster, subjects: Sequence[Subject], *, checks: int, seed: int) -> Looks:
    """`checks` looks at each group. What is answered on a sync link is in its image besides (C2).

    Images are kept and compared at the end: comparing them meanwhile would take the writers' time.
    """
    looks, chosen, taken = Looks(), random.Random(seed), list[Look]()
    for subject in subjects:
        subject.begin(chosen.getrandbits(32), connections=1)
    for _ in range(checks):
        chosen.choice(subjects).under_load.until_answered(chosen.randint(1, _MOST_BETWEEN))
        with still(cluster.processes, running(cluster.b.state, ENGINE)):
            taken += [Look(each, each.application.tick(), each.read_copy()) for each in subjects]
    for subject in subjects:
        subject.under_load.stop()
        assert subject.replicated, f"the link of {subject.name} stopped by itself"
        looks.answered += subject.under_load.answered
    youngest = dict.fromkeys((each.name for each in subjects), 0)
    for look in taken:
        newest = compare(look, looks)
        looks.distinct += newest > youngest[look.subject.name]
        youngest[look.subject.name] = newest
    for subject in subjects:
        cluster.equal(subject.name)
        subject.application.settle(subject.parse(subject.read_copy()))
    return looks


def compare(look: Look, looks: Looks) -> int:
    """Compares one look; the youngest write in it."""
    subject = look.subject
    image = subject.parse(look.images)
    disorder = subject.application.disorder(image)
    assert not disorder, f"{subject.name}: {subject.peer}'s image is no prefix: {disorder}"
    lacking = subject.application.missing(image, look.cut)
    assert not (subject.sync and lacking), f"{subject.name}: answered, and not at {subject.peer}: {lacking}"
    looks.images += 1
    looks.behind += bool(lacking)
    return max(max(found) for found in image.values())
