"""What has happened to this copy: the newest events for whoever asks, and a line of the log for each.

Ids grow by one. The ring is bounded; who asks for older events than it holds gets what there is.
Whoever waits for events that do not exist yet is told when the next one comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

MOST_EVENTS: Final = 1024

Event = dict[str, Any]
"""{"id", "time", "kind", "text", "fields"}"""


class Journal:
    """See the module. `log` writes an event down."""

    def __init__(self, wall: Callable[[], float], log: Callable[[Event], object]) -> None:
        self._wall = wall
        self._log = log
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._waiting: list[Callable[[], None]] = []
        self.listeners: list[Callable[[str, dict[str, object]], None]] = []
        """Told of each event, with its kind and fields."""
        self.next = 1
        """The id of the next event."""

    def note(self, kind: str, fields: dict[str, object]) -> None:
        """Records an event; `fields` are JSON values."""
        time = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        event: Event = {
            "id": self.next,
            "time": time.replace("+00:00", "Z"),
            "kind": kind,
            "text": _sentence(kind, fields),
            "fields": fields,
        }
        self.next += 1
        self._events.append(event)
        self._log(event)
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()
        for listener in list(self.listeners):
            listener(kind, fields)

    def since(self, event: int) -> list[Event]:
        """Events from this id on, oldest first."""
        return [each for each in self._events if each["id"] >= event]

    def when_next(self, tell: Callable[[], None]) -> None:
        """Calls `tell` once, when there is another event."""
        self._waiting.append(tell)

    def forget(self, tell: Callable[[], None]) -> None:
        """It need not be told any more; asking for one that was told already has no effect."""
        if tell in self._waiting:
            self._waiting.remove(tell)


def _sentence(kind: str, fields: dict[str, object]) -> str:
    told = [f"{name.replace('_', ' ')} {value}" for name, value in fields.items() if value not in ("", None)]
    return f"{kind.replace('-', ' ')}: {', '.join(told)}" if told else kind.replace("-", " ")
