"""How a simulated secondary writes what is recorded of its position."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from farshore.core.actions import WriteDurable
from farshore.core.record_actions import ForgetBeyond
from sim.steps import Step

if TYPE_CHECKING:
    from sim.secondary_site import SecondarySite


def write_durable(site: SecondarySite, action: WriteDurable) -> None:
    """The durable position, and how far the journal has been applied."""

    def run() -> None:
        site.position.write_durable(action.position)
        site.journal.replay.marked(action.position)

    _record(site, action.ticket, run)


def forget_beyond(site: SecondarySite, action: ForgetBeyond) -> None:
    """The applied one, which only a process that starts in the same boot reads."""
    _record(site, action.ticket, partial(site.position.forget_beyond, action.position))


def _record(site: SecondarySite, ticket: int, run: Callable[[], None]) -> None:
    done = site.core.durable_written
    site.steps.begin("position", Step(run, lambda errno: site.turn(done, ticket, errno)))
