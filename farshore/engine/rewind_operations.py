"""What the node can ask an engine about rewinds of its copy: where one would lead.

Looking reads the journal, off the loop and in slices; nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from farshore.engine import rewindable
from farshore.engine.call_arguments import given, optional
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.looking import Looking, unread
from farshore.engine.rewind_look import Found
from farshore.engine.rewinding import bytes_of, overwritten
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.errors import FarshoreError


class RewindOperations:
    """See the module. `table` is a part of the table of `operations`."""

    def __init__(self, copy: RunningCopy) -> None:
        self._copy = copy
        self.table: dict[str, Callable[[Call], None]] = {"rewind-look": self._look}

    def _look(self, call: Call) -> None:
        role, name = self._copy.role, optional(call, "name", str)
        time = None if call.args.get("time") is None else given(call, "time", (int, float), None)
        if (time is None) == (name is None):
            raise FarshoreError("usage", "rewind-look: either a time or a name")
        if not isinstance(role, SecondaryCopy):
            raise FarshoreError(
                "wrong-role",
                "a primary keeps no frames that it could be rewound by",
                means="Nothing was changed.",
                next_step="farshore rewind --on a node with a secondary",
            )
        rewindable.require_whole(role.core)
        if name is not None:
            rewindable.named(role.core, name)
        Looking(role, name, float(time or 0.0), partial(self._told, call, role)).slice()

    def _told(self, call: Call, role: SecondaryCopy, found: Found | FarshoreError) -> None:
        if isinstance(found, Found):
            self._measure(call, role, found)
        else:
            call.fail(found)

    def _measure(self, call: Call, role: SecondaryCopy, found: Found) -> None:
        """What a rescue of the present state would take, and what the store has left."""
        store, geometry = role.preserve.store, role.core.geometry

        def done(result: int | OSError) -> None:
            if isinstance(result, OSError):
                call.fail(unread(result))
                return
            call.reply(
                {
                    **found.document(),
                    "rescue_bytes": result,
                    "store_free_bytes": max(0, store.limit - store.used),
                }
            )

        role.preserve.look(lambda: bytes_of(geometry, overwritten(store, geometry, found.layer)), done)
