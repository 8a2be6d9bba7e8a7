"""What a node answers, as values: one frozen dataclass per kind of document of the REST interface.

Sizes are bytes, times RFC 3339 texts, durations seconds. None means unknown, never zero. States, roles and
health are the words of `farshore.model.options`, kept as text because a newer node may know more of them.
Answers that are shown whole keep the document they came from in `document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that remembers its document."""

    document: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeName:
    """A node; `id` is the fingerprint of its certificate."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """An engine that runs on the node."""

    group: str
    copy: str
    pid: int | None
    role: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node that this one has paired with; `grants`: where it may place copies here."""

    name: str
    id: str
    connected: bool | None = None
    address: str | None = None
    grants: tuple[str, ...] = ()
    max_rate: int | None = None


@dataclass(frozen=True, slots=True)
class NodeInfo(Answer):
    """The node itself."""

    node: NodeName
    pid: int
    listen: str | None
    api: str
    max_rate: int | None = None
    """Bytes per second that all links together may send; None without a bound."""
    engines: tuple[EngineProcess, ...] = ()
    peers: tuple[Peer, ...] = ()


@dataclass(frozen=True, slots=True)
class Peers(Answer):
    """All nodes that this one has paired with."""

    nodes: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Invitation(Answer):
    """What another node needs to join. `token` is a secret and carries the fingerprint."""

    token: str
    address: str
    fingerprint: str
    expires: str


@dataclass(frozen=True, slots=True)
class Joined(Answer):
    """The node that was joined."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of a group at this node; `uri` is what an NBD client opens."""

    name: str
    path: str
    size: int | None
    uri: str | None = None
    outage: str = "log"


