"""The part of a node's API that begins and ends drills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farshore.client import transport
from farshore.client.answers import Answer
from farshore.client.documents import read

_BEGINNING = 60.0  # seconds that a copy may take to bring what its journal holds into the volumes


@dataclass(frozen=True, slots=True)
class DrillExport:
    """A volume that can be written for as long as the drill lasts."""

    volume: str
    uri: str


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill. Times are RFC 3339 in UTC, None where they are not known."""

    group: str
    node: str
    copy: str
    id: str
    state: str
    """`running`, or `ended`: by itself then, and `why` says why."""
    why: str = ""
    snapshot: str | None = None
    """The one that it is on; None for a state that was taken for it."""
    data_as_of: str | None = None
    data_age_seconds: float | None = None
    """How old the data was when it began."""
    started: str | None = None
    first_write: str | None = None
    """When the first write of a client was acknowledged."""
    written_bytes: int = 0
    refused_writes: int = 0
    used_bytes: int = 0
    limit_bytes: int = 0
    generation: str | None = None
    sequence: int | None = None
    exports: tuple[DrillExport, ...] = ()


@dataclass(frozen=True, slots=True)
class OneDrill(Answer):
    """What was begun, or ended."""

    drill: Drill


@dataclass(frozen=True, slots=True)
class Drills(Answer):
    """All on copies at this node."""

    drills: tuple[Drill, ...]


class NodeDrills:
    """What `Node` has of this; it sends the requests."""

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        extra: float = 0.0,
    ) -> Mapping[str, Any]:
        """As `Node.call`."""
        raise NotImplementedError

    def drills(self, group: str | None = None) -> Drills:
        """The drills on copies here, those included that have ended by themselves."""
        return read(Drills, self.call("GET", "/v1/drills", query={"group": group}))

    def start_drill(self, group: str, **how: Any) -> OneDrill:
        """Volumes that can be written, over a copy that goes on. `how`: `on`, NODE or NODE/COPY; `at`, the
        name of a snapshot; `limit`, bytes."""
        body = {name: value for name, value in how.items() if value is not None}
        return read(OneDrill, self.call("POST", _path(group), body, extra=_BEGINNING))

    def stop_drill(self, group: str, *, on: str | None = None) -> OneDrill:
        """Ends it, and drops what was written in it; what it was."""
        return read(OneDrill, self.call("DELETE", _path(group), query={"on": on}, extra=_BEGINNING))


def _path(group: str) -> str:
    return f"/v1/groups/{transport.quoted(group)}/drills"
