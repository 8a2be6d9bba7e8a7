"""The few words of QEMU's monitor protocol that a mirror job needs, over a Unix socket."""

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.contenders.base import CannotStart


class Monitor:
    """One connection to a monitor, with capabilities negotiated."""

    __slots__ = ("_events", "_lines", "_socket")

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw")
        self._events: set[str] = set()
        self._lines.readline()
        self.do("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def do(self, command: str, **arguments: object) -> Any:
        """Carry out `command`; its result, or CannotStart with QEMU's own words."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while answer := self._next():
            if "error" in answer:
                raise CannotStart(f"QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise CannotStart(f"QEMU's monitor closed during {command}")

    def until_event(self, name: str, limit: float) -> None:
        """Wait for the event `name`; CannotStart if the job ends first or `limit` seconds pass."""
        give_up = time.monotonic() + limit
        while name not in self._events:
            answer = self._next()
            if not answer or "BLOCK_JOB_COMPLETED" in self._events or time.monotonic() > give_up:
                raise CannotStart(f"QEMU's {name} did not come: {answer}")

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            return {}
        found: dict[str, Any] = json.loads(line) if line else {}
        if "event" in found:
            self._events.add(found["event"])
        return found
