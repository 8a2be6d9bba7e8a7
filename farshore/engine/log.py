"""Where log lines of an engine, or of a device, go: one JSON object each on stderr, or to systemd's journal.

The journal is taken where stderr leads there. An entry carries whose process it is and what the event
itself names as fields; what matters less than the level that is set is left out. A log that cannot be
written, on a disk that is full say, must not end the data path: that line is lost, and the ring of events
still has it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from farshore.errors import FarshoreError
from farshore.systemd import journal

_STDERR: Final = 2
_ERRORS: Final = frozenset(
    (
        "diverged",
        "faulted",
        "held-too-long",
        "journal-damaged",
        "queue-damaged",
        "tls-exports-refused",
        "write-error",
        "wrong-volume",
    )
)
_WARNINGS: Final = frozenset(
    (
        "detach-refused",
        "engine-lost",
        "feeder-lost",
        "fenced",
        "layer-incomplete",
        "link-behind",
        "link-refused",
        "peer-not-understood",
        "peer-promoted",
        "peer-refused",
        "queue-lost",
        "second-feeder-refused",
        "unlogged",
        "unmounted",
        "verify-failed",
        "verify-found",
        "verify-halted",
        "verify-unreadable",
    )
)
_LEAST: Final = {"info": journal.INFO, "warning": journal.WARNING, "error": journal.ERROR}
Event: TypeAlias = dict[str, Any]


class EventLog:
    """Writes events down, down to those that its level still lets through."""

    def __init__(self, write: Callable[[Event], None], level: str) -> None:
        self._write = write
        self.level = level
        """One of `settings.known.LEVELS`; it can change at any time."""

    def __call__(self, event: Event) -> None:
        if priority(event["kind"]) <= _LEAST.get(self.level, journal.DEBUG):
            self._write(event)


def begin(identifier: str, who: Mapping[str, str], level: str) -> EventLog:
    """What writes an event down; `who` is what all events of this process are about."""
    sink = journal.open_journal(identifier, os.environ)
    return EventLog(_on_stderr if sink is None else to_journal(sink, who), level)


def to_journal(sink: journal.JournalSocket, who: Mapping[str, str]) -> Callable[[Event], None]:
    """What sends an event to systemd's journal."""

    def send(event: Event) -> None:
        kind = event["kind"]
        fields = {**who, "kind": kind, "event": event["id"], **event["fields"]}
        sink.send(event["text"], priority(kind), fields)

    return send


def priority(kind: str) -> int:
    """How much an event of this kind should worry somebody."""
    if kind in _ERRORS:
        return journal.ERROR
    return journal.WARNING if kind in _WARNINGS else journal.NOTICE


def last_words(identifier: str, error: FarshoreError) -> None:
    """What keeps this process from running."""
    sink = journal.open_journal(identifier, os.environ)
    if sink is None:
        to_stderr(json.dumps(error.as_dict()))
    else:
        sink.send(f"{error.what} ({error.code.name})", journal.ERROR, error.as_dict())
        sink.close()


def to_stderr(line: str) -> None:
    """One write for a line, so that lines of threads do not mix."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, (line + "\n").encode())


def _on_stderr(event: Event) -> None:
    to_stderr(json.dumps(event, default=str))
