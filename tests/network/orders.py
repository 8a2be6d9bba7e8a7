"""The control socket of a line: one JSON object a line in, one out.

`{"do": WORD, ...}` is answered with `{"ok": true, ...}`, or `{"ok": false, "error": TEXT}` after an
order that could not be understood, which changes nothing.
"""

import json
import selectors
import socket
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

from tests.network.flow import Shape, Way

_LONGEST = 64 * 1024


class Line(Protocol):
    """What orders are about."""

    forward: Shape
    back: Shape

    @property
    def connections(self) -> int: ...

    def cut(self) -> None: ...

    def heal(self) -> None: ...


class Orders:
    """Listens on a Unix socket, as a part of the line's own selector."""

    def __init__(self, line: Line, path: str, selector: selectors.BaseSelector) -> None:
        self._line = line
        self._selector = selector
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        selector.register(self._listener, selectors.EVENT_READ, lambda _: self._accept())

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self._selector.register(client, selectors.EVENT_READ, partial(self._read, client, bytearray()))

    def _read(self, client: socket.socket, held: bytearray, _: int) -> None:
        try:
            data = client.recv(_LONGEST)
            held += data
            *orders, rest = held.split(b"\n")
            held[:] = rest
            for order in orders:
                client.sendall(json.dumps(self._answer(bytes(order))).encode() + b"\n")
        except ConnectionError:
            data = b""
        if not data or len(held) > _LONGEST:
            self._selector.unregister(client)
            client.close()

    def _answer(self, order: bytes) -> dict[str, Any]:
        try:
            said = json.loads(order)
            found = self._do(said.pop("do"), said)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            return {"ok": False, "error": f"{type(wrong).__name__}: {wrong}"}
        return {"ok": True, **found}

    def _do(self, word: str, said: dict[str, Any]) -> dict[str, Any]:
        line = self._line
        if word == "cut":
            line.cut()
        elif word == "heal":
            line.heal()
        elif word == "delay":
            seconds = _positive(said["ms"], or_zero=True) / 1000
            for shape in self._shapes(said):
                shape.delay = seconds
        elif word == "rate":
            rate = None if said["bytes_per_s"] is None else _positive(said["bytes_per_s"])
            for shape in self._shapes(said):
                shape.rate = rate
                shape.busy_until = 0.0
        elif word in ("half_open", "stall"):
            for shape in self._shapes(said):
                shape.way = Way.SWALLOWED if word == "half_open" else Way.STALLED
        elif word != "transferred":
            raise ValueError(f"there is no order {word!r}")
        shapes = {"forward": line.forward.delivered, "back": line.back.delivered}
        return {**shapes, "connections": line.connections}

    def _shapes(self, said: dict[str, Any]) -> Iterable[Shape]:
        forward, back = self._line.forward, self._line.back
        shapes = {"forward": [forward], "back": [back], "both": [forward, back]}
        return shapes[said.get("direction", "both")]


def _positive(value: Any, *, or_zero: bool = False) -> float:
    number = float(value)
    if not (number > 0 or (or_zero and number == 0)) or number == float("inf"):
        raise ValueError(f"{value!r} is not a positive number")
    return number
