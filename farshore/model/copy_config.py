"""What a node tells an engine about one copy: the operator's intent, as one JSON document.

The node writes it to `copy.json` in the copy's directory, whole and atomically, then asks the
engine over the control socket to `reload`; the engine compares and carries out the difference.
It holds intent only: where things are and what should exist, never the state of the data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.options import (
    DEFAULT_EXTENT,
    DEFAULT_HOT_EXTENTS,
    DEFAULT_REGION,
    MOST_HOT_EXTENTS,
    LinkOptions,
    LinkSpec,
    Role,
    options_from_json,
)
from farshore.model.positions import Position
from farshore.model.role_change import (
    ChangeIntent,
    RewindIntent,
    change_from_json,
    position_from_json,
    rewind_from_json,
)
from farshore.model.volumes import MAX_REQUEST, VolumeSpec

CONFIG_VERSION = 1

DOUBTFUL, UNPROTECTED = "doubtful", "unprotected"
RISKS = (DOUBTFUL, UNPROTECTED)
"""What a promotion may be told to accept: a copy that may hold its newest writes in part (rule B3); one that
a resync has overwritten in part while nothing of what was there is kept (rule E1)."""

PREVIEWED = "two copies that were both written are being looked at, and neither can be written meanwhile"
"""What `CopyConfig.closed` says during a preview; it ends with it, and when one copy is kept."""

TLS_FILES = ("tls/ca-cert.pem", "tls/server-cert.pem", "tls/server-key.pem")
"""In the copy's directory, for its exports over TLS: the authority that signed the clients' certificates, and
what the engine proves itself with."""


@dataclass(frozen=True, slots=True)
class LinkIntent:
    """An outgoing link: its specification, and where the peer node can be reached."""

    spec: LinkSpec
    peer_name: str
    address: str
    """HOST:PORT of the peer node's port for peers."""
    asked_by: str = ""
    """Fingerprint of the node at whose wish this hop was made; empty where it was made here."""
    left_for: str = ""
    """Name of the node that feeds the far copy in place of this one, or is to, as long as a `RerouteIntent`
    says that this is under way; empty while this link may feed it. Such a link logs and knocks nowhere, and
    the group's health does not hang on it."""
    peer_copy: str = ""
    """Id of the far copy in hex, where whoever made the link knew it; what a session has proved wins."""
    consent: Position | None = None
    """The head that the far copy's history may have and be overwritten all the same: a plan named it. Any
    other head that is not an ancestor of ours stays `diverged`."""
    rescue: str = ""
    """The name under which the far copy keeps what is overwritten by that consent."""


@dataclass(frozen=True, slots=True)
class HopIntent:
    """A hop that another node made at our wish: what is needed to show it, and to replace its feeder."""

    link: bytes
    name: str
    via: str
    """Fingerprint of the node whose copy feeds it."""
    via_name: str
    via_copy: str
    """Name of that copy."""
    peer: str
    """Fingerprint of the node of the far copy."""
    peer_name: str
    options: LinkOptions = field(default_factory=LinkOptions)


@dataclass(frozen=True, slots=True)
class RerouteIntent:
    """A far copy is being pointed at another feeder at our wish, and is not known to be fed by it."""

    link: bytes
    name: str
    peer: str
    """Fingerprint of the node of the far copy."""
    peer_name: str
    feeder: str
    """Name of the node that fed it."""
    via: str
    """Who is to feed it, NODE or NODE/COPY."""
    options: LinkOptions = field(default_factory=LinkOptions)


@dataclass(frozen=True, slots=True)
class UpstreamIntent:
    """The one link that may feed this copy (rule B8)."""

    link: bytes
    epoch: int
    peer: str
    """Fingerprint of the feeder's node."""
    peer_name: str = ""
    wire: str = "tls"
    above: tuple[str, ...] = ()
    """Fingerprints of the nodes that feed the feeder, the nearest first. They and the feeder's node, and
    nobody else, may point this copy at another feeder."""


@dataclass(frozen=True, slots=True)
class TurnIntent:
    """A change of this copy's role that a plan has decided: carried out by the engine at its start, once."""

    id: bytes
    """16 random bytes; the header remembers the last one that was carried out."""
    accepts: tuple[str, ...] = ()
    """Risks that the plan named, of `RISKS`."""
    rewind: RewindIntent | None = None
    """Of a promotion: from where the copy becomes the primary, if not from where it stands."""


