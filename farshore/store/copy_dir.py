"""The state directory of one copy: which records it has, and what they are called.

A directory is built beside its place and takes its name in one step, so that it is whole or not
there. It belongs to whoever holds its lock, which is taken before anything in it is read. Nothing
in it is created anew by opening it, except a scoreboard or an activity log that is damaged, since
for those the answer to damage is "everything". Layout: `docs/formats.md`.
"""

from __future__ import annotations

import contextlib
import posixpath
from dataclasses import dataclass
from typing import Final

from farshore.core.geometry import Geometry
from farshore.errors import FarshoreError
from farshore.model.header import Header
from farshore.store.activity_log import ActivityLogFile
from farshore.store.header import NAME as HEADER
from farshore.store.header import HeaderFile
from farshore.store.platform import FileLayer, Lock
from farshore.store.position_file import PositionFile
from farshore.store.scoreboard_file import ScoreboardFile

LOCK: Final = "lock"
ACTIVITY: Final = "activity"
POSITION: Final = "position"
LINKS: Final = "links"
BOARD: Final = ".board"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a copy's records depend on besides themselves. `boot` is the kernel's boot id, `capacity`
    the number of extents that the activity log has room for."""

    boot: str
    capacity: int


def create(layer: FileLayer, path: str, header: Header, environment: Environment) -> None:
    """Makes the directory of a new copy, durably. Its parent must exist.

    Raises FarshoreError `exists` where there is something of that name; what an earlier attempt left
    behind is cleared away.
    """
    if layer.exists(path):
        raise FarshoreError(
            "exists", f"{path} exists already", means="Nothing was changed.", next_step="farshore group list"
        )
    beside = path + ".new"
    _remove_tree(layer, beside)
    layer.mkdir(beside)
    layer.mkdir(posixpath.join(beside, LINKS))
    HeaderFile.create(layer, posixpath.join(beside, HEADER), header).close()
    ActivityLogFile.create(layer, posixpath.join(beside, ACTIVITY), environment.capacity).close()
    PositionFile.create(layer, posixpath.join(beside, POSITION), environment.boot).close()
    layer.lock(posixpath.join(beside, LOCK)).release()
    layer.fsync_dir(posixpath.join(beside, LINKS))
    layer.fsync_dir(beside)
    layer.rename(beside, path)
    layer.fsync_dir(posixpath.dirname(path))


def remove(layer: FileLayer, path: str) -> None:
    """Removes the directory of a copy that is given up. It loses its name first, so that what a crash
    leaves behind is no copy. Raises FarshoreError `state-locked` while an engine uses it."""
    lock = layer.lock(posixpath.join(path, LOCK))
    try:
        gone = path + ".gone"
        _remove_tree(layer, gone)
        layer.rename(path, gone)
        layer.fsync_dir(posixpath.dirname(path))
        _remove_tree(layer, gone)
    finally:
        lock.release()


def _remove_tree(layer: FileLayer, path: str) -> None:
    """Two levels are all there is."""
    if not layer.exists(path):
        return
    for name in layer.listdir(path):
        inner = posixpath.join(path, name)
        if name == LINKS:
            for board in layer.listdir(inner):
                layer.remove(posixpath.join(inner, board))
        layer.remove(inner)
    layer.remove(path)


class CopyDir:
    """An open state directory: the lock and the records that every copy has."""

    __slots__ = ("_layer", "_lock", "activity", "header", "path", "position")

    def __init__(self, layer: FileLayer, path: str, lock: Lock, environment: Environment) -> None:
        """Use `open`."""
        self._layer = layer
        self._lock = lock
        self.path = path
        with contextlib.ExitStack() as opened:
            self.header = HeaderFile.open(layer, posixpath.join(path, HEADER))
            opened.callback(self.header.close)
            activity = posixpath.join(path, ACTIVITY)
            self.activity = ActivityLogFile.open(layer, activity, environment.capacity)
            opened.callback(self.activity.close)
            self.position = PositionFile.open(layer, posixpath.join(path, POSITION), environment.boot)
            opened.pop_all()

    @classmethod
    def open(cls, layer: FileLayer, path: str, environment: Environment) -> CopyDir:
        """Raises FarshoreError `not-found`, `state-locked`, `state-damaged` or `state-newer`."""
        if not layer.exists(path):
            raise FarshoreError(
                "not-found",
                f"{path} does not exist",
                means="Nothing was changed.",
                next_step="farshore group list",
            )
        lock = layer.lock(posixpath.join(path, LOCK))
        try:
            return cls(layer, path, lock, environment)
        except (FarshoreError, OSError):
            lock.release()
            raise

    def board_path(self, link: bytes) -> str:
        """Where the scoreboard of a link is."""
        return posixpath.join(self.path, LINKS, link.hex() + BOARD)

    def boards(self) -> list[bytes]:
        """The links that have a scoreboard here."""
        names = self._layer.listdir(posixpath.join(self.path, LINKS))
        return [bytes.fromhex(name.removesuffix(BOARD)) for name in names if name.endswith(BOARD)]

    def create_board(self, link: bytes, geometry: Geometry) -> ScoreboardFile:
        """An empty scoreboard without a base for a new link, durably."""
        return ScoreboardFile.create(self._layer, self.board_path(link), geometry)

    def open_board(self, link: bytes, geometry: Geometry) -> ScoreboardFile:
        """The scoreboard of a known link; see `ScoreboardFile.open`."""
        return ScoreboardFile.open(self._layer, self.board_path(link), geometry)

    def remove_board(self, link: bytes) -> None:
        """Forgets the scoreboard of a link that is deleted, durably."""
        if self._layer.exists(self.board_path(link)):
            self._layer.remove(self.board_path(link))
            self._layer.fsync_dir(posixpath.join(self.path, LINKS))

    def close(self) -> None:
        """Closes the records and gives the lock up, the lock last."""
        self.header.close()
        self.activity.close()
        self.position.close()
        self._lock.release()
