"""A secondary's volume for whoever reads it while the copy follows its primary.

It shows what `core/showing` lets it show: the volume, the state that a resync keeps, or nothing. Each read
asks before and behind, so that no byte of an image that was not whole is ever handed out; it is repeated
where that changed under it. Everything here runs on a thread, never on the loop.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable, Iterator
from typing import Final, TypeVar

from farshore.core.showing import LIVE
from farshore.engine.layer_view import LayerView
from farshore.model.messages import Buffer
from farshore.store.preserve import PreserveStore
from farshore.store.volume import Volume

_TRIES: Final = 8
"""A resync that begins or ends costs one; each takes far longer than a read."""
T = TypeVar("T")


class LiveView:
    """See the module. `shown` answers as `core/showing` does."""

    fast_zero = False

    def __init__(
        self, shown: Callable[[], bytes | None], store: PreserveStore | None, number: int, volume: Volume
    ) -> None:
        self._shown = shown
        self._store = store
        self._number = number
        self._volume = volume

    @property
    def size(self) -> int:
        """Bytes."""
        return self._volume.size

    @property
    def lane(self) -> Hashable:
        """The volume's."""
        return self._volume.lane

    def read_nowait(self, _offset: int, _length: int) -> Buffer | None:
        """Never on the loop, whose time is the replication's."""
        return None

    def read(self, offset: int, length: int) -> bytes:
        """Raises OSError EIO where there is nothing to show."""
        return self._steadily(lambda source: source.read(offset, length))

    def prefetch(self, offset: int, length: int) -> None:
        """The volume's, whatever is shown."""
        self._volume.prefetch(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """Raises OSError EIO where there is nothing to show."""
        return iter(self._steadily(lambda source: list(source.extents(offset, length))))

    def _steadily(self, look: Callable[[Volume | LayerView], T]) -> T:
        for _ in range(_TRIES):
            before = self._shown()
            if before is None:
                raise OSError(errno.EIO, "this copy is not whole just now")
            try:
                found = look(self._source(before))
            except OSError:
                if self._shown() == before:
                    raise
                continue
            if self._shown() == before:
                return found
        raise OSError(errno.EIO, "what this copy shows does not stand still")

    def _source(self, shown: bytes) -> Volume | LayerView:
        if shown == LIVE:
            return self._volume
        assert self._store is not None  # without one no layer is ever shown
        return LayerView(self._store, shown, self._number, self._volume)
