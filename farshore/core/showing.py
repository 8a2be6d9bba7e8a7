"""What somebody who reads a secondary's volumes may be shown (rules B3, E1, H). Pure.

While the copy is whole that is the volumes themselves, which then hold one state that the primary had, and
go on to the next ones as frames are applied. While a resync overwrites them out of order it is the state
before, as the undo keeps it: it stands still until the resync has ended. Where neither exists nothing is
shown. Whoever reads asks before and after: the answer changes before the first write that it excludes.
Without a journal, what a process that was killed has written of one more frame is there too, as on any disk
whose writer died.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core.turning import in_doubt

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary

LIVE = b""


def shown(copy: Secondary) -> bytes | None:
    """`LIVE` for the volumes, the id of the undo to read instead, or None for nothing."""
    header = copy.keeper.header
    if not copy.started or copy.fault or copy.replaying:
        return None
    if header.resync is None:
        return LIVE if copy.consistent else None
    kept = bool(header.undo) and copy.preserve.layer(header.undo) is not None
    return header.undo if kept and not in_doubt(header) else None


def why_not(copy: Secondary) -> str:
    """Why nothing is shown; empty where something is."""
    header = copy.keeper.header
    if shown(copy) is not None:
        return ""
    if copy.fault:
        return copy.fault
    if not copy.started or copy.replaying:
        return "the copy is starting: what its journal holds is being applied"
    if header.history.blank:
        return "the first copy has not been completed"
    if header.resync is not None:
        return "a resync has overwritten a part of it, and no undo shows what was there"
    return "its machine lost power: it may hold the newest writes in part"
