"""The ledger: frames that were sent and that some peer has not acknowledged durable (rule A1).

It is what lets replication run without touching a scoreboard bit per write: when a link stops,
the regions of its unacknowledged frames are folded into its scoreboard. One ledger serves all
links of a copy; an entry leaves when every streaming link has it durable. It keeps no payloads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from farshore.model.volumes import Operation


@dataclass(slots=True)
class Entry:
    """One frame: its last sequence, what it touches, its payload bytes."""

    last: int
    operations: list[Operation]
    size: int


class Ledger:
    """Entries in the order of their sequences."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()

    def append(self, entry: Entry) -> None:
        """The newest frame."""
        self.entries.append(entry)

    def trim(self, durable: int) -> None:
        """Every streaming link has `durable`; forget frames up to it."""
        entries = self.entries
        while entries and entries[0].last <= durable:
            entries.popleft()

    def after(self, sequence: int) -> Iterator[Entry]:
        """Frames beyond `sequence`, newest first."""
        for entry in reversed(self.entries):
            if entry.last <= sequence:
                return
            yield entry

    def bytes_after(self, sequence: int) -> int:
        """Payload bytes of the frames beyond `sequence`."""
        return sum(entry.size for entry in self.after(sequence))
