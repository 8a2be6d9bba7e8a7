"""A look at where a rewind of a running copy would lead, slice by slice, off the loop (see `rewind_look`).

Between two slices it gives way to whoever takes something away from the journal, and to links that wait for
that; what is gone by then is a refusal. What comes meanwhile is not looked at, and the whole has an end.
Nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from farshore.engine import rewindable
from farshore.engine.applied_frames import Applied
from farshore.engine.pool import errno_of
from farshore.engine.rewind_look import SLICE, Found, Look
from farshore.engine.secondary_copy import SecondaryCopy
from farshore.errors import FarshoreError

LONGEST: Final = 120.0
"""Seconds after which a look is given up: nobody waits for it any longer."""


class Looking:
    """See the module. `then` is told once. A `name` is for exactly that layer's moment; else it is `time`."""

    def __init__(
        self,
        role: SecondaryCopy,
        name: str | None,
        time: float,
        then: Callable[[Found | FarshoreError], None],
    ) -> None:
        self._role = role
        self._name = name
        self._time = time
        self._then = then
        self.most = SLICE
        """Bytes of a slice, about."""
        self._look: Look | None = None
        self._through = 0
        self._until = role.core.outbox.now + LONGEST

    def slice(self) -> None:
        """The next one, once nothing is being taken away."""
        self._role.frames.reads.beside(self._begin, self._done)

    def abandon(self) -> None:
        """Nobody waits for it any more: it ends with the slice that is under way."""
        self._until = self._role.core.outbox.now

    def _begin(self) -> Callable[[], Found | FarshoreError | None]:
        role, journal = self._role, self._role.frames.segments
        try:
            if self._look is None:
                layers = rewindable.layers(role.core, journal, self._name)
                self._look = Look(layers, self._time if self._name is None else None)
                self._through = journal.end.sequence if journal.end is not None else 0
            look = self._look
            frames = rewindable.frames(role.core, journal, look.layer, look.reached, self._through)
        except FarshoreError as error:  # it has gone while this waited for its turn
            return partial(lambda gone: gone, error)
        return partial(_sliced, look, frames, self.most)

    def _done(self, found: Found | FarshoreError | OSError | None) -> None:
        if found is not None:
            self._then(unread(found) if isinstance(found, OSError) else found)
        elif self._role.core.outbox.now < self._until:
            self.slice()
        else:
            self._then(_late())


def _sliced(look: Look, frames: Iterator[Applied], most: int) -> Found | FarshoreError | None:
    try:
        return look.go_on(frames, most)
    except FarshoreError as error:
        return error


def _late() -> FarshoreError:
    return FarshoreError(
        "timeout",
        f"what the journal keeps was not read within {LONGEST:g} s",
        means="Nothing was changed.",
        next_step="a snapshot nearer to that time, or the same command when there is less to do",
    )


def unread(error: OSError) -> FarshoreError:
    """Of a file that may be just going, or of a disk."""
    text = f"what the journal keeps cannot be read now: {error.strerror or errno_of(error)}"
    return FarshoreError(
        "wrong-state", text, means="Nothing was changed.", next_step="the same command again"
    )