@dataclass(frozen=True, slots=True)
class ExportIntent:
    """One NBD export: a volume on a Unix socket path or on `HOST:PORT`."""

    volume: int
    unix: str | None = None
    tcp: str | None = None
    read_only: bool = False
    tls: bool = False
    """On `tcp`, nothing but TLS, and only for the clients of `CopyConfig.export_clients`."""
    layer: str = ""
    """Id in hex of the layer of the preserve store that is shown, read-only; empty for what the copy has
    now."""


@dataclass(frozen=True, slots=True)
class ExportClient:
    """A program elsewhere that may open the copy's exports over TLS."""

    name: str
    fingerprint: str
    """SHA-256 of its certificate's DER form, lowercase hex."""


@dataclass(frozen=True, slots=True)
class CopyConfig:
    """One copy of one group on this node."""

    group: bytes
    group_name: str
    copy: bytes
    copy_name: str
    role: Role
    volumes: tuple[VolumeSpec, ...]
    control: str
    """Path of the engine's control socket."""
    certificate: str
    key: str
    node_name: str = ""
    region: int = DEFAULT_REGION
    extent: int = DEFAULT_EXTENT
    hot_extents: int = DEFAULT_HOT_EXTENTS
    on_start: str = "wait"
    """`wait` or `alone` (rule D5)."""
    links: tuple[LinkIntent, ...] = ()
    hops: tuple[HopIntent, ...] = ()
    """Links of copies at other nodes, which are fed from here; of no concern to the engine."""
    reroutes: tuple[RerouteIntent, ...] = ()
    """Those that have begun and are not known to be done; likewise."""
    upstream: UpstreamIntent | None = None
    """Of a primary: who fed it before it was promoted, and is answered so."""
    turn: TurnIntent | None = None
    """The last change of role that was decided; `role` is what it leads to."""
    change: ChangeIntent | None = None
    """What this turn is a part of, while that is not done."""
    whole: bool = False
    """Of a primary that was promoted: it had been fed in order until its feeder was lost, by one process that
    lived on, so that it held all that a sync feeder had acknowledged (rule D6)."""
    exports: tuple[ExportIntent, ...] = ()
    export_clients: tuple[ExportClient, ...] = ()
    closed: str = ""
    """Why no export can be written, and those that could are not served; empty where they are."""
    next_volume: int = 0
    """No volume of this group ever had this id or a higher one; 0 where none has gone yet."""
    unsettled: bool = False
    """A peer may hold a copy with other volumes than these, and is to be told (of a primary)."""
    repaired: str = ""
    """The fault that the operator takes for repaired (rule C3), as the engine named it."""
    replaced: str = ""
    """The other volumes that the operator accepts in the place of those that the copy had (rule D3), as the
    engine named them when it refused to start."""
    placed_blank: bool = False
    """The node looked at all of every volume when it placed the copy, and found nothing but zeroes."""
    log_level: str = "info"
    """What the engine writes into its log: `debug`, `info`, `warning` or `error`."""
    preserve: int = 0
    """Bytes that the preserve store may take; 0 for twice as much as the volumes have."""
    history: int = 0
    """Bytes of applied frames that may be kept for a rewind; 0 for as much as the volumes have."""

    @property
    def fresh_volume(self) -> int:
        """The id of the next volume: ids are never used again."""
        return max(self.next_volume, *[each.id + 1 for each in self.volumes])


def least_hot_extents(extent: int) -> int:
    """The smallest activity log: room for the longest request, however it lies, and for one more."""
    return MAX_REQUEST // extent + 2


def check_extents(region: int, extent: int, hot_extents: int) -> None:
    """Whether a copy can be laid out like this, its own or one that a peer asks for.

    Raises ValueError with the reason.
    """
    if extent < region or region < 1 or extent % region:
        raise ValueError(f"an extent of {extent} bytes is not made of whole regions of {region}")
    if not least_hot_extents(extent) <= hot_extents <= MOST_HOT_EXTENTS:
        raise ValueError(
            f"hot_extents is {hot_extents}, and must be between {least_hot_extents(extent)} and"
            f" {MOST_HOT_EXTENTS} with extents of {extent} bytes"
        )


def to_json(config: CopyConfig) -> dict[str, Any]:
    """The document, ready for `json.dumps`; ids as lowercase hex."""
    document: dict[str, Any] = asdict(config)
    document["version"] = CONFIG_VERSION
    for export in document["exports"]:
        # An engine from before TLS, which an upgrade leaves running, knows no such word and refuses it: only
        # what it would otherwise serve in the clear may make it do so.
        if not export["tls"]:
            del export["tls"]
        if not export["layer"]:
            del export[
                "layer"
            ]  # likewise: one from before layers could be shown would show what is there now
    for each in (*[link["spec"] for link in document["links"]], *document["hops"], *document["reroutes"]):
        if not each["options"]["verify_every"]:
            del each["options"]["verify_every"]  # likewise, from before there was a verify
    return _hex(document)  # type: ignore[no-any-return]


