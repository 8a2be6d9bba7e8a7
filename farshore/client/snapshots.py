"""The part of a node's API about snapshots of whole groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farshore.client import transport
from farshore.client.answers import Answer
from farshore.client.calls import Calls
from farshore.client.documents import read

_ASKING = 20.0
_DELETING = 150.0  # seconds that a store may take to hand down what older layers need


@dataclass(frozen=True, slots=True)
class CopySnapshot:
    """What became of a snapshot at one copy: `done`, `pending` or `missed`, and why not done."""

    copy: str
    state: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot(Answer):
    """A snapshot that was asked for, and its cut."""

    group: str
    name: str
    generation: str
    sequence: int
    copies: tuple[CopySnapshot, ...] = ()

    @property
    def done(self) -> bool:
        """Whether every copy has it, durably."""
        return bool(self.copies) and all(each.state == "done" for each in self.copies)

    @property
    def pending(self) -> tuple[CopySnapshot, ...]:
        """Copies of which that may still change."""
        return tuple(each for each in self.copies if each.state == "pending")


@dataclass(frozen=True, slots=True)
class Left:
    """A copy of which nothing is known, or that could not do it."""

    copy: str
    why: str


@dataclass(frozen=True, slots=True)
class KeptAt:
    """A copy that has a snapshot, and what keeping it takes there by now."""

    copy: str
    bytes: int | None
    time: str | None = None
    broken: bool = False
    """It lacks what was overwritten while its store could not keep it, and cannot be read."""
    unreadable_bytes: int = 0
    """What the disk did not show when it was to be kept: reads of that fail, and of nothing else."""


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot, its cut, when it was made, who has it, and who never will."""

    name: str
    generation: str
    sequence: int
    time: str | None
    copies: tuple[KeptAt, ...] = ()
    missed: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """What a copy's preserve store takes, and may take."""

    copy: str
    used_bytes: int | None = None
    limit_bytes: int | None = None
    unusable: str | None = None
    """Why the copy has to do without it."""


@dataclass(frozen=True, slots=True)
class Snapshots(Answer):
    """All snapshots of a group, oldest first; `silent`: copies that did not answer."""

    group: str
    snapshots: tuple[KeptSnapshot, ...] = ()
    stores: tuple[Store, ...] = ()
    silent: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted(Answer):
    """Where a snapshot was deleted, and where it may still be."""

    group: str
    name: str
    deleted: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


class SnapshotCalls(Calls):
    """See the module."""

    def create_snapshot(self, group: str, name: str | None = None) -> Snapshot:
        """Asks for a snapshot at every copy, at one cut made now. What became of it is looked up with
        `look_at_snapshot`: right now most copies are pending."""
        return read(Snapshot, self.call("POST", _path(group), {"name": name}, extra=_ASKING))

    def look_at_snapshot(self, made: Snapshot) -> Snapshot:
        """What has become of it at each copy since."""
        path = f"{_path(made.group)}/{transport.quoted(made.name)}"
        query = {"generation": made.generation, "sequence": made.sequence}
        return read(Snapshot, self.call("GET", path, query=query, extra=_ASKING))

    def snapshots(self, group: str) -> Snapshots:
        """All snapshots of a group."""
        return read(Snapshots, self.call("GET", _path(group), extra=_ASKING))

    def bound_preserve(self, group: str, size: int) -> Mapping[str, Any]:
        """Bounds what the copies at this node may keep of old content; 0 for twice what they have."""
        return self.call("PATCH", f"/v1/groups/{transport.quoted(group)}", {"preserve": size}, extra=_ASKING)

    def delete_snapshot(self, group: str, name: str) -> Deleted:
        """Deletes a snapshot at every copy within reach."""
        path = f"{_path(group)}/{transport.quoted(name)}"
        return read(Deleted, self.call("DELETE", path, extra=_DELETING))


def _path(group: str) -> str:
    return f"/v1/groups/{transport.quoted(group)}/snapshots"
