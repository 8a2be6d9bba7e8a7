"""The part of a node's API that begins and ends drills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from farshore.client import transport
from farshore.client.answers import Answer
from farshore.client.calls import Calls
from farshore.client.documents import read
from farshore.model.units import means_time

_BEGINNING = 60.0  # seconds that a copy may take to bring what its journal holds into the volumes
_AT_A_TIME = 480.0  # and to find a time in what its journal keeps, and to lay in what leads there


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
    """`beginning`, while what leads to a time is laid in; `running`; or `ended`: by itself then, and `why`
    says why."""
    why: str = ""
    snapshot: str | None = None
    """The one that it is on, or begins from (`at`); None for a state that was taken for it."""
    at: str | None = None
    """The time that was asked for, between two snapshots."""
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


class NodeDrills(Calls):
    """What `Node` has of this; it sends the requests."""

    def drills(self, group: str | None = None) -> Drills:
        """The drills on copies here, those included that have ended by themselves."""
        return read(Drills, self.call("GET", "/v1/drills", query={"group": group}))

    def start_drill(self, group: str, **how: Any) -> OneDrill:
        """Volumes that can be written, over a copy that goes on. `how`: `on`, NODE or NODE/COPY; `at`, the
        name of a snapshot, or an RFC 3339 time with a zone; `limit`, bytes."""
        body = {name: value for name, value in how.items() if value is not None}
        extra = _AT_A_TIME if means_time(body.get("at") or "") else _BEGINNING
        return read(OneDrill, self.call("POST", _path(group), body, extra=extra))

    def stop_drill(self, group: str, *, on: str | None = None) -> OneDrill:
        """Ends it, and drops what was written in it; what it was."""
        return read(OneDrill, self.call("DELETE", _path(group), query={"on": on}, extra=_BEGINNING))


def _path(group: str) -> str:
    return f"/v1/groups/{transport.quoted(group)}/drills"
