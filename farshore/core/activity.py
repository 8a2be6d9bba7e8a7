"""The activity log's decisions: which extents are hot, and when one may cool (rule A2).

An extent is durably in the log before local data of it is written or any frame of it leaves.
Operations that touch only hot extents pass at once; others wait until a transaction that adds
their extents is durable. An extent leaves the log only through a *cooling*: its writes are in
volumes that have been fdatasynced, every link has them durable or marked durably, and a base that
an acknowledgement justified is durable.

An extent's key is one integer, volume << 44 | index, because the test runs once per write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from farshore.model.volumes import Operation

_VOLUME_SHIFT = 44
_INDEX_MASK = (1 << _VOLUME_SHIFT) - 1


def key_of(volume: int, index: int) -> int:
    """The integer that stands for one extent."""
    return volume << _VOLUME_SHIFT | index


def extent_of(key: int) -> tuple[int, int]:
    """(volume id, extent index) of a key."""
    return key >> _VOLUME_SHIFT, key & _INDEX_MASK


class ActivityLog:
    """The hot set in memory, each extent with the last sequence that touched it."""

    __slots__ = ("adding", "capacity", "cooling", "hot", "shift")

    def __init__(self, capacity: int, shift: int) -> None:
        self.capacity = capacity
        self.shift = shift
        self.hot: dict[int, int] = {}
        """key -> last sequence (an upper bound of it); all of these are durably in the log."""
        self.adding: frozenset[int] = frozenset()
        """Keys of the transaction that is being written."""
        self.cooling: tuple[int, ...] = ()
        """Keys that the cooling in progress would like to drop."""

    def admit(self, operations: Sequence[Operation], last: int) -> bool:
        """True when every operation is hot; then their extents carry `last`."""
        hot, shift = self.hot, self.shift
        for volume, _, offset, length in operations:
            first = offset >> shift
            key = volume << _VOLUME_SHIFT | first
            if key not in hot:
                return False
            hot[key] = last
            final = (offset + length - 1) >> shift
            while first < final:
                first += 1
                key += 1
                if key not in hot:
                    return False
                hot[key] = last
        return True

    def keys(self, operation: Operation) -> list[int]:
        """The extents that one operation touches."""
        volume, _, offset, length = operation
        last = (offset + max(length, 1) - 1) >> self.shift
        return [key_of(volume, index) for index in range(offset >> self.shift, last + 1)]

    def is_hot(self, operation: Operation) -> bool:
        """Whether one operation may pass."""
        return all(key in self.hot for key in self.keys(operation))

    def fit(self, operations: Iterable[Operation]) -> frozenset[int]:
        """The extents to add for as many of the waiting operations, in order, as there is room for."""
        room = self.capacity - len(self.hot)
        wanted: set[int] = set()
        for operation in operations:
            more = {key for key in self.keys(operation) if key not in self.hot and key not in wanted}
            if len(wanted) + len(more) > room:
                break
            wanted |= more
        return frozenset(wanted)

    def begin(self, keys: frozenset[int]) -> tuple[tuple[int, int], ...]:
        """Start a transaction that adds `keys`; returns the whole log to be written."""
        self.adding = keys
        return tuple(sorted(extent_of(key) for key in (*self.hot, *keys)))

    def added(self) -> None:
        """The transaction is durable."""
        for key in self.adding:
            self.hot[key] = 0
        self.adding = frozenset()

    @property
    def crowded(self) -> bool:
        """True when a cooling should begin, so that cold writes find room."""
        return bool(self.hot) and len(self.hot) + len(self.adding) > self.capacity * 3 // 4

    def begin_cooling(self, sequence: int) -> None:
        """Choose the extents that were touched longest ago: a quarter of the capacity.

        `sequence` is the newest one that was given out; a stamp beyond it was made for operations that
        had to wait after all.
        """
        oldest = sorted(self.hot.items(), key=lambda item: item[1])
        self.cooling = tuple(key for key, _ in oldest[: max(1, self.capacity // 4)])
        for key in self.cooling:
            self.hot[key] = min(self.hot[key], sequence)

    def finish_cooling(self, settled: int) -> int:
        """Drop the chosen extents whose last write is at or below `settled`; returns how many.

        The log on disk still names them until the next transaction, which is harmless: a hot
        extent that is not written costs only a comparison after a crash.
        """
        dropped = 0
        for key in self.cooling:
            if self.hot.get(key, settled + 1) <= settled:
                del self.hot[key]
                dropped += 1
        self.cooling = ()
        return dropped

    def abandon_cooling(self) -> None:
        """A step of the cooling failed; everything stays hot."""
        self.cooling = ()
