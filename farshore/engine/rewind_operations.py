"""What the node can ask an engine about rewinds of its copy: where one would lead.

Looking reads the journal, off the loop; nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from farshore.core import rewinding
from farshore.engine import rewind_look, rewindable
from farshore.engine.call_arguments import given, optional
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.pool import errno_of
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
        if not role.core.consistent:
            raise rewinding.out_of_reach("it is not whole just now")

        def begin() -> Callable[[], Found | FarshoreError]:
            try:
                ways = rewindable.ways(role.core, role.frames.segments, name)
            except FarshoreError as error:  # it has gone while this waited for its turn
                return partial(lambda gone: gone, error)
            if name is not None:
                return partial(_told, partial(rewind_look.at_layer, ways[0]))
            return partial(_told, partial(rewind_look.at_time, ways, float(time or 0.0)))

        def done(found: Found | FarshoreError | OSError) -> None:
            if isinstance(found, Found):
                self._measure(call, role, found)
            elif isinstance(found, FarshoreError):
                call.fail(found)
            else:
                call.fail(_unread(found))

        if name is not None:
            rewindable.named(role.core, name)
        role.frames.reads.beside(begin, done)

    def _measure(self, call: Call, role: SecondaryCopy, found: Found) -> None:
        """What a rescue of the present state would take, and what the store has left."""
        store, geometry = role.preserve.store, role.core.geometry

        def done(result: int | OSError) -> None:
            if isinstance(result, OSError):
                call.fail(_unread(result))
                return
            call.reply(
                {
                    **found.document(),
                    "rescue_bytes": result,
                    "store_free_bytes": max(0, store.limit - store.used),
                }
            )

        role.preserve.look(lambda: bytes_of(geometry, overwritten(store, geometry, found.layer)), done)


def _told(job: Callable[[], Found]) -> Found | FarshoreError:
    try:
        return job()
    except FarshoreError as error:
        return error


def _unread(error: OSError) -> FarshoreError:
    text = f"what the journal keeps cannot be read now: {error.strerror or errno_of(error)}"
    return FarshoreError(
        "wrong-state", text, means="Nothing was changed.", next_step="the same command again"
    )
