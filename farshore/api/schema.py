"""The bodies that requests carry, checked for their shape; what they mean is checked by the node."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from farshore.model.options import DEFAULT_REGION, ResyncKind

_SHORT = 4096


class Body(BaseModel):
    """Unknown keys are mistakes, and said to be."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Empty(Body):
    """A request without anything to say."""


class NodeStop(Body):
    engines: bool = False
    devices: bool = False


class Invite(Body):
    ttl: float = 600.0
    """Seconds."""


class Join(Body):
    address: str = Field(max_length=_SHORT)
    token: str = Field(max_length=_SHORT)


class PeerChange(Body):
    address: str | None = Field(default=None, max_length=_SHORT)
    max_rate: int | None = None
    """Bytes per second that may be sent there, 0 for no bound; under the node's own name, in all."""


class Grant(Body):
    path: str = Field(max_length=_SHORT)
    """A glob over real paths."""


class Volume(Body):
    name: str
    path: str = Field(max_length=_SHORT)
    size: int | None = None
    """Bytes; a missing file is made."""
    outage: str = "log"


class Group(Body):
    name: str
    volumes: list[Volume]
    region: int = DEFAULT_REGION
    on_start: str = "wait"


class VolumeSize(Body):
    size: int
    """Bytes."""


class GroupChange(Body):
    preserve: int
    """Bytes that the preserve store of this node's copies may take, 0 for twice what the volumes have."""


class MoreVolumes(Body):
    volumes: list[Volume]
    places: dict[str, str] = Field(default_factory=dict)
    """[LINK:]VOLUME -> path at the link's peer."""


class Link(Body):
    peer: str
    name: str | None = None
    via: str | None = None
    places: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


class LinkChange(Body):
    options: dict[str, Any]


class Reroute(Body):
    via: str
    """NODE or NODE/COPY."""


class Export(Body):
    group: str
    volume: str | None = None
    tcp: str | None = None
    read_only: bool = False
    tls: bool = False
    names: list[str] = Field(default_factory=list, max_length=100)
    """Under TLS: further names and addresses by which clients reach this host."""
    snapshot: str | None = None
    """The name of the snapshot or rescue to be shown."""
    copy_name: str | None = None
    """Of which copy, where the node holds several."""


class ExportChoice(Body):
    """Which exports are meant, in a query."""

    group: str
    volume: str | None = None
    tcp: str | None = None
    snapshot: str | None = None
    copy_name: str | None = None


class ExportClient(Body):
    group: str
    client: str


class Device(Body):
    group: str
    volume: str | None = None
    at: str | None = Field(default=None, max_length=_SHORT)
    way: str = "auto"
    hold: float | None = None
    """Seconds; null for what the node's settings say."""
    read_only: bool = False


class Drill(Body):
    on: str | None = None
    """NODE or NODE/COPY; null for a copy here."""
    at: str | None = None
    """The name of a snapshot, or an RFC 3339 time with a zone; null for where the copy stands."""
    limit: int = Field(default=0, ge=0)
    """Bytes; 0 for what is usual."""


class Pause(Body):
    link: str | None = None
    drain: bool = True
    timeout: float = Field(default=30.0, ge=0, le=86400)
    """Seconds to drain for."""


class Repair(Body):
    accept: str | None = None
    """The id of a plan."""


class Resync(Body):
    link: str | None = None
    kind: ResyncKind = Field(default=ResyncKind.UPDATE, strict=False)
    once: bool = False
    unprotected: bool = False


class BareResync(Resync):
    accept: str | None = Field(default=None, max_length=64)
    """The plan's id; without it the plan is shown where one is needed."""
    look: bool = False
    """Only show the plan."""


class ReverseResync(Body):
    link: str | None = None
    kind: ResyncKind = Field(default=ResyncKind.UPDATE, strict=False)
    accept: str | None = Field(default=None, max_length=64)
    """The plan's id; without it the plan is shown and nothing done."""
    unprotected: bool = False
    """What is overwritten is to be kept nowhere."""


class Preview(Body):
    end: bool = False


class RescueDelete(Body):
    name: str = Field(max_length=128)
    on: str | None = None
    """NODE or NODE/COPY; without it every copy that has one of this name."""
    accept: str | None = Field(default=None, max_length=64)
    """The plan's id; without it the plan is shown and nothing done."""


class Snapshot(Body):
    name: str | None = None
    """None for a name that says when."""


class RoleMove(Body):
    node: str | None = None
    """NODE or NODE/COPY."""
    accept: str | None = Field(default=None, max_length=64)
    """The plan's id; without it the plan is shown and nothing done."""
    timeout: float = Field(default=30.0, ge=1, le=3600)
    """Seconds to drain for."""
    unprotected: bool = False
    """What is overwritten is to be kept nowhere."""


class Rewind(RoleMove):
    time: float | None = Field(default=None, gt=0, le=253_402_300_799)
    """Seconds since the epoch."""
    snapshot: str | None = Field(default=None, min_length=1, max_length=64)
    """Name of a snapshot or of a rescue, in place of a time."""


class Verify(Body):
    link: str | None = None
    halt: bool = False
    """Stop the link at the first difference."""
    max_rate: int = Field(default=0, ge=0)
    """Bytes per second that are compared at most; 0 is no bound."""


class VerifyStop(Body):
    link: str | None = None


class VerifySchedule(Body):
    link: str | None = None
    every: float = Field(ge=0.0)
    """Seconds; 0 for never by itself."""


class VerifyRepair(Body):
    link: str | None = None
    accept: str | None = Field(default=None, max_length=64)
    """The plan's id; without it the plan is shown and nothing done."""
