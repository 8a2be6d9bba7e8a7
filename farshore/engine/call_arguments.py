"""Arguments of a call on the control socket: taken by name and kind, or the call is malformed (`usage`)."""

from __future__ import annotations

from typing import Any

from farshore.engine.control_server import Call
from farshore.errors import FarshoreError


def given(call: Call, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = call.args.get(name, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise FarshoreError("usage", f"{call.op}: {name} cannot be {value!r}")
    return value


def optional(call: Call, name: str, kind: type) -> Any:
    return None if call.args.get(name) is None else given(call, name, kind, None)
