"""A chain under load, a -> b sync, b -> c async over a long thin line, whose last copy is looked at.

At c the engine is killed, and starts again with its lines cut, so that nobody feeds it while its images are
read: journal and all, they are what c would be used with. An image is judged whenever c calls itself usable,
which it does not during a resync. At b engines die, at times with their node, at moments nobody chose; or b
is gone for as long as it takes, and a feeds c over a line that is as long and thin.
"""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import Host, OnCluster, clusters, first_difference
from tests.command_line import pair
from tests.fault.bench import ENGINE, Subject
from tests.fault.connection import Connection
from tests.fault.prefixes import Look, Looks, compare
from tests.fault.still import still
from tests.network.line import Line
from tests.order.frozen import VOLUMES
from tests.order.steps import Steps
from tests.processes import running
from tests.stamps import SECTOR, Application, Ticks, payload
from tests.waiting import wait_until

NEAR_MS, FAR_MS, FAR_RATE = 1, 25, 2 << 20
"""From a to b, and from b to c: milliseconds one way, and bytes per second."""
_REST_S = 0.05
_MOST_BETWEEN = 200
_CATCH_UP_S = 90.0
_GROUP = "chain"


@dataclass(slots=True)
class Seen(Looks):
    """What was looked at. `unusable`: times that c was found in the middle of a resync."""

    kills: int = 0
    unusable: int = 0


@dataclass(slots=True)
class ChainSites(OnCluster):
    """Nodes a (where the application writes), b in the middle and c; `lines_to_c` lead there from b and a."""

    lines_to_c: tuple[Line, Line]
    bypassed: bool = False
    """Whether b is gone and a feeds c."""
    subject: Subject = field(init=False)
    """The far copy, with what the application at a knows."""

    def link(self) -> None:
        """The group and its two links, both replicating."""
        self.cluster.group(_GROUP, VOLUMES)
        self.cluster.link(_GROUP, self.b, mode="sync")
        options = ("--mode", "async", "--queue-disk", "256MiB", "--wire", "plain")
        self.a.done("link", "create", _GROUP, "c", "--via", "b", *options)
        self.caught_up()
        here = self.a.group(_GROUP).volumes
        there = {each.name: Path(each.path) for each in self.c.group(_GROUP).volumes}
        files = [there[each.name] for each in here]
        application = Application(_GROUP.encode().ljust(8, b"\0"), Ticks())
        self.subject = Subject(_GROUP, self.cluster, application, False, False, here, files, "c", True)

    def caught_up(self) -> None:
        """Until whoever feeds c replicates, and everything before it."""
        chain = ((self.a, "c"),) if self.bypassed else ((self.a, "b"), (self.b, "c"))
        for each, link in chain:
            wait_until(
                lambda each=each, link=link: each.link(_GROUP, link).state == "replicating",  # type: ignore[misc]
                _CATCH_UP_S,
                what=f"{each.name} to replicate to {link}",
            )

    def bypass(self) -> None:
        """b is gone for good, as far as anybody can see, and a feeds c."""
        self.b.kill_node()
        self.b.kill_engine_of(_GROUP)
        self.a.done("link", "reroute", _GROUP, "c", "--via", "a")
        self.bypassed = True
        self.caught_up()

    def bring_back(self) -> None:
        """b is back, catches up, and feeds c again."""
        self.b.start()
        self.bypassed = False
        wait_until(lambda: self.a.link(_GROUP, "b").state == "replicating", _CATCH_UP_S, what="b to catch up")
        self.a.done("link", "reroute", _GROUP, "c", "--via", "b")
        self.caught_up()

    def resyncs(self, host: Host) -> list[str]:
        """The kinds of resync by which c was brought up to date from that host, in order."""
        (log,) = host.state.glob(f"copies/{_GROUP}/*/engine.log")
        events = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
        told = [each["fields"] for each in events if each.get("kind") == "link-state"]
        return [each["reason"] for each in told if each["link"] == "c" and each["state"] == "resyncing"]

    def equal(self) -> None:
        """Until all copies that there are are equal."""
        for host in (self.c,) if self.bypassed else (self.b, self.c):
            for volume in self.subject.volumes:
                here, there = self.a.image(_GROUP, volume.name), host.image(_GROUP, volume.name)
                wait_until(
                    lambda here=here, there=there: first_difference(here, there) is None,  # type: ignore[misc]
                    _CATCH_UP_S,
                    what=f"{host.name} to hold what a holds of {volume.name}",
                )


