"""The bad day of the demo: a site is lost with all that runs there, the other takes over, and it comes back.

What an operator would type, and what is judged by somebody else: the orders by SQLite, read from the image at
the site that took over, the copies by SHA-256 at the end of the story.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from farshore.client.answers import Group
from farshore.demo import shop
from farshore.demo.nbd_client import NbdClient
from farshore.demo.screen import Screen
from farshore.demo.shop import Shop
from farshore.demo.site import Site
from farshore.model.units import format_duration

_STEP_S = 30.0
_PIECE = 8 << 20


class Stage(Protocol):
    """What these scenes need of the story."""

    root: Path
    screen: Screen
    a: Site
    b: Site

    def sell(self, application: Shop, orders: int) -> None:
        """Until so many more orders are acknowledged."""
        ...

    def until(self, site: Site, seen: Callable[[Group], bool], what: str, timeout: float) -> Group:
        """Until a site's status shows it."""
        ...


def take_over(stage: Stage, application: Shop, group: str) -> None:
    """Every process of site A is killed while the application writes; site B is made the primary."""
    screen, b = stage.screen, stage.b
    screen.step("Site A is lost: site B takes over")
    stage.sell(application, 20)
    killed, began = stage.a.lose(), time.monotonic()
    screen.say(f"kill -9 of {killed} processes: the node of site A and all that it runs")
    sold = application.sales.sold
    stage.until(b, _alone, "site B to notice", _STEP_S)
    b.accepted("failover", group)
    application.move(_uri(b, group))
    stage.sell(application, 20)
    took = time.monotonic() - began
    screen.proof("site B takes over", f"orders again {format_duration(took)} after the loss", True)
    application.rest()
    image = Path(b.group(group).volumes[0].path)
    integrity, orders, _ = shop.contents(shop.read_database(image, stage.root / "taken-over.sqlite"))
    screen.proof(
        "with every order that site A had acknowledged",
        f"{len(orders)} orders at site B, {sold} were acknowledged before",
        integrity == "ok" and len(orders) == application.sales.sold >= sold,
    )
    b.hold()


def come_back(stage: Stage, application: Shop, group: str) -> None:
    """Site A runs again. It follows site B until the role is given back to it."""
    screen, a, b = stage.screen, stage.a, stage.b
    screen.step("Site A is back, and becomes the primary again")
    application.open()
    sold = application.sales.sold
    a.start()
    stage.until(b, _protected, "site A to follow site B", _STEP_S)
    screen.proof(
        "the former primary follows by itself",
        f"site A is {a.group(group).role}, {application.sales.sold - sold} orders meanwhile",
        a.group(group).role == "secondary",
    )
    _try_out(stage, application, group, sold)
    b.accepted("failback", group, a.name)
    application.move(_uri(a, group))
    stage.sell(application, 20)
    seen = stage.until(a, _protected, "protection at site A", _STEP_S)
    screen.proof(
        "the role is given back by one command",
        f"site A is {seen.role} and {seen.health}, site B is {b.group(group).role}",
        seen.role == "primary" and b.group(group).role == "secondary",
    )
    a.hold()
    b.hold()


def _try_out(stage: Stage, application: Shop, group: str, least: int) -> None:
    """A drill at site A before it gets the role back: its copy is opened for writing while orders go on. At
    `least` so many orders were sold when it began to follow."""
    screen, a = stage.screen, stage.a
    sold, began = application.sales.sold, time.monotonic()
    drill = a.command("drill", "start", group)["drill"]
    opened = NbdClient(drill["exports"][0]["uri"])
    taken = stage.root / "drill.img"
    with taken.open("wb") as file:
        for offset in range(0, shop.DATABASE_END, _PIECE):
            file.write(opened.read(offset, _PIECE))
    opened.write(0, bytes(shop.PAGE), fua=True)
    took = time.monotonic() - began
    stage.sell(application, 10)
    integrity, orders, _ = shop.contents(shop.read_database(taken, stage.root / "drill.sqlite"))
    opened.close()
    a.command("drill", "stop", group)
    screen.proof(
        "a drill at site A, while it follows",
        f"{len(orders)} orders found (integrity_check: {integrity}), at least {least} were due; its database"
        f" overwritten within {format_duration(took)}, {application.sales.sold - sold} orders meanwhile",
        integrity == "ok" and least <= len(orders) <= application.sales.sold,
    )


def _protected(group: Group) -> bool:
    return group.health == "protected"


def _alone(group: Group) -> bool:
    """The secondary at site B has no feeder."""
    return group.role == "secondary" and group.health != "protected"


def _uri(site: Site, group: str) -> str:
    uri: str = site.command("export", group)["exports"][0]["uri"]
    return uri