def from_json(document: dict[str, Any]) -> CopyConfig:
    """The inverse of `to_json`.

    Raises FarshoreError `state-newer` for a later version and `state-damaged` for anything malformed.
    """
    if int(document.get("version", 0)) > CONFIG_VERSION:
        raise FarshoreError(
            "state-newer", f"copy.json has version {document['version']}, this engine knows {CONFIG_VERSION}"
        )
    try:
        config = CopyConfig(
            group=bytes.fromhex(document["group"]),
            group_name=document["group_name"],
            copy=bytes.fromhex(document["copy"]),
            copy_name=document["copy_name"],
            role=Role(document["role"]),
            volumes=tuple(VolumeSpec(**each) for each in document["volumes"]),
            control=document["control"],
            certificate=document["certificate"],
            key=document["key"],
            node_name=document.get("node_name", ""),
            region=int(document["region"]),
            extent=int(document["extent"]),
            hot_extents=int(document["hot_extents"]),
            on_start=document["on_start"],
            links=tuple(_link(each) for each in document["links"]),
            hops=tuple(_hop(each) for each in document.get("hops", ())),
            reroutes=tuple(_reroute(each) for each in document.get("reroutes", ())),
            upstream=_upstream(document.get("upstream")),
            turn=_turn(document.get("turn")),
            change=change_from_json(document.get("change")),
            whole=bool(document.get("whole", False)),
            exports=tuple(ExportIntent(**each) for each in document["exports"]),
            export_clients=tuple(ExportClient(**each) for each in document.get("export_clients", ())),
            closed=str(document.get("closed", "")),
            next_volume=int(document.get("next_volume", 0)),
            unsettled=bool(document.get("unsettled", False)),
            repaired=str(document.get("repaired", "")),
            replaced=str(document.get("replaced", "")),
            placed_blank=bool(document.get("placed_blank", False)),
            log_level=str(document.get("log_level", "info")),
            preserve=int(document.get("preserve", 0)),
            history=int(document.get("history", 0)),
        )
        check_extents(config.region, config.extent, config.hot_extents)
    except (KeyError, TypeError, ValueError) as error:
        raise FarshoreError("state-damaged", f"copy.json is malformed: {error!r}") from error
    return config


def _link(value: dict[str, Any]) -> LinkIntent:
    spec = value["spec"]
    return LinkIntent(
        spec=LinkSpec(
            id=bytes.fromhex(spec["id"]),
            name=spec["name"],
            peer=spec["peer"],
            options=options_from_json(spec["options"]),
            epoch=int(spec["epoch"]),
            resting=bool(value.get("left_for")),
        ),
        peer_name=value["peer_name"],
        address=value["address"],
        asked_by=str(value.get("asked_by", "")),
        left_for=str(value.get("left_for", "")),
        peer_copy=bytes.fromhex(value.get("peer_copy", "")).hex(),
        consent=position_from_json(value.get("consent")),
        rescue=str(value.get("rescue", "")),
    )


def _hop(value: dict[str, Any]) -> HopIntent:
    words = {name: str(value[name]) for name in ("name", "via", "via_name", "via_copy", "peer", "peer_name")}
    return HopIntent(link=bytes.fromhex(value["link"]), **words, options=options_from_json(value["options"]))


def _reroute(value: dict[str, Any]) -> RerouteIntent:
    words = {name: str(value[name]) for name in ("name", "peer", "peer_name", "feeder", "via")}
    options = options_from_json(value["options"])
    return RerouteIntent(link=bytes.fromhex(value["link"]), **words, options=options)


def _upstream(value: dict[str, Any] | None) -> UpstreamIntent | None:
    if value is None:
        return None
    return UpstreamIntent(
        link=bytes.fromhex(value["link"]),
        epoch=int(value["epoch"]),
        peer=value["peer"],
        peer_name=value.get("peer_name", ""),
        wire=value.get("wire", "tls"),
        above=tuple(str(each) for each in value.get("above", ())),
    )


def _turn(value: dict[str, Any] | None) -> TurnIntent | None:
    if value is None:
        return None
    number, accepts = bytes.fromhex(value["id"]), tuple(str(each) for each in value.get("accepts", ()))
    if len(number) != 16 or not set(accepts) <= set(RISKS):
        raise ValueError("a turn has an id of 16 bytes and accepts known risks only")
    return TurnIntent(number, accepts, rewind_from_json(value.get("rewind")))


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _hex(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hex(each) for each in value]
    return value