@dataclass(frozen=True, slots=True)
class Queue:
    """A link's queue, in bytes."""

    memory_bytes: int | None = None
    memory_limit: int | None = None
    disk_bytes: int | None = None
    disk_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Sequences:
    """How far a link is, as sequences of the group."""

    sent: int | None = None
    received: int | None = None
    applied: int | None = None
    durable: int | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """The newest verify of a link. `state` is running, waiting, finished, halted, stopped, failed, or None
    before the first one; `found_bytes` is what is known to differ at the peer now."""

    state: str | None
    found_bytes: int
    why: str = ""
    progress: float | None = None
    begun: str | None = None
    ended: str | None = None
    at: dict[str, Any] | None = None
    every_seconds: float | None = None
    next: str | None = None
    halt: bool | None = None
    max_rate: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer that answers and would not have the link: a code of the catalogue; `since` when it says just
    that, and when it was `heard` last."""

    code: str
    lasting: bool
    """Only a command ends it."""
    since: str | None = None
    heard: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link's state; `dirty_bytes` is 0 only when everything is durable at the peer (rule A1)."""

    name: str
    peer: str
    mode: str
    wire: str | None
    state: str | None
    """None while the engine does not answer."""
    reason: str | None
    since: str | None
    direction: str | None = None
    progress: float | None = None
    eta_seconds: float | None = None
    lag_seconds: float | None = None
    lag_bytes: int | None = None
    lag_writes: int | None = None
    rpo_seconds: float | None = None
    clock_difference_seconds: float | None = None
    """By how much the peer's clock is ahead of this node's; no figure above depends on it."""
    clock_uncertainty_seconds: float | None = None
    dirty_bytes: int | None = None
    queue: Queue = field(default_factory=Queue)
    sequence: Sequences = field(default_factory=Sequences)
    sent_bytes_total: int | None = None
    resent_bytes_total: int | None = None
    peer_usable: Any = None
    peer_usable_as_of: str | None = None
    peer_usable_why: str | None = None
    rtt_seconds: float | None = None
    verify: Verify | None = None
    """None where there never was one, nor is to be."""
    left_for: str | None = None
    """The node that feeds the far copy in place of this link, which rests since it was rerouted."""
    rerouting: str | None = None
    """The node that is to feed it: a reroute has begun, and until it is done nobody feeds the far copy."""
    why: str | None = None
    next: str | None = None
    refused: Refused | None = None
    """What the peer said when it was asked last, if it would not have the link."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group's state at this node."""

    name: str
    id: str | None
    role: str | None
    health: str | None
    """None while the engine runs and does not answer; `why` says so."""
    writes: str | None
    since: str | None
    why: str | None = None
    next: str | None = None
    generation: str | None = None
    sequence: int | None = None
    volumes: tuple[Volume, ...] = ()
    links: tuple[Link, ...] = ()
    fenced: str | None = None
    """Why a primary takes no writes any more: another copy was promoted."""
    fenced_by: str | None = None
    """Its node."""
    change: dict[str, Any] | None = None
    """A change of roles that is not done, or can be taken back: `kind`, `plan`, `to`, `from`, `next`."""
    not_exported: tuple[dict[str, Any], ...] | None = None
    """Addresses of exports that are not served: `address`, `why`."""

    def link(self, name: str) -> Link | None:
        """The link of that name."""
        return next((each for each in self.links if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Status(Answer):
    """The state of all groups, or of the one that was asked for."""

    node: NodeName
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """A volume that NBD clients can open."""

    group: str
    volume: str
    uri: str
    read_only: bool = False
    unix: str | None = None
    """Path of the socket; None for an export on TCP."""
    tcp: str | None = None
    """HOST:PORT that it listens on."""
    tls: bool = False
    role: str = "primary"
    """Of the copy that is shown."""
    snapshot: str | None = None
    """The snapshot or rescue of it that is shown; None for the copy as it is."""
    not_served: str | None = None
    """Why nothing listens at that address, since the copy was started; None where it is served."""


@dataclass(frozen=True, slots=True)
class Exports(Answer):
    """Volumes that NBD clients can open."""

    exports: tuple[Export, ...]


@dataclass(frozen=True, slots=True)
class ExportClient:
    """A program that may open a group's exports over TLS."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ExportClients(Answer):
    """All of a group."""

    clients: tuple[ExportClient, ...]


@dataclass(frozen=True, slots=True)
class ClientCertificate(Answer):
    """What a client that was let in needs, all PEM. `key` is a secret, and kept nowhere else."""

    client: str
    fingerprint: str
    authority: str
    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A volume that is attached as a device of this host."""

    id: str
    group: str
    volume: str
    state: str | None
    """`attached`, `waiting` (the engine is away, requests are held), `failed` (held too long), `starting` or
    `ended`; None while its process runs and does not answer."""
    path: str | None = None
    """What programs open."""
    file: str | None = None
    """The file below, where `path` is a block device."""
    at: str | None = None
    """A link to `path`, where one was wished for."""
    way: str | None = None
    why: str | None = None
    next: str | None = None
    since: str | None = None
    held: int | None = None
    """Requests that wait."""
    reconnects: int | None = None
    locked: Any = None
    """Whether its memory is locked, or why not."""
    flusher: Any = None
    """Whether the kernel knows it as one that writes dirty pages back, or why not."""
    read_only: bool = False
    size: int | None = None
    hold_seconds: float | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Devices(Answer):
    """Attached volumes."""

    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class Paused:
    """Where a link stopped; `drained`: everything up to there had arrived."""

    name: str
    position: dict[str, Any] | None
    time: str | None
    drained: bool | None


@dataclass(frozen=True, slots=True)
class Pauses(Answer):
    """The links that stopped."""

    links: tuple[Paused, ...]


@dataclass(frozen=True, slots=True)
class Started(Answer):
    """The names of the links whose resync began."""

    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ids grow."""

    id: int
    time: str
    kind: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Events(Answer):
    """Events after the asked id; `next` is the id to ask from."""

    events: tuple[Event, ...]
    next: int


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `doctor`: `result` is ok, warn or fail; `next` is a command where one helps."""

    name: str
    result: str
    text: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Checks(Answer):
    """The findings of a node about itself."""

    checks: tuple[Check, ...]
