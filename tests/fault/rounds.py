"""Rounds of kill -9 under load, and what must hold after each.

At the moment of the kill: every write that was answered while its link replicated is in b's image, for a
freeze link every write that was answered at all; and b's image is a prefix of what was written. Afterwards:
everything runs again, every link replicates with nothing dirty, both images are equal byte by byte, and every
write that was ever answered reads back at a (C2, C4, B3, D5).

b's engines stand still, or are dead, while their images are read, and so does the node that would start them
again: what the images hold then they held at the kill.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import Cluster, Host
from tests.fault.bench import ENGINE, NODE, Subject
from tests.fault.still import any_moment, still
from tests.processes import running
from tests.stamps import Image
from tests.waiting import wait_until

VICTIMS = ("engine-a", "engine-b", "node-a", "node-b", "all")
_CONVERGE_S = 90.0
_MOST_BEFORE = 2500
"""Answered writes before a kill, at most."""
_RECOVERY_S = 2.0


@dataclass(slots=True)
class Seen:
    """What the rounds have done so far."""

    rounds: int = 0
    kills: int = 0
    """Processes."""
    answered: int = 0
    """Writes."""
    at_b: dict[str, int] = field(default_factory=dict)
    """By group: how often all answered writes that had to be at b were looked for there."""
    prefixes: int = 0
    """Images at b that were compared with what was written, as a prefix."""


class Rounds:
    """See the module."""

    def __init__(self, cluster: Cluster, subjects: Sequence[Subject], seed: int) -> None:
        self.seen = Seen()
        self._cluster = cluster
        self._subjects = subjects
        self._random = random.Random(seed)
        self._breaks = 0

    def play(self, victim: str, *, again: bool = False) -> None:
        """One round. `again`: something is killed a second time while everything recovers."""
        before = self._processes()
        self._breaks = 0
        for subject in self._subjects:
            subject.begin(self._random.getrandbits(32))
        self._after_some(self._random.randint(20, _MOST_BEFORE))
        killed = self._strike(victim, first=True)
        if again:
            any_moment(self._random.uniform(0.0, _RECOVERY_S))
            killed |= self._strike(self._random.choice(VICTIMS), first=False)
        self._start_nodes()
        for subject in self._subjects:
            self._cluster.wait(subject.name, "protected", _CONVERGE_S)
        self._after_some(50)
        for subject in self._subjects:
            subject.under_load.stop()
        for subject in self._subjects:
            self._settle(subject)
        left = before - killed
        assert left <= self._processes(), "a process that nobody killed is gone"
        self.seen.rounds += 1

    # -- a kill

    def _strike(self, victim: str, *, first: bool) -> set[int]:
        """Kills the victim's processes and looks at b at this moment. `first`: everything replicated."""
        a, b = self._cluster.a, self._cluster.b
        with ExitStack() as held:
            if victim not in ("node-b", "all"):
                held.enter_context(still(self._cluster.processes, running(b.state, NODE)))
            if victim not in ("engine-b", "all"):
                held.enter_context(still(self._cluster.processes, running(b.state, ENGINE)))
            cuts = [each.application.tick() for each in self._subjects]
            steady = [first and each.replicated for each in self._subjects]
            breaks = [each.under_load.breaks for each in self._subjects]
            killed = self._kill(victim, a, b)
            for subject, cut, replicated, broken in zip(self._subjects, cuts, steady, breaks, strict=True):
                if subject.freeze and first and victim in ("engine-a", "all"):
                    subject.under_load.until_broken(broken)  # by then every answer was counted
                if subject.freeze and first and victim == "engine-b":
                    wait_until(lambda each=subject: not each.replicated, 30, what="the peer to be missed")  # type: ignore[misc]
                images = subject.read_copy()
                image = subject.parse(images)
                if subject.freeze or replicated:
                    self._look(subject, image, subject.application.tick() if subject.freeze else cut)
                if replicated:
                    disorder = subject.application.disorder(image)
                    assert not disorder, f"{subject.name}: b's image is no prefix: {disorder}"
                    self.seen.prefixes += 1
        return killed

    def _look(self, subject: Subject, image: Image, cut: int) -> None:
        lacking = subject.application.missing(image, cut)
        assert not lacking, f"{subject.name}: answered, and not at b at the moment of the kill: {lacking}"
        self.seen.at_b[subject.name] = self.seen.at_b.get(subject.name, 0) + 1

    def _kill(self, victim: str, a: Host, b: Host) -> set[int]:
        """Nodes first: they would start engines again."""
        chosen = {
            "node-a": [(a, NODE)],
            "node-b": [(b, NODE)],
            "engine-a": [(a, ENGINE)],
            "engine-b": [(b, ENGINE)],
            "all": [(a, NODE), (b, NODE), (a, ENGINE), (b, ENGINE)],
        }[victim]
        self._breaks += victim in ("engine-a", "all")
        killed: set[int] = set()
        for host, kind in chosen:
            found = running(host.state, kind)
            for pid in self._random.sample(found, len(found)):
                host.kill(pid)
                killed.add(pid)
        self.seen.kills += len(killed)
        return killed

    # -- afterwards

    def _start_nodes(self) -> None:
        down = [host for host in self._cluster.hosts.values() if not running(host.state, NODE)]
        with ThreadPoolExecutor(2) as both:
            for _ in both.map(Host.start, down):
                pass

    def _settle(self, subject: Subject) -> None:
        load = subject.under_load
        self.seen.answered += load.answered
        assert max(load.breaks) <= self._breaks, "a connection broke although its engine lived"
        self._cluster.equal(subject.name)
        images = subject.read_a()
        for number, volume in enumerate(subject.volumes):
            assert images[number] == Path(volume.path).read_bytes(), f"{volume.path} does not read as it is"
        image = subject.parse(images)
        lacking = subject.application.missing(image, subject.application.tick())
        assert not lacking, f"{subject.name}: answered, and not at a afterwards: {lacking}"
        disorder = subject.application.disorder(image)
        assert not disorder, f"{subject.name}: a's image is no prefix: {disorder}"
        subject.application.settle(image)

    def _after_some(self, writes: int) -> None:
        for subject in self._subjects:
            subject.under_load.until_answered(writes // len(self._subjects))

    def _processes(self) -> set[int]:
        hosts = self._cluster.hosts.values()
        return {pid for host in hosts for kind in (NODE, ENGINE) for pid in running(host.state, kind)}
