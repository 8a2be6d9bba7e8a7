"""What the core asks of its shell about the records of a copy, besides replacing them.

As in `actions`, of which this is a part: a shell begins them in order and reports each end once.
"""

from __future__ import annotations

from dataclasses import dataclass

from farshore.model.positions import Position


@dataclass(slots=True)
class ForgetBeyond:
    """Secondary: `position` is the newest applied one again, durably, also for a process that starts in this
    boot. Report `durable_written(ticket, errno)`."""

    ticket: int
    position: Position
