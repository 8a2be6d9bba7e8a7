"""Answers a call once every link that it concerns has told what it waits for.

The core tells of what it has done by notes, also within the very call that asks for it; so whoever waits
listens before asking. A link that does not tell in time fails the call; what it was asked for stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.errors import FarshoreError


@dataclass(frozen=True, slots=True)
class Wait:
    """For a note of this kind of each link; `late` is what the caller hears after so many seconds."""

    kind: str
    seconds: float
    late: FarshoreError
    entry: Callable[[dict[str, object]], Any]
    """What the answer says of a link, from the note's fields."""


def faulted(copy: RunningCopy) -> FarshoreError:
    """What is answered to whoever asks something of a copy that has failed (rule C3)."""
    group = copy.config.group_name
    return FarshoreError(
        "faulted",
        f"{group} has failed: {copy.role.core.keeper.header.fault}",
        means="It answers nothing until it is repaired; what was asked for may be forgotten.",
        next_step=f"farshore repair {group}",
    )


def answer_when_told(copy: RunningCopy, call: Call, wait: Wait, ask: Callable[[], list[str]]) -> None:
    """`ask` asks the core and returns the names of the links. Raises FarshoreError when that is refused."""
    if copy.role.core.keeper.header.fault:
        raise faulted(copy)
    answers: dict[str, Any] = {}
    wanted: set[str] = set()

    def told(kind: str, fields: dict[str, object]) -> None:
        if kind == "faulted":
            end()
            call.fail(faulted(copy))
        elif kind == wait.kind and fields["link"] not in answers:
            answers[str(fields["link"])] = wait.entry(fields)
            finish_if_complete()

    def finish_if_complete() -> None:
        if wanted and wanted <= answers.keys():
            end()
            call.reply({"links": [answers[name] for name in sorted(wanted)]})

    def end() -> None:
        timer.cancel()
        copy.journal.listeners.remove(told)

    def too_late() -> None:
        end()
        call.fail(wait.late)

    copy.journal.listeners.append(told)
    timer = copy.reactor.after(wait.seconds, too_late)
    try:
        wanted |= set(ask())
    except FarshoreError:
        end()
        raise
    if not wanted:
        end()
        call.reply({"links": []})
    finish_if_complete()
