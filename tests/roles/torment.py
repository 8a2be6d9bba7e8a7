"""A group whose role moves under load, with kills in the middle: what has to be true of it, whatever
happens.

Each round moves the role to the other node, by a switchover or because the primary's host is killed, and
kills something at a moment drawn from the seed. Then the operator does what every operator does: what was
killed is started, and the command is given again until it is done. No write may be lost that was
acknowledged, and at no moment may both copies take writes.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from farshore.demo.nbd_client import NbdClient
from farshore.errors import FarshoreError
from tests.cluster import Host
from tests.roles.conftest import Roles
from tests.roles.rescued import rescued
from tests.waiting import wait_until

_BLOCK = 4096
_ROUND_S = 60.0


class Load:
    """Writes numbered blocks to whichever copy is the primary, and knows what was acknowledged."""

    def __init__(self, roles: Roles, seed: int) -> None:
        self._roles = roles
        self._random = random.Random(f"load {seed}")
        self._blocks = roles.size // _BLOCK
        self.acknowledged: dict[int, int] = {}
        self.tried: dict[int, set[int]] = {}
        """Numbers that may be there since the last one that was acknowledged."""
        self.count = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def go_on(self, more: int) -> None:
        """Returns when so many more writes are acknowledged."""
        goal = self.count + more
        wait_until(lambda: self.count >= goal, _ROUND_S, what=f"write {goal}")

    def check(self, content: bytes) -> None:
        """Every block holds what was acknowledged last, or what was tried after it."""
        for block, number in self.acknowledged.items():
            found = int.from_bytes(content[block * _BLOCK : block * _BLOCK + 8], "little")
            assert found == number or found in self.tried[block], (
                f"block {block} holds {found}, and {number} was acknowledged"
            )

    def _run(self) -> None:
        number = 0
        while not self._ending.is_set():
            try:
                client = self._open()
                if client is None:
                    self._ending.wait(0.05)
                    continue
                try:
                    while not self._ending.is_set():
                        number += 1
                        self._write(client, number)
                finally:
                    client.close()
            except (OSError, FarshoreError):
                self._ending.wait(0.05)  # that copy takes no writes any more, or is gone

    def _open(self) -> NbdClient | None:
        for host in self._roles.hosts:
            seen = _seen(host, self._roles.group)
            if seen == ("primary", "flowing"):
                return NbdClient(host.uri(self._roles.group), 15.0)
        return None

    def _write(self, client: NbdClient, number: int) -> None:
        block = self._random.randrange(self._blocks)
        self.tried.setdefault(block, set()).add(number)
        client.write(block * _BLOCK, number.to_bytes(8, "little") * (_BLOCK // 8))
        self.acknowledged[block] = number
        self.tried[block] = set()
        self.count += 1


@contextmanager
def never_two(roles: Roles) -> Iterator[None]:
    """At no moment of the block do two copies take writes."""
    ending, wrong = threading.Event(), []

    def look() -> None:
        first, *others = roles.hosts
        while not ending.wait(0.02):
            for other in others:
                # Seen before and after the other one, the first took writes all the while.
                if all(_seen(host, roles.group) == ("primary", "flowing") for host in (first, other, first)):
                    wrong.append(f"{first.name} and {other.name}")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(30)
    assert not wrong, wrong[0]


class Torment:
    """Rounds of it, drawn from a seed."""

    def __init__(self, roles: Roles, seed: int) -> None:
        self._roles = roles
        self._random = random.Random(f"torment {seed}")
        self.told: list[str] = []
        self.rescued = 0
        """Rescues that were looked at."""

    def round(self, load: Load) -> None:
        """The role moves to the other node."""
        here, there = self._roles.hosts[:2]
        if here.group(self._roles.group).role != "primary":
            here, there = there, here
        load.go_on(20)
        if self._random.random() < 0.5:
            self._switch(here, there)
        else:
            self._lose(here, there)
        self._roles.protected_now(there)
        load.go_on(20)
        assert self._roles.primaries() == [there.name], self.told
        self._clear(there)

    def _clear(self, asked: Host) -> None:
        """The operator needs none of the rescues: all of them go."""
        group = self._roles.group
        for name in {each["name"] for each in asked.node.rescues(group)["rescues"]}:
            plan = asked.node.delete_rescue(group, name).plan
            assert asked.node.delete_rescue(group, name, accept=plan.id).done

    def _switch(self, here: Host, there: Host) -> None:
        group = self._roles.group
        asked = self._random.choice((here, there))
        victim, what = self._random.choice((here, there)), self._random.choice(("node", "engine", "host"))
        delay = self._random.uniform(0.0, 1.5)
        self.told.append(
            f"switchover to {there.name} at {asked.name}, {what} {victim.name} after {delay:.2f}"
        )
        thread = threading.Thread(target=self._try_once, args=(asked, there), daemon=True)
        thread.start()
        threading.Event().wait(delay)
        _kill(victim, group, what)
        if what != "engine":
            victim.start()
        thread.join(_ROUND_S)
        victim.engine(group)
        victim.hold()
        self._until_done(lambda: self._try_once(asked, there), there)

    def _lose(self, here: Host, there: Host) -> None:
        group = self._roles.group
        delay = self._random.uniform(0.0, 0.3)
        self.told.append(f"{here.name} is lost, failover to {there.name}")
        self._roles.protected_now(here)
        self._roles.told(there)
        threading.Event().wait(delay)
        path = here.image(group)
        _kill(here, group, "host")
        held = path.read_bytes()
        self._until_done(lambda: self._fail_over(there), there)
        here.start()
        here.engine(group)
        here.hold()

        def follows() -> bool:
            return _seen(here, group)[0] == "secondary"

        try:
            wait_until(follows, _ROUND_S, what=f"{here.name} to follow")
        except AssertionError as late:
            raise AssertionError(f"{late}; {self.told}; {self._all()}") from late
        there.node.failover_commit(group)
        self._roles.protected_now(there)
        kept = [content for _, content in rescued(here, group)]
        assert not kept or held in kept, f"what {here.name} held is not in its rescue"
        self.rescued += len(kept)

    def _try_once(self, asked: Host, goal: Host) -> None:
        group = self._roles.group
        try:
            plan = asked.node.switchover(group, goal.name).plan
            if not plan.refusals:
                asked.node.switchover(group, goal.name, accept=plan.id)
        except FarshoreError as error:
            self.told.append(f"{error.code.name}: {error.what}")

    def _fail_over(self, goal: Host) -> None:
        try:
            plan = goal.node.failover(self._roles.group).plan
            if not plan.refusals:
                goal.node.failover(self._roles.group, accept=plan.id)
        except FarshoreError as error:
            self.told.append(f"{error.code.name}: {error.what}")

    def _until_done(self, again: Callable[[], None], goal: Host) -> None:
        def done() -> bool:
            if _seen(goal, self._roles.group)[0] == "primary":
                return self._settled(goal)
            again()
            return False

        wait_until(done, _ROUND_S, interval=0.3, what=f"{goal.name} to be the primary: {self.told}")

    def _all(self) -> str:
        """Everything that is known, for whoever reads of a failure."""
        group = self._roles.group
        seen = [str(host.json(group)) for host in self._roles.hosts]
        events = [
            f"{host.name} {each.time} {each.kind} {each.text}"
            for host in self._roles.hosts
            for each in host.node.events().events[-25:]
        ]
        return "\n".join(["", *seen, *events])

    def _settled(self, goal: Host) -> bool:
        """Whether the change is done; one that is not goes on."""
        change = goal.json(self._roles.group)["change"]
        if change is None or change["kind"] == "failover":
            return True
        self._try_once(goal, goal)
        return False


def _kill(host: Host, group: str, what: str) -> None:
    host.hold()
    if what in ("node", "host"):
        host.kill_node()
    if what in ("engine", "host"):
        with contextlib.suppress(KeyError):  # it ended a moment ago, for the turn that is under way
            host.kill_engine_of(group)


def _seen(host: Host, group: str) -> tuple[str | None, str | None]:
    """Role and writes, nothing where nobody says."""
    try:
        seen = host.group(group)
    except (FarshoreError, StopIteration):
        return None, None
    return seen.role, seen.writes
