"""What a verify has found, as plain values: for status, and for the plan of a repair (rule E7).

The fingerprint names one set of findings of one link and peer: a plan that was made from it can tell
whether it still speaks of the same regions.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from farshore.core.moments import moment
from farshore.model.header import VerifyState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farshore.core.feeder import Feeder

MOST_RUNS = 1000
"""Runs of regions that are listed."""
WAITING = "waiting"
"""The word for a verify that goes on once its link replicates again."""


def report(feeder: Feeder) -> dict[str, Any] | None:
    """The newest verify of a link; None where there is none, nor to be one."""
    verify, record = feeder.verify, feeder.verify.record
    every = feeder.spec.options.verify_every or None
    found = feeder.board.found_bytes()
    if record is None:
        if every is None and not found:
            return None
        return _document(None, found, every)
    state, cursor = record.state.value, verify.cursor
    if record.state is VerifyState.RUNNING and not feeder.replicating:
        state = WAITING
    at = record.at
    return _document(state, found, every) | {
        "why": record.why,
        "progress": cursor.progress if cursor is not None else None,
        "begun": moment(record.begun),
        "ended": moment(record.ended) if record.state is not VerifyState.RUNNING else None,
        "at": {"generation": at.generation.hex(), "sequence": at.sequence} if at is not None else None,
        "next": moment(record.begun + every) if every is not None else None,
        "halt": record.halt,
        "max_rate": record.rate or None,
    }


def _document(state: str | None, found: int, every: float | None) -> dict[str, Any]:
    return {
        "state": state,
        "why": "",
        "progress": None,
        "found_bytes": found,
        "begun": None,
        "ended": None,
        "at": None,
        "every_seconds": every,
        "next": None,
        "halt": None,
        "max_rate": None,
    }


def fingerprint(feeder: Feeder) -> str:
    """Names exactly what is found over this link now; empty for nothing."""
    board = feeder.board
    if not board.found.any():
        return ""
    digest = hashlib.blake2b(feeder.id + (feeder.record.peer_copy or b""), digest_size=16)
    for volume, bits in sorted(board.found.bits.items()):
        digest.update(volume.to_bytes(2, "little") + len(bits).to_bytes(8, "little") + bits.tobytes())
    return digest.hexdigest()


def listed(feeder: Feeder) -> dict[str, Any]:
    """Where what was found lies, as far as a list of `MOST_RUNS` runs goes."""
    ranges: list[dict[str, int]] = []
    more = False
    for volume, offset, length in _runs(feeder):
        if len(ranges) >= MOST_RUNS:
            more = True
            break
        ranges.append({"volume": volume, "offset": offset, "length": length})
    return {
        "link": feeder.spec.name,
        "found_bytes": feeder.board.found_bytes(),
        "ranges": ranges,
        "more": more,
        "fingerprint": fingerprint(feeder),
        "state": feeder.state.value,
    }


def _runs(feeder: Feeder) -> Iterator[tuple[int, int, int]]:
    board = feeder.board
    for volume, bits in sorted(board.found.bits.items()):
        first = bits.find(1)
        while first >= 0:
            stop = bits.find(0, first)
            stop = stop if stop >= 0 else len(bits)
            yield volume, *board.geometry.span(volume, first, stop - first)
            first = bits.find(1, stop)
