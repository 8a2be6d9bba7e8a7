"""What the node can ask of an engine about the size of a volume: to make room for more, and to have it.

An operation is answered once the core has told how it ended.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from farshore.core.actions import Action
from farshore.core.growing import RESIZED, ROOM_FAILED, ROOM_MADE
from farshore.engine.call_arguments import given
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.link_answers import faulted
from farshore.engine.primary_copy import PrimaryCopy
from farshore.errors import FarshoreError

_RECORD_SECONDS: Final = 10.0
_ZEROING_SECONDS: Final = 590.0
"""A device may have to be written to."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class GrowOperations:
    """`table` is a part of the table of `operations`."""

    def __init__(self, copy: RunningCopy) -> None:
        self._copy = copy
        self.table: dict[str, Callable[[Call], None]] = {"make-room": self._make_room, "resize": self._resize}

    def _make_room(self, call: Call) -> None:
        volume, size = self._wanted(call)
        role = self._copy.role
        room = role.core.resizing.room if isinstance(role, PrimaryCopy) else role.core.room
        self._answer(call, ROOM_MADE, _ZEROING_SECONDS, lambda: room.make(volume, size))

    def _resize(self, call: Call) -> None:
        volume, size = self._wanted(call)
        role = self._copy.role
        if not isinstance(role, PrimaryCopy):
            raise FarshoreError(
                "wrong-role", "a volume is resized at the primary, and this copy is a secondary"
            )
        self._answer(call, RESIZED, _RECORD_SECONDS, lambda: role.core.resizing.resize(volume, size))

    def _wanted(self, call: Call) -> tuple[int, int]:
        volume, size = given(call, "volume", int, -1), given(call, "size", int, 0)
        if size <= 0 or size % 512:
            raise FarshoreError("usage", f"{call.op}: size cannot be {size}")
        return volume, size

    def _answer(self, call: Call, kind: str, seconds: float, ask: Callable[[], list[Action]]) -> None:
        copy, volume = self._copy, call.args.get("volume")
        if copy.role.core.keeper.header.fault:
            raise faulted(copy)

        def told(what: str, fields: dict[str, object]) -> None:
            if what == "faulted":
                end()
                call.fail(faulted(copy))
            elif what == kind and fields["volume"] == volume:
                end()
                call.reply({"volume": volume, "size": fields["size"]})
            elif what == ROOM_FAILED and fields["volume"] == volume:
                end()
                call.fail(_no_room(copy, volume, fields["errno"]))

        def end() -> None:
            timer.cancel()
            copy.journal.listeners.remove(told)

        def too_late() -> None:
            end()
            call.fail(_late(copy.config.group_name))

        copy.journal.listeners.append(told)
        timer = copy.reactor.after(seconds, too_late)
        try:
            copy.role.carrier.do(ask())
        except FarshoreError:
            end()
            raise


def _no_room(copy: RunningCopy, volume: object, code: object) -> FarshoreError:
    path = next((each.path for each in copy.config.volumes if each.id == volume), "")
    assert isinstance(code, int)
    return FarshoreError(
        "disk-full" if code in _FULL else "io-error",
        f"{path} on {copy.config.node_name} cannot be made larger: {os.strerror(code)}",
        means="the volume has the size that it had, at every copy",
        next_step="make room there, or enlarge the device itself first; then the same command again",
    )


def _late(group: str) -> FarshoreError:
    return FarshoreError(
        "timeout",
        "the volume has not grown yet",
        means="It may still grow as soon as that is possible; nothing that it holds is touched.",
        next_step=f"farshore status {group}, then the same command again",
    )
