"""The few words of QEMU's monitor protocol that a mirror job needs, over a Unix socket."""

import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from bench.contenders.base import START_LIMIT, CannotStart

_ANSWER_LIMIT = 30.0
_TRY_AGAIN = 0.02


class Monitor:
    """One connection to a monitor, with capabilities negotiated.

    A monitor serves one client at a time: a second one waits, or is hung up on where QEMU has not noticed
    yet that the first has gone. So nobody is there before the greeting, and until then it is tried again,
    for about `limit` seconds; CannotStart after that.
    """

    __slots__ = ("_end", "_events", "_lines")

    def __init__(self, path: Path, limit: float = START_LIMIT) -> None:
        self._events: set[str] = set()
        with ExitStack() as opened:
            self._lines = _greeted(path, limit, opened)
            self.do("qmp_capabilities")
            self._end = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

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


def _greeted(path: Path, limit: float, opened: ExitStack) -> TextIO:
    give_up = time.monotonic() + limit
    while True:
        connection = opened.enter_context(socket.socket(socket.AF_UNIX))
        connection.settimeout(limit)
        lines = opened.enter_context(connection.makefile("rw"))
        try:
            connection.connect(str(path))
            if lines.readline():
                connection.settimeout(_ANSWER_LIMIT)
                return lines
            why = "it hung up"
        except OSError as error:
            why = str(error)
        opened.close()
        if time.monotonic() > give_up:
            raise CannotStart(f"QEMU's monitor at {path} did not greet within {limit:g} s: {why}")
        time.sleep(_TRY_AGAIN)
