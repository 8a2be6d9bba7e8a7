"""Making segments durable, and what else may take long: giving files back, having one ready.

The work of one sync, taken together by the owner of the segments and done on whatever thread.
"""

from __future__ import annotations

import errno
import posixpath
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from farshore.store import segment_file as sf
from farshore.store.past_segments import PastSegments
from farshore.store.platform import File, FileLayer
from farshore.store.segment_file import Segment

FREE: Final = ".free"
"""How the names of files end that hold nothing which is needed."""
MOST_FREE: Final = 4
"""Such files that are kept: using one again saves filling a new one with zeroes."""


class Row(Protocol):
    """What a sync needs of the segments."""

    directory: str
    segment_bytes: int
    synced: int
    free: deque[tuple[str, File]]
    past: PastSegments | None


@dataclass(slots=True)
class Unsynced:
    """What a sync has to do."""

    owner: Row
    layer: FileLayer
    files: tuple[File, ...]
    names: bool
    given_back: list[Segment]
    reach: int
    spare: bool

    def run(self, fdatasync: Callable[[File], None] = lambda file: file.fdatasync()) -> None:
        """Makes it durable, and sees to the files that are free or will be needed. Raises OSError: then
        nothing is known about any of it."""
        for file in self.files:
            fdatasync(file)
        if self.names:
            self.layer.fsync_dir(self.owner.directory)
        self.owner.synced = max(self.owner.synced, self.reach)
        self._give_back()
        if self.spare and not self.owner.free:
            self._prepare()

    def _give_back(self) -> None:
        owner = self.owner
        kept: list[tuple[str, File]] = []
        for segment in self.given_back:
            if owner.past is not None and owner.past.take(segment):
                continue
            path = posixpath.join(owner.directory, sf.name_of(segment.number))
            if len(kept) + len(owner.free) < MOST_FREE and segment.capacity == owner.segment_bytes:
                kept.append((path + FREE, segment.file))
                self.layer.rename(path, path + FREE)
            else:
                segment.file.close()
                self.layer.remove(path)
        gone = owner.past is not None and owner.past.settle()
        if self.given_back or gone:
            # Only now may a file be written anew: it could still come back under its old name.
            self.layer.fsync_dir(owner.directory)
        owner.free.extend(kept)

    def _prepare(self) -> None:
        path = posixpath.join(self.owner.directory, f"{self.reach:016x}{FREE}")
        try:
            made = make_file(self.layer, path, self.owner.segment_bytes)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return  # nothing is lost yet: whoever needs the room will be told
        self.owner.free.append((path, made))


def make_file(layer: FileLayer, path: str, size: int) -> File:
    """A new file full of zeroes; on an OSError there is none."""
    if layer.exists(path):
        layer.remove(path)  # an earlier attempt that could not even take its file back
    file = layer.open(path, create=True)
    try:
        file.allocate_zeroed(size)
    except OSError:
        file.close()
        layer.remove(path)
        raise
    return file
