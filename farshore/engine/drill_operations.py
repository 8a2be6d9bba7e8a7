"""What the node can ask of an engine about drills: begin one, end it."""

from __future__ import annotations

from collections.abc import Callable

from farshore.engine.call_arguments import given
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.drills import DrillWish
from farshore.errors import FarshoreError


class DrillOperations:
    """See the module. `table` is a part of the table of `operations`."""

    def __init__(self, copy: RunningCopy) -> None:
        self._copy = copy
        self.table: dict[str, Callable[[Call], None]] = {
            "drill-start": self._start,
            "drill-start-at": self._start_at,
            "drill-stop": self._stop,
        }

    def _start(self, call: Call) -> None:
        unix, limit = given(call, "unix", str, ""), given(call, "limit", int, 0)
        try:
            layer = bytes.fromhex(given(call, "layer", str, ""))
        except ValueError as error:
            raise FarshoreError("usage", f"{call.op}: no id of a layer: {error}") from error
        if not unix or limit < 0 or len(layer) not in (0, 16):
            raise FarshoreError("usage", f"{call.op}: a socket, a layer and a limit are wanted")
        wish = DrillWish(unix, layer, limit)
        self._copy.drills.start(self._copy.config, wish, _answer(call))

    def _start_at(self, call: Call) -> None:
        """An operation of its own: an engine that knows no times would begin it where the copy stands."""
        unix, limit = given(call, "unix", str, ""), given(call, "limit", int, 0)
        time = float(given(call, "time", (int, float), None))
        if not unix or limit < 0:
            raise FarshoreError("usage", f"{call.op}: a socket, a time and a limit are wanted")
        wish = DrillWish(unix, limit=limit, time=time)
        self._copy.drills.start(self._copy.config, wish, _answer(call))

    def _stop(self, call: Call) -> None:
        self._copy.drills.stop(_answer(call))


def _answer(call: Call) -> Callable[[dict[str, object] | FarshoreError], None]:
    def told(result: dict[str, object] | FarshoreError) -> None:
        if isinstance(result, FarshoreError):
            call.fail(result)
        else:
            call.reply({"drill": result})

    return told
