"""What every copy at work is given by its composition root, whatever its role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farshore.engine.journal import Journal
from farshore.engine.pool import Pool
from farshore.engine.reactor import Reactor
from farshore.engine.stored_copy import StoredCopy


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a copy works with."""

    reactor: Reactor
    stored: StoredCopy
    durable_pool: Pool
    """For writes that must become durable, and the slow disk's writer."""
    read_pool: Pool
    """For reads that wait for a disk, and names that are looked up."""
    journal: Journal
    tidy: Callable[[], None]
    """To be called when a connection is gone."""