@contextmanager
def chain_sites(directory: Path) -> Iterator[ChainSites]:
    """Three nodes, as far apart as the constants say."""
    with clusters(directory) as make:
        made = make(("a", "b", "c"))
        b, c = made.b, made.hosts["c"]
        with Line(c.listen) as from_b, Line(c.listen) as from_a:
            pair(b, c)
            b.done("node", "set", "c", f"address={from_b.address}")
            made.a.done("node", "set", "c", f"address={from_a.address}")
            made.line.delay(NEAR_MS)
            sites = ChainSites(made, (from_b, from_a))
            sites.link()
            for line in sites.lines_to_c:
                line.delay(FAR_MS)
                line.rate(FAR_RATE)
            yield sites


def besiege(sites: ChainSites, *, rounds: int, seed: int) -> Seen:
    """So many rounds of kills beside a load; all images are judged, and all copies equal, on return."""
    seen, chosen, looks = Seen(), random.Random(seed), list[Look]()
    subject = sites.subject
    load = Steps(subject.application, subject.places, chosen.getrandbits(32), _REST_S)
    for number in range(rounds):
        load.hurry.set()
        load.until_answered(chosen.randint(1, _MOST_BETWEEN))
        if number % 3 and not sites.bypassed:
            seen.kills += _kill_middle(sites, with_node=chosen.random() < 0.5)
        load.hurry.clear()
        looks += _look(sites, seen)
        if not sites.bypassed and not running(sites.b.state, "farshore.api.process"):
            sites.b.start()
        for line in sites.lines_to_c:
            line.heal()
        if chosen.random() < 0.7:
            sites.caught_up()
    sites.caught_up()
    load.stop()
    seen.answered = load.answered
    youngest = 0
    for look in looks:
        newest = compare(look, seen)
        seen.distinct += newest > youngest
        youngest = newest
    sites.equal()
    return seen


def _kill_middle(sites: ChainSites, *, with_node: bool) -> int:
    b = sites.b
    engines = list(running(b.state, ENGINE))
    if with_node:
        b.kill_node()
    for pid in engines:
        b.kill(pid)
    return len(engines) + with_node


def _look(sites: ChainSites, seen: Seen) -> list[Look]:
    """What c would be used with if everybody before it were gone now."""
    subject, c = sites.subject, sites.c
    starts = subject.starts()
    with still(c.processes, [c.pid]):  # it must not start an engine before the line is cut
        for pid in running(c.state, ENGINE):
            c.kill(pid)
            seen.kills += 1
        cut = subject.application.tick()
        for line in sites.lines_to_c:
            line.cut()
    wait_until(lambda: subject.starts() > starts, _CATCH_UP_S, what="a replay at c")
    if not c.json(_GROUP).get("usable"):
        seen.unusable += 1
        return []
    return [Look(subject, cut, subject.read_copy())]


def latencies(sites: ChainSites, *, writes: int) -> list[float]:
    """Of so many writes, one at a time, in seconds; the shortest first."""
    application, (address, _) = sites.subject.application, sites.subject.places[0]
    connection = Connection(address)
    took = []
    for number in range(writes):
        sector = number % 64
        write = application.send(0, sector, 1)
        data = payload(application.group, 0, sector, 1, write.sequence)
        began = time.monotonic()
        connection.post_write(sector * SECTOR, data)
        _, error = connection.reply()
        took.append(time.monotonic() - began)
        assert not error
        application.answered(write)
    connection.close()
    return sorted(took)
