"""Answers the node's `repair` of a copy once the core has told how it ended.

A fault that still cannot be recorded is the error that its disk has now: the repair is then too early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.errors import FarshoreError
from farshore.model.options import Role

_RECORD_SECONDS: Final = 10.0
_MEND_SECONDS: Final = 590.0


def answer_repair(copy: RunningCopy, call: Call, ask: Callable[[], None]) -> None:
    """`ask` asks the core."""

    def told(kind: str, fields: dict[str, object]) -> None:
        if kind == "repairable":
            end()
            call.reply(fields)
        elif kind == "mended":
            end()
            call.reply({"fault": "", **fields})

    def end() -> None:
        timer.cancel()
        copy.journal.listeners.remove(told)

    def too_late() -> None:
        end()
        call.fail(
            FarshoreError(
                "io-error",
                f"the records of {copy.config.group_name} cannot be written yet, or a disk does not answer",
                means="The copy stays as it is; nothing was changed.",
                next_step="dmesg and smartctl on the disk, then farshore repair once more",
            )
        )

    shown = copy.status()
    records = shown.get("fault_id") or shown["role"] == Role.SECONDARY.value
    timer = copy.reactor.after(_RECORD_SECONDS if records else _MEND_SECONDS, too_late)
    copy.journal.listeners.append(told)
    ask()
