"""Carries out a core's actions, in the order in which the core decided on them.

One queue for each copy. What a completion brings goes behind what is queued already, and the queue is
drained by whoever came first, so nothing here recurses. This file knows the actions of both roles
that only need the store; the two copies add those of their role.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from farshore.core import actions as a
from farshore.engine.durable_records import DurableRecords
from farshore.engine.journal import Journal


class Core(Protocol):
    """What both roles are told."""

    def synced(self, ticket: int, errno: int) -> list[a.Action]: ...
    def header_written(self, ticket: int, errno: int) -> list[a.Action]: ...


class Carrier:
    """See the module. `table` may be added to until the first action."""

    def __init__(self, core: Core, records: DurableRecords, journal: Journal) -> None:
        self._queue: deque[a.Action] = deque()
        self._draining = False
        self.table: dict[type, Callable[[Any], None]] = {
            a.SyncVolumes: lambda action: records.sync_volumes(action, self.reporting(core.synced)),
            a.WriteHeader: lambda action: records.write_header(action, self.reporting(core.header_written)),
            a.Note: lambda action: journal.note(action.kind, action.fields),
        }

    def do(self, actions: Sequence[a.Action]) -> None:
        """Begins these actions after all that were given before."""
        if not actions:
            return
        queue, table = self._queue, self.table
        if self._draining:
            queue.extend(actions)
            return
        self._draining = True
        for action in actions:
            table[type(action)](action)
        while queue:
            action = queue.popleft()
            table[type(action)](action)
        self._draining = False

    def reporting(self, tell: Callable[..., list[a.Action]]) -> Callable[..., None]:
        """`tell` as a callback whose actions are carried out."""

        def report(*result: object) -> None:
            self.do(tell(*result))

        return report
