"""An application that writes all the time, in a thread of its own, and knows what was acknowledged."""

import os
import random
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from farshore.demo.nbd_client import NbdClient
from tests.waiting import wait_until

RECORD = 1024
_END_S = 60.0
_LOOKS = 5
"""Different images that are seen at least while records come over a slow line."""
_NUMBER = struct.Struct("<Q")


class Writing:
    """Writes pieces one after the other until it is told to end or there are no more."""

    def __init__(self, client: NbdClient, pieces: Iterable[tuple[int, bytes]], per_second: float) -> None:
        self.acknowledged = 0
        self._between = 1.0 / per_second if per_second else 0.0
        self._failure: Exception | None = None
        self._ending = threading.Event()
        self._client = client
        self._pieces = pieces
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all pieces were acknowledged, or it was told to end."""
        return not self._thread.is_alive()

    def go_on(self, more: int) -> None:
        """Returns when so many more writes are acknowledged."""
        goal = self.acknowledged + more
        wait_until(lambda: self.acknowledged >= goal or self.done, 30.0, what=f"write {goal}")
        self._raise()
        assert self.acknowledged >= goal, "there was nothing left to write"

    def end(self) -> int:
        """Returns how many writes were acknowledged; none is in flight any more."""
        self._ending.set()
        self._thread.join(_END_S)
        assert self.done, "a write was not acknowledged"
        self._raise()
        return self.acknowledged

    def _run(self) -> None:
        due = time.monotonic()
        try:
            for offset, data in self._pieces:
                if self._ending.wait(max(0.0, due - time.monotonic())):
                    return
                self._client.write(offset, data)
                self.acknowledged += 1
                due += self._between
        except OSError as error:
            self._failure = error

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure


@contextmanager
def writing(
    client: NbdClient, pieces: Iterable[tuple[int, bytes]], per_second: float = 0.0
) -> Iterator[Writing]:
    """Writes for as long as the block lasts: as fast as it goes, or no faster than so often."""
    begun = Writing(client, pieces, per_second)
    try:
        yield begun
    finally:
        begun.end()


def records(size: int) -> Iterator[tuple[int, bytes]]:
    """Numbered records, in order, through a volume that is empty: see `records_in`."""
    for number in range(size // RECORD):
        yield number * RECORD, _NUMBER.pack(number + 1) * (RECORD // _NUMBER.size)


def seen_coming(image: Path, total: int) -> None:
    """Looks at an image again and again until it holds so many records. Whatever it holds by then is the
    first of them, without a gap; and it was seen on its way, not only before and after it."""
    found = [records_in(image)]

    def whole() -> bool:
        here = records_in(image)
        if here != found[-1]:
            found.append(here)
        return here >= total

    wait_until(whole, _END_S, what=f"{total} records")
    assert found == sorted(found)
    assert len(found) >= _LOOKS, f"it was seen only at {found}"


def records_in(image: Path) -> int:
    """How many records an image holds; it must hold them without a gap and nothing behind them.

    The image may be written meanwhile, so it is read from its end: whatever comes before a record that was
    found was there when that one came. The highest one may be seen in the middle of its write: it does not
    count yet."""
    found, began = 0, False
    with image.open("rb", buffering=0) as file:
        for offset, whole in reversed(list(records(image.stat().st_size))):
            piece = os.pread(file.fileno(), RECORD, offset)
            if began:
                assert piece == whole, f"a gap at {offset}, with a record behind it"
            elif any(piece):
                assert whole.startswith(piece.rstrip(b"\0")), f"another record at {offset}"
                began, found = True, offset // RECORD + (piece == whole)
    return found


def anywhere(size: int, seed: int, longest: int = 65536) -> Iterator[tuple[int, bytes]]:
    """Writes of all lengths all over a volume, without end."""
    chosen = random.Random(seed)
    lengths = [length for length in (512, 4096, 4096, 5000, 65536) if length <= longest]
    for _ in count():
        length = chosen.choice(lengths)
        yield chosen.randrange(size - length), chosen.randbytes(length)
