"""The story that the demo tells, step by step, and the claims that it proves on the way.

Two sites, a line with delay between them, an application that sells all the time. Each step does what an
operator would and ends with claims; each claim is judged by something else than the word of the product
where that is possible: the bytes by the line, the copies by SHA-256, the data by SQLite and the files'
digests. Everything that was started is ended and the directory removed, however the story ends.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from farshore.client.answers import Group
from farshore.demo import bad_day, shop
from farshore.demo.line import Line
from farshore.demo.screen import Screen
from farshore.demo.shop import Shop
from farshore.demo.site import Site, brief, uninterrupted
from farshore.errors import EXIT_ERROR, FarshoreError
from farshore.model.units import format_duration, format_size

GROUP, LINK = "shop", "site-b"
_DELAY_S = 0.005  # one way
_STEP_S = 30.0
_LOSS_S = 12.0  # heartbeat limit of 5 s, and a slow machine
_OVERHEAD = 256 << 10  # handshakes, heartbeats and headers beside the regions of an update
_INTERRUPTED = 130


def run(*, keep: bool, as_json: bool) -> int:
    """Tells the whole story; the exit code."""
    screen = Screen(as_json=as_json)
    root = Path(tempfile.mkdtemp(prefix="farshore-demo-"))
    before = signal.signal(signal.SIGTERM, _interrupted)
    story, problem, code = Story(root, screen), None, 0
    try:
        try:
            story.tell()
        finally:
            with uninterrupted():
                story.close()
    except FarshoreError as error:
        problem = f"{error.what} ({error.code.name})"
    except (OSError, ValueError, sqlite3.Error, subprocess.SubprocessError) as error:
        problem = f"{type(error).__name__}: {error}"
    except KeyboardInterrupt:
        problem, code = "interrupted; everything that was started is stopped", _INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
        if keep:
            screen.say(f"kept: {root}")
        else:
            shutil.rmtree(root, ignore_errors=True)
    held = screen.finish(problem)
    return code or (0 if held else EXIT_ERROR)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Story:
    """One run. `tell` takes the steps in order; `close` ends whatever is still there."""

    def __init__(self, root: Path, screen: Screen) -> None:
        self.root = root
        self.screen = screen
        self.a = Site(root, "site-a", screen.told)
        self.b = Site(root, "site-b", screen.told)
        self.line: Line | None = None
        self.shop: Shop | None = None
        self.papers: dict[str, str] = {}
        self._pulse = threading.Event()

    def tell(self) -> None:
        """All steps."""
        self.two_sites()
        application = self.an_application()
        self.first_copy(application)
        dirty = self.lost_line(application)
        self.line_is_back(application, dirty)
        self.asynchronous(application)
        self.killed_engine(application)
        bad_day.take_over(self, application, GROUP)
        bad_day.come_back(self, application, GROUP)
        self.the_other_shore(application)

    def close(self) -> None:
        """Ends application, line and both sites. May be called again."""
        self.screen.quiet()
        if self.shop is not None:
            self.shop.close()
        for site in (self.a, self.b):
            site.close()
        if self.line is not None:
            self.line.close()

    def two_sites(self) -> None:
        """Two nodes that know each other by their certificates, over a line of ours."""
        self.screen.step("Two sites, and a line between them")
        for site in (self.a, self.b):
            site.start()
        host, _, port = self.b.listen.rpartition(":")
        self.line = Line((host, int(port)), _DELAY_S)
        invitation = self.b.command("node", "invite")
        self.a.command("node", "join", self.line.address, token=invitation["token"])
        self.screen.say(f"the line has a round trip of {format_duration(2 * _DELAY_S)}")

    def an_application(self) -> Shop:
        """A volume, opened over NBD by an application that keeps a database and a tree of files in it."""
        self.screen.step("An application on site A")
        volume = f"data={self.root / 'site-a.img'},size={format_size(shop.VOLUME_SIZE).replace(' ', '')}"
        self.a.command("group", "create", GROUP, "--volume", volume)
        uri = self.a.command("export", GROUP)["exports"][0]["uri"]
        self.shop = Shop(self.root, uri)
        self.shop.rest()
        tree = self.root / "papers"
        self.papers = shop.make_tree(tree, seed=1, files=300, largest=96 << 10)
        archive = shop.packed(tree)
        self.shop.put(shop.TREE_AT, archive)
        self.shop.open()
        self.screen.say(
            f"{len(self.papers)} files ({format_size(len(archive))}) and a SQLite database that grows"
        )
        return self.shop

    def first_copy(self, application: Shop) -> None:
        """A sync link; the first full copy is made while the application writes."""
        self.screen.step("A synchronous copy at site B, made while the application writes")
        began, sold = time.monotonic(), application.sales.sold
        self.a.command("link", "create", GROUP, "site-b", "--name", LINK, "--mode", "sync")
        group = self.until(self.a, _protected, "the first copy", _STEP_S)
        took, during = time.monotonic() - began, application.sales.sold - sold
        self.screen.proof("the application writes during the first copy", f"{during} orders", during > 0)
        link = group.links[0]
        self.screen.proof(
            "the link is encrypted and replicates",
            f"{link.mode}, {link.wire}, {link.state}",
            link.wire == "tls",
        )
        application.rest()
        self.until(self.a, _clean, "everything durable at site B", _STEP_S)
        mine, theirs = (shop.digest(self._image(site)) for site in (self.a, self.b))
        self.screen.proof(
            f"after {format_duration(took)} both images are equal",
            f"SHA-256 {mine[:16]}, {theirs[:16]}",
            mine == theirs,
        )
        self.a.hold()
        self.b.hold()

    def lost_line(self, application: Shop) -> int:
        """The line is silent; the application goes on; what changes is marked. Returns the dirty bytes."""
        self.screen.step("The line between the sites is lost")
        if self.line is None:
            raise RuntimeError("there is no line to cut")
        application.open()
        waits = len(application.sales.waits)
        self.line.cut()
        self.screen.say("cut: nothing passes any more, and nobody is told")
        self.until(self.a, _logging, "the loss of the line", _LOSS_S)
        sold = application.sales.sold
        self.sell(application, 150)
        group = self.a.group(GROUP)
        self.screen.proof(
            "without the line the application goes on",
            f"{application.sales.sold - sold} orders, writes {group.writes}",
            application.sales.sold > sold and group.writes == "flowing",
        )
        application.rest()
        longest = max(application.sales.waits[waits:])
        self.screen.proof(
            "the line's loss held writes no longer than the limit", format_duration(longest), longest < 8
        )
        self._new_papers(application)
        group = self.until(
            self.a, lambda seen: _logging(seen) and bool(seen.links[0].dirty_bytes), "marks", 10
        )
        link, dirty = group.links[0], group.links[0].dirty_bytes or 0
        self.screen.proof(
            "what changes meanwhile is marked",
            f"{link.state} ({link.reason}), {format_size(dirty)} of {format_size(shop.VOLUME_SIZE)} dirty",
            0 < dirty < shop.VOLUME_SIZE,
        )
        return dirty

    def line_is_back(self, application: Shop, dirty: int) -> None:
        """Nobody does anything: the link finds its peer and sends what was marked."""
        self.screen.step("The line is back")
        if self.line is None:
            raise RuntimeError("there is no line to heal")
        carried, began = self.line.carried, time.monotonic()
        self.line.heal()
        self.until(self.a, lambda seen: _protected(seen) and _clean(seen), "the update", _STEP_S)
        travelled, took = self.line.carried - carried, time.monotonic() - began
        self.screen.proof("the link catches up by itself", f"protected after {format_duration(took)}", True)
        self.screen.proof(
            "only what changed travels",
            f"{format_size(travelled)} for {format_size(dirty)} dirty; "
            f"{100 - 100 * travelled / shop.VOLUME_SIZE:.0f} % of a full copy saved",
            travelled <= 1.1 * dirty + _OVERHEAD,
        )

    def asynchronous(self, application: Shop) -> None:
        """The same link without waiting for the far side, and back."""
        self.screen.step("Asynchronous: the application no longer waits for the line")
        medians: dict[str, float] = {}
        for mode in ("sync", "async"):
            self.a.command("link", "set", GROUP, LINK, f"mode={mode}")
            self.until(self.a, _in_mode(mode), f"mode {mode}", 10)
            first = len(application.sales.waits)
            application.open()
            self.sell(application, 40)
            application.rest()
            medians[mode] = statistics.median(application.sales.waits[first:])
        self.screen.proof(
            "async spares the application the line's round trip",
            f"an order takes {format_duration(medians['async'])}, sync {format_duration(medians['sync'])}",
            medians["async"] < medians["sync"] and medians["sync"] >= 2 * _DELAY_S,
        )
        self.until(self.a, _clean, "the queue to drain", _STEP_S)
        self.a.command("link", "set", GROUP, LINK, "mode=sync")
        self.until(self.a, _in_mode("sync"), "sync again", _STEP_S)
        self.until(self.a, _protected, "protection by the sync link", _STEP_S)

    def killed_engine(self, application: Shop) -> None:
        """kill -9 of the engine that serves the application, in the middle of its writes."""
        self.screen.step("The engine of site A is killed")
        application.open()
        self.sell(application, 20)
        pid = self.a.engine(GROUP)
        if pid is None:
            raise FarshoreError("internal", "site-a: the group has no engine")
        sold, began = application.sales.sold, time.monotonic()
        self.a.kill(pid)
        self.screen.say(f"kill -9 {pid}")
        self.sell(application, application.sales.sold - sold + 20)
        back = time.monotonic() - began
        self.until(self.a, _protected, "protection after the kill", _STEP_S)
        fresh = self.a.engine(GROUP)
        self.screen.proof(
            "a killed engine comes back",
            f"pid {fresh} instead of {pid}, orders again after {format_duration(back)} at most",
            fresh not in (None, pid) and application.sales.reconnects > 0,
        )
        self.a.hold()

    def the_other_shore(self, application: Shop) -> None:
        """Everything is stopped; what lies at site B is read without Farshore."""
        self.screen.step("Everything is stopped: what lies at site B?")
        self.sell(application, 20)
        application.rest()
        self.until(
            self.a, lambda seen: _protected(seen) and _clean(seen), "the last orders at site B", _STEP_S
        )
        mine, theirs = self._image(self.a), self._image(self.b)
        application.close()
        forced = self.a.close() + self.b.close()
        self.screen.proof("both sites stop when told", f"{forced} processes had to be forced", forced == 0)
        first, second = shop.digest(mine), shop.digest(theirs)
        self.screen.proof(
            "the images are equal byte by byte", f"SHA-256 {first[:16]}, {second[:16]}", first == second
        )
        rescued = shop.read_database(theirs, self.root / "rescued.sqlite")
        integrity, orders, stock = shop.contents(rescued)
        _, own_orders, own_stock = shop.contents(application.database)
        sold = application.sales.sold
        self.screen.proof(
            "the database on site B is sound", f"integrity_check: {integrity}", integrity == "ok"
        )
        self.screen.proof(
            "and holds every order that was acknowledged",
            f"{len(orders)} of {sold} orders, {len(stock)} items",
            len(orders) == sold and (orders, stock) == (own_orders, own_stock),
        )
        found = shop.read_tree(theirs)
        equal = sum(found.get(name) == value for name, value in self.papers.items())
        self.screen.proof(
            "the file tree on site B is complete",
            f"{equal} of {len(self.papers)} files equal",
            found == self.papers,
        )

    def _new_papers(self, application: Shop) -> None:
        """Rewrites part of the tree's files, and with them the archive in the volume."""
        tree = self.root / "papers"
        self.papers |= shop.make_tree(tree, seed=2, files=60, largest=96 << 10)
        application.put(shop.TREE_AT, shop.packed(tree))

    def sell(self, application: Shop, orders: int) -> None:
        """Until so many more orders are acknowledged."""
        goal, deadline = application.sales.sold + orders, time.monotonic() + _STEP_S
        while application.sales.sold < goal:
            if application.failure is not None:
                raise application.failure
            if time.monotonic() > deadline:
                raise FarshoreError(
                    "timeout", f"the application sold {application.sales.sold} of {goal} orders"
                )
            self.screen.progress(f"{application.sales.sold} orders sold")
            self._pulse.wait(0.02)

    def until(self, site: Site, seen: Callable[[Group], bool], what: str, timeout: float) -> Group:
        """The group at a site, once its status shows what is waited for. Raises FarshoreError `timeout`."""

        def look(group: Group) -> bool:
            self.screen.progress(f"waiting for {what}: {brief(group)}")
            return seen(group)

        return site.until(GROUP, look, what, timeout)

    def _image(self, site: Site) -> Path:
        return Path(site.group(GROUP).volumes[0].path)


def _protected(group: Group) -> bool:
    return group.health == "protected"


def _clean(group: Group) -> bool:
    return all(link.dirty_bytes == 0 for link in group.links)


def _logging(group: Group) -> bool:
    return group.links[0].state == "logging"


def _in_mode(mode: str) -> Callable[[Group], bool]:
    return lambda group: group.links[0].mode == mode
