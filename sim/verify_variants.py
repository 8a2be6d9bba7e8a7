"""Rule E7, broken on purpose: verifies that compare what is not of one position; see `sim.variants`."""

from __future__ import annotations

from typing import Any, Final

from farshore.core.comparing import Comparing
from farshore.core.pieces import Piece
from farshore.core.verify_cursor import VerifyCursor
from sim.variant import Variant


def _nothing(_: Any) -> Any:
    return lambda *_arguments: None


def _a_read_is_sent_whatever_was_written_beside_it(_: Any) -> Any:
    def whatever(self: VerifyCursor, ticket: int, *, usable: bool) -> Piece:
        return self.reading.pop(ticket)

    return whatever


def _the_volumes_are_compared_before_they_are_there(advance: Any) -> Any:
    def at_once(self: Comparing) -> None:
        for entry in self.open:
            entry.ready = 0
        advance(self)

    return at_once


VARIANTS: Final = {
    "a verify sends what was read beside writes": Variant(
        "E7", VerifyCursor, "read_done", _a_read_is_sent_whatever_was_written_beside_it
    ),
    "a verify is answered beside frames": Variant("E7", Comparing, "changes", _nothing),
    "a verify is answered from volumes that lag": Variant(
        "E7", Comparing, "advance", _the_volumes_are_compared_before_they_are_there
    ),
}
