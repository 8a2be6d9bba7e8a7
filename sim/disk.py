"""A disk with a page cache in memory: it loses, tears and fails, but never makes bytes up.

A write goes to the cache, where every process sees it, also after the death of the writer. What
was not synced is kept apart per 512-byte sector with all its versions: when the machine crashes,
each sector comes back as any one of them or as it was on the platter. Names behave alike: of the
changes in a directory since its last sync, some first part survives. After a failed sync a page
may have arrived, may still be waiting, or may be lost without being dirty any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from farshore.model.messages import Buffer

SECTOR: Final = 512


class Died(BaseException):
    """The process or machine that was using the disk died in the middle of a step.

    Not an `Exception`: nothing that ships may catch it.
    """


@dataclass(slots=True)
class Strike:
    """A planned failure: the next operation of this kind on a path that ends so fails."""

    operation: str
    """`pread`, `pwrite` or `fdatasync`."""
    suffix: str
    errno: int


class Node:
    """One file: what processes see, what is on the platter, and the versions in between."""

    __slots__ = ("current", "durable", "pending", "serial")

    def __init__(self) -> None:
        self.current = bytearray()
        self.durable = bytearray()
        self.pending: dict[int, list[tuple[int, bytes]]] = {}
        """Sector -> (serial, content) of each version since the last sync, oldest first."""
        self.serial = 0

    def write(self, data: Buffer, offset: int) -> None:
        end = offset + len(data)
        if end > len(self.current):
            self.current.extend(bytes(end - len(self.current)))
        self.current[offset:end] = data
        self.touch(offset, end)

    def touch(self, offset: int, end: int) -> None:
        """The bytes from `offset` to `end` have changed in the cache."""
        self.serial += 1
        serial, current, pending = self.serial, self.current, self.pending
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            version = (serial, bytes(current[sector * SECTOR : (sector + 1) * SECTOR]))
            if sector in pending:
                pending[sector].append(version)
            else:
                pending[sector] = [version]

    def sync(self, mark: int) -> None:
        """What was written up to serial `mark` is on the platter now."""
        self._resize(len(self.current))
        left: dict[int, list[tuple[int, bytes]]] = {}
        for sector, versions in self.pending.items():
            newest = None
            for serial, content in versions:
                if serial > mark:
                    break
                newest = content
            if newest is not None:
                self._settle(sector, newest)
            if versions[-1][0] > mark:
                left[sector] = [version for version in versions if version[0] > mark]
        self.pending = left

    def sync_failed(self, random: Random) -> None:
        """After an error every page may be on the platter, still dirty, or silently lost."""
        left: dict[int, list[tuple[int, bytes]]] = {}
        for sector, versions in self.pending.items():
            fate = random.randrange(3)
            if fate == 0:
                self._settle(sector, random.choice(versions)[1])
            elif fate == 1:
                left[sector] = versions
        self.pending = left

    def power_loss(self, random: Random) -> None:
        """Only the platter is left, with any version of each sector that was on its way."""
        size = random.choice((len(self.durable), len(self.current)))
        for sector, versions in self.pending.items():
            choice = random.randrange(len(versions) + 1)
            if choice:
                self._settle(sector, versions[choice - 1][1])
        self._resize(size)
        self.pending = {}
        self.current = bytearray(self.durable)

    def drop_clean(self) -> None:
        """The cache lets go of what it believes to be on the platter: what is read now is there."""
        current = self.current
        self.current = bytearray(self.durable)
        self.current.extend(bytes(max(0, len(current) - len(self.durable))))
        for sector in self.pending:
            span = slice(sector * SECTOR, (sector + 1) * SECTOR)
            self.current[span] = current[span]

    def versions(self, offset: int, length: int) -> bool:
        """Whether every sector of the range reads the same now and after any loss of power."""
        if self.durable[offset : offset + length] != self.current[offset : offset + length]:
            return False
        first = offset // SECTOR
        return not any(sector in self.pending for sector in range(first, first + -(-length // SECTOR)))

    def _settle(self, sector: int, content: bytes) -> None:
        at = sector * SECTOR
        if at + len(content) > len(self.durable):
            self._resize(at + len(content))
        self.durable[at : at + len(content)] = content

    def _resize(self, size: int) -> None:
        if size < len(self.durable):
            del self.durable[size:]
        else:
            self.durable.extend(bytes(size - len(self.durable)))


NameChange: TypeAlias = tuple[str, bool, Node | None]
"""(name, whether it exists from now on, its file; None for a directory)."""


class Disk:
    """The disk of one machine: files by absolute path. Directories are names that hold None."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names: dict[str, Node | None] = {"/": None}
        self.strikes: list[Strike] = []
        self.struck: Callable[[Strike], None] = lambda _: None
        """Told of every failure that was planned and has happened."""
        self.locks: dict[str, object] = {}
        self.steps_left: int | None = None
        """Operations until `Died` is raised in the middle of one; None for never."""
        self._durable_names: dict[str, Node | None] = {"/": None}
        self._name_log: dict[str, list[tuple[NameChange, ...]]] = {}

    def power_loss(self) -> None:
        """Every cache is gone, and with it some of what was only there."""
        self.steps_left = None
        for directory in sorted(self._name_log):
            changes = self._name_log[directory]
            for change in changes[: self.random.randrange(len(changes) + 1)]:
                self._carry_out(self._durable_names, change)
        self._name_log = {}
        reachable = {name for name in self._durable_names if self._parents_there(name)}
        self._durable_names = {k: v for k, v in self._durable_names.items() if k in reachable}
        self.names = dict(self._durable_names)
        for node in self.names.values():
            if node is not None:
                node.power_loss(self.random)

    def _parents_there(self, name: str) -> bool:
        return all(parent in self._durable_names for parent in _parents(name))

    def operation(self, kind: str, path: str) -> OSError | Died | None:
        """Called at the start of each operation: how it is to fail, None for not at all."""
        if kind != "pread" and self.steps_left is not None:
            if self.steps_left == 0:
                self.steps_left = None
                return Died(path)
            self.steps_left -= 1
        for index, strike in enumerate(self.strikes):
            if strike.operation == kind and path.endswith(strike.suffix):
                del self.strikes[index]
                self.struck(strike)
                return OSError(strike.errno, os.strerror(strike.errno), path)
        return None

    def change_names(self, *changes: NameChange) -> None:
        """One atomic change of names, all in one directory: (name, exists, node)."""
        self._carry_out(self.names, changes)
        directory = os.path.dirname(changes[0][0])
        self._name_log.setdefault(directory, []).append(changes)

    def sync_names(self, directory: str) -> None:
        """All changes in this directory are on the platter."""
        for changes in self._name_log.pop(directory, []):
            self._carry_out(self._durable_names, changes)

    @staticmethod
    def _carry_out(names: dict[str, Node | None], changes: tuple[NameChange, ...]) -> None:
        for name, exists, node in changes:
            if exists:
                names[name] = node
            else:
                names.pop(name, None)

    def copy_of(self, directory: str) -> dict[str, bytes | None]:
        """What stands below a directory, as a backup taken now would have it; None is a directory."""
        return {
            name: None if node is None else bytes(node.current)
            for name, node in self.names.items()
            if name.startswith(directory + "/")
        }

    def restore(self, directory: str, backup: dict[str, bytes | None]) -> None:
        """Everything below the directory becomes what the backup has, durably."""
        for names in (self.names, self._durable_names):
            for name in [each for each in names if each.startswith(directory + "/")]:
                del names[name]
        for name in [each for each in self._name_log if (each + "/").startswith(directory + "/")]:
            del self._name_log[name]
        for name, content in backup.items():
            node = None
            if content is not None:
                node = Node()
                node.current, node.durable = bytearray(content), bytearray(content)
            self.names[name] = self._durable_names[name] = node


def _parents(name: str) -> list[str]:
    found = []
    while name != "/":
        name = os.path.dirname(name)
        found.append(name)
    return found
