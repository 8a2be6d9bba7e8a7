"""What the node can ask of an engine about verifies: begin and end one, what was found, and its repair.

An order is answered when a restart would not forget it any more. A repair names what it was asked for by
a fingerprint: it is refused where something else is found by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from farshore.engine.call_arguments import given, optional
from farshore.engine.control_server import Call
from farshore.engine.copy import RunningCopy
from farshore.engine.link_answers import Wait, answer_when_told
from farshore.engine.outgoing_links import OutgoingLinks
from farshore.errors import FarshoreError

_RECORD_SECONDS: Final = 10.0
"""Seconds after which an order that could not be recorded is given up."""


class VerifyOperations:
    """See the module. `table` is a part of the table of `operations`."""

    def __init__(self, copy: RunningCopy, links: Callable[[], OutgoingLinks]) -> None:
        self._copy = copy
        self._links = links
        self.table: dict[str, Callable[[Call], None]] = {
            "verify": self._verify,
            "verify-stop": self._stop,
            "verify-found": self._found,
            "verify-repair": self._repair,
        }

    def _verify(self, call: Call) -> None:
        links, link = self._links(), optional(call, "link", str)
        halt, rate = given(call, "halt", bool, False), given(call, "rate", int, 0)
        if rate < 0:
            raise FarshoreError("usage", f"verify: rate cannot be {rate}")
        self._answer(call, "verify-begun", lambda: links.verify(link, halt, rate))

    def _stop(self, call: Call) -> None:
        links, link = self._links(), optional(call, "link", str)
        self._answer(call, "verify-stopped", lambda: links.end_verify(link))

    def _found(self, call: Call) -> None:
        call.reply(self._links().found(given(call, "link", str, "")))

    def _repair(self, call: Call) -> None:
        links, link = self._links(), given(call, "link", str, "")
        expected = given(call, "fingerprint", str, "")
        self._answer(call, "repair-asked", lambda: links.repair_found(link, expected))

    def _answer(self, call: Call, kind: str, ask: Callable[[], list[str]]) -> None:
        late = FarshoreError(
            "timeout",
            "what was asked for is not on the disk yet",
            means="The links go on with it, unless the engine ends before it is.",
            next_step=f"farshore status {self._copy.config.group_name}",
        )
        answer_when_told(
            self._copy, call, Wait(kind, _RECORD_SECONDS, late, lambda fields: fields["link"]), ask
        )
