"""The node's journal of events: what happened to groups, links, nodes and engines, in the order seen here.

One JSON object per line in `events`, with ids that only grow; bounded by moving the file aside once.
Events of engines are merged in with the id that the engine gave them, so that after a restart of the
node none is taken twice. Events are for people: they are not synced to the disk one by one, and a torn
last line after a power loss is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.node.os_errors import as_farshore_error

MOST_BYTES = 4 << 20
MOST_IN_MEMORY = 5000
MOST_AT_ONCE = 1000
LONGEST_WAIT = 30.0
_log = logging.getLogger(__name__)

Event = dict[str, Any]


def rfc3339(moment: dt.datetime | None = None) -> str:
    """A time as users read it; the present one by default."""
    when = moment or dt.datetime.now(dt.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """See the module. Belongs to one event loop."""

    def __init__(self, path: Path) -> None:
        """Raises FarshoreError where the file cannot be read or written."""
        self._path = path
        self._recent: deque[Event] = deque(maxlen=MOST_IN_MEMORY)
        self._taken: dict[str, tuple[int, int]] = {}
        self._news = asyncio.Event()
        self._ending = False
        try:
            for each in (path.with_name("events.1"), path):
                self._load(each)
            self._file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - open as long as the node
        except OSError as error:
            raise as_farshore_error(error, path) from error
        self._size = self._file.tell()

    @property
    def last(self) -> int:
        """The id of the newest event, 0 before the first."""
        return int(self._recent[-1]["id"]) if self._recent else 0

    def add(self, kind: str, text: str, **fields: object) -> None:
        """Records an event of the node itself, and says it in the log."""
        _log.info("%s", text, extra={"fields": {"kind": kind, **fields}})
        self._append({"time": rfc3339(), "kind": kind, "text": text, "fields": fields})

    def merge(self, copy: str, pid: int, event: Mapping[str, Any]) -> None:
        """Records an engine's event; one that was taken before changes nothing."""
        number = int(event["id"])
        if number <= self.taken(copy, pid):
            return
        self._note_taken(copy, pid, number)
        self._append(
            {
                "time": str(event.get("time") or rfc3339()),
                "kind": str(event["kind"]),
                "text": str(event["text"]),
                "fields": dict(event.get("fields") or {}),
                "engine": {"copy": copy, "pid": pid, "id": number},
            }
        )

    def taken(self, copy: str, pid: int) -> int:
        """The id of the last event that was merged from this engine."""
        known, number = self._taken.get(copy, (pid, 0))
        return number if known == pid else 0

    def after(self, since: int) -> list[Event]:
        """At most `MOST_AT_ONCE` events with ids above `since`, oldest first."""
        found = [event for event in self._recent if event["id"] > since]
        return found[:MOST_AT_ONCE]

    async def wait(self, since: int, seconds: float) -> list[Event]:
        """`after`, waiting up to `seconds` (30 at most) for the first."""
        try:
            async with asyncio.timeout(min(seconds, LONGEST_WAIT)):
                while self.last <= since and not self._ending:
                    await self._news.wait()
        except TimeoutError:
            return []
        return self.after(since)

    def end_waits(self) -> None:
        """From now on nobody waits: the node is about to stop."""
        self._ending = True
        self._news.set()

    def close(self) -> None:
        """Nothing can be added afterwards."""
        self._file.close()

    def _append(self, event: Event) -> None:
        event = {"id": self.last + 1, **event}
        line = json.dumps(event, separators=(",", ":"), default=str).encode() + b"\n"
        try:
            if self._size + len(line) > MOST_BYTES:
                self._turn_over()
            self._file.write(line)
            self._size += len(line)
        except OSError as error:
            # The event still reaches whoever listens: a full disk must not stop the node.
            event["fields"] = {**event["fields"], "not_recorded": str(error)}
        self._recent.append(event)
        self._news.set()
        self._news = asyncio.Event()

    def _note_taken(self, copy: str, pid: int, number: int) -> None:
        self._taken[copy] = (pid, number)  # an earlier engine of the copy is gone for good

    def _turn_over(self) -> None:
        self._file.close()
        with contextlib.suppress(FileNotFoundError):  # moved already, and then no new one could be made
            self._path.replace(self._path.with_name("events.1"))
        self._file = open(self._path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - see above
        self._size = 0

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) != len(text):
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            self._remember(line)

    def _remember(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            event["id"] = int(event["id"])
            engine = event.get("engine")
            if engine is not None:
                self._note_taken(str(engine["copy"]), int(engine["pid"]), int(engine["id"]))
        except (ValueError, TypeError, KeyError):
            return  # a damaged line costs that event, never the journal
        if event["id"] > self.last:
            self._recent.append(event)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def check_since(since: int) -> int:
    """Raises FarshoreError `usage` for a negative id."""
    if since < 0:
        raise FarshoreError(
            "usage", "an event id is not negative", next_step="leave --since out for all events"
        )
    return since
