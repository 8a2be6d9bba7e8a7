"""What one node asks of another for a change of roles: a turn of one copy, or a link that it is to have.
Pure.

A wish says what the copy is expected to be, by its role, its last turn and whom it follows: how it stood when
the plan was made. One that is anything else by then is not turned, so that two changes at the same time
cannot mix, and a wish that comes late does nothing. The receiving node trusts nothing in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from farshore.errors import ProtocolError
from farshore.model.copy_config import RISKS
from farshore.model.options import LinkOptions, Role, options_from_json
from farshore.model.positions import Position
from farshore.model.role_change import (
    ChangeIntent,
    Expected,
    RewindIntent,
    change_from_json,
    expected_from_json,
    rewind_from_json,
)
from farshore.node import intent, names, placement


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTo:
    """A link to be. `far`: fingerprint; `far_copy`: id in hex, empty where it is not known."""

    link: bytes
    epoch: int
    name: str
    far: str
    far_name: str
    far_copy: str
    options: LinkOptions
    consent: Position | None = None
    rescue: str = ""
    """See `LinkIntent.rescue`."""
    known: bool = False
    """The copy has it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Whom a copy is to follow. `feeder` and `above` are fingerprints."""

    link: bytes
    epoch: int
    feeder: str
    wire: str = "tls"
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWish:
    """A role for one copy; `turn` makes it a new one. `expects`: how the copy stands by intent."""

    group: bytes
    copy: bytes
    turn: bytes
    role: Role
    expects: Expected
    accepts: tuple[str, ...] = ()
    follows: Following | None = None
    """Of a secondary to be; a primary keeps the record of who fed it."""
    links: tuple[LinkTo, ...] = ()
    gone: tuple[bytes, ...] = ()
    """Links that are its own no more."""
    left: tuple[tuple[bytes, str], ...] = ()
    """Links that rest from now on, in favour of the node of that name."""
    drain: float | None = None
    """Seconds to have everything that was acknowledged durable at the peers first."""
    on_start: str = "wait"
    ignored: tuple[int, ...] = ()
    """Volumes whose changes are not logged in an outage (rule A6)."""
    whole: bool = False
    """See `CopyConfig.whole`."""
    closed: str = ""
    """See `CopyConfig.closed`."""
    change: ChangeIntent | None = None
    rewind: RewindIntent | None = None
    """Of a primary to be: the earlier state that it begins from."""

    def to_json(self) -> dict[str, Any]:
        """The arguments of `turn-copy`."""
        document: dict[str, Any] = hexed(asdict(self))
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedWish:
    """A link that a primary is to have from now on, and the change that it is a part of."""

    group: bytes
    copy: bytes
    link: LinkTo
    turn: bytes = b""
    """The last turn of that primary when the plan was made."""
    change: ChangeIntent | None = None

    def to_json(self) -> dict[str, Any]:
        """The arguments of `feed-copy`."""
        document: dict[str, Any] = hexed(asdict(self))
        return document


_MOST_WORDS: Final = 256


def link_id(turn: bytes, copy: str) -> bytes:
    """Of the link that a turn makes to feed that copy: the same, whoever carries the turn out."""
    return hashlib.sha256(b"link of a turn" + turn + bytes.fromhex(copy)).digest()[:16]


def turn_from_json(value: Mapping[str, Any]) -> TurnWish:
    """The inverse of `TurnWish.to_json`. Raises ProtocolError, or FarshoreError `usage`."""
    try:
        accepts = tuple(str(each) for each in list(value["accepts"]))
        follows, drain = value["follows"], value["drain"]
        if not set(accepts) <= set(RISKS) or value["on_start"] not in ("wait", "alone"):
            raise ValueError("accepts or on_start")
        if drain is not None and not 0 <= float(drain) <= 3600:
            raise ValueError("drain")
        return TurnWish(
            group=placement.identifier(value["group"]),
            copy=placement.identifier(value["copy"]),
            turn=placement.identifier(value["turn"]),
            role=Role(value["role"]),
            expects=expected_from_json(value["expects"]),
            accepts=accepts,
            follows=None if follows is None else _following(follows),
            links=tuple(_link_to(each) for each in list(value["links"])),
            gone=tuple(placement.identifier(each) for each in list(value["gone"])),
            left=tuple((placement.identifier(link), str(name)[:64]) for link, name in list(value["left"])),
            drain=None if drain is None else float(drain),
            on_start=str(value["on_start"]),
            ignored=tuple(int(each) for each in list(value["ignored"])),
            whole=bool(value["whole"]),
            closed=str(value.get("closed", ""))[:_MOST_WORDS],
            change=change_from_json(value["change"]),
            rewind=rewind_from_json(value.get("rewind")),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish for a turn: {error!r}") from error


def feed_from_json(value: Mapping[str, Any]) -> FeedWish:
    """The inverse of `FeedWish.to_json`. Raises ProtocolError, or FarshoreError `usage`."""
    try:
        return FeedWish(
            group=placement.identifier(value["group"]),
            copy=placement.identifier(value["copy"]),
            link=_link_to(value["link"]),
            turn=placement.identifier(value["turn"]) if value["turn"] else b"",
            change=change_from_json(value["change"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish for a link: {error!r}") from error


def position_from_json(value: Mapping[str, Any] | None) -> Position | None:
    """Of `{"generation", "sequence"}`. Raises KeyError, TypeError or ValueError."""
    if value is None:
        return None
    return Position(placement.identifier(value["generation"]), int(value["sequence"]))


def hexed(value: Any) -> Any:
    """A document with ids as hex, ready for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: hexed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [hexed(each) for each in value]
    return value


def _following(value: Mapping[str, Any]) -> Following:
    (feeder,) = placement.fingerprints([value["feeder"]])
    if value["wire"] not in ("tls", "plain"):
        raise ValueError("wire")
    return Following(
        link=placement.identifier(value["link"]),
        epoch=_epoch(value["epoch"]),
        feeder=feeder,
        wire=str(value["wire"]),
        above=placement.fingerprints(value["above"]),
    )


def _link_to(value: Mapping[str, Any]) -> LinkTo:
    (far,) = placement.fingerprints([value["far"]])
    consent, far_copy = value["consent"], str(value["far_copy"])
    rescue = str(value.get("rescue", ""))
    return LinkTo(
        link=placement.identifier(value["link"]),
        epoch=_epoch(value["epoch"]),
        name=names.check("link", str(value["name"])),
        far=far,
        far_name=str(value["far_name"])[:64],
        far_copy=placement.identifier(far_copy).hex() if far_copy else "",
        options=intent.link_options(asdict(options_from_json(dict(value["options"])))),
        known=value["known"] is True,
        consent=None if consent is None else Position(placement.identifier(consent[0]), int(consent[1])),
        rescue=names.check("rescue", rescue) if rescue else "",
    )


def _epoch(value: object) -> int:
    epoch = int(str(value))
    if not 0 < epoch <= placement.MOST_EPOCH:
        raise ValueError("an epoch is a number above 0")
    return epoch
