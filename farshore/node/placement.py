"""What a node asks of another when a link is to end there: to hold a copy. The wish and its JSON form. Pure.

The receiving node trusts nothing in it: names become directories and ids become file names there, so
all of it is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.copy_config import check_extents
from farshore.model.options import ResyncKind
from farshore.node import intent, names
from farshore.node.disks import SECTOR

MOST_BYTES = 1 << 60
MOST_IDS = 1 << 16
"""Volume ids have two bytes in a frame."""
MOST_EPOCH = (1 << 63) - 1
MOST_ABOVE = 32
"""Nodes in a chain above one copy."""
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class VolumeShape:
    """A volume as every copy of the group has it; `size` in bytes."""

    id: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Placement:
    """A copy that is wished for. `feeder` is the fingerprint of the node that asks."""

    group: bytes
    group_name: str
    copy_name: str
    link: bytes
    epoch: int
    feeder: str
    volumes: tuple[VolumeShape, ...]
    region: int
    extent: int
    hot_extents: int
    wire: str
    first: ResyncKind
    places: Mapping[str, str]
    """Volume name -> path, for volumes that are not to lie in the default place."""
    above: tuple[str, ...] = ()
    """Fingerprints of the nodes that feed the feeder, the nearest first; none where it is the primary's."""

    def to_json(self) -> dict[str, Any]:
        """The arguments of `place-copy`."""
        return {
            "group": self.group.hex(),
            "group_name": self.group_name,
            "copy_name": self.copy_name,
            "link": self.link.hex(),
            "epoch": self.epoch,
            "feeder": self.feeder,
            "volumes": [{"id": each.id, "name": each.name, "size": each.size} for each in self.volumes],
            "region": self.region,
            "extent": self.extent,
            "hot_extents": self.hot_extents,
            "wire": self.wire,
            "first": self.first.value,
            "places": dict(self.places),
            "above": list(self.above),
        }


@dataclass(frozen=True, slots=True)
class Shaping:
    """The volumes that a copy that is there already has to have; `undo` where those that it loses were
    placed a moment ago, for a request that has failed."""

    group: bytes
    group_name: str
    copy_name: str
    link: bytes
    volumes: tuple[VolumeShape, ...]
    places: Mapping[str, str]
    undo: bool = False

    def to_json(self) -> dict[str, Any]:
        """The arguments of `shape-copy`."""
        return {
            "group": self.group.hex(),
            "group_name": self.group_name,
            "copy_name": self.copy_name,
            "link": self.link.hex(),
            "volumes": [{"id": each.id, "name": each.name, "size": each.size} for each in self.volumes],
            "places": dict(self.places),
            "undo": self.undo,
        }


def shaping_from_json(value: Mapping[str, Any]) -> Shaping:
    """The inverse of `Shaping.to_json`. Raises ProtocolError, or FarshoreError `usage` for names."""
    try:
        return Shaping(
            group=identifier(value["group"]),
            group_name=names.check("group", str(value["group_name"])),
            copy_name=names.check("copy", str(value["copy_name"])),
            link=identifier(value["link"]),
            volumes=shapes(value["volumes"]),
            places={str(name): str(path) for name, path in dict(value["places"]).items()},
            undo=bool(value["undo"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish for a copy's volumes: {error!r}") from error


def from_json(value: Mapping[str, Any]) -> Placement:
    """The inverse of `Placement.to_json`.

    Raises ProtocolError, or FarshoreError `usage` for names and figures.
    """
    try:
        wish = Placement(
            group=identifier(value["group"]),
            group_name=names.check("group", str(value["group_name"])),
            copy_name=names.check("copy", str(value["copy_name"])),
            link=identifier(value["link"]),
            epoch=int(value["epoch"]),
            feeder=str(value["feeder"]),
            volumes=shapes(value["volumes"]),
            region=int(value["region"]),
            extent=int(value["extent"]),
            hot_extents=int(value["hot_extents"]),
            wire=str(value["wire"]),
            first=ResyncKind(value["first"]),
            places={str(name): str(path) for name, path in dict(value["places"]).items()},
            above=fingerprints(value.get("above", [])),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a malformed wish for a copy: {error!r}") from error
    _check(wish)
    return wish


def identifier(value: object) -> bytes:
    """16 bytes from their hex form. Raises ValueError."""
    found = bytes.fromhex(str(value))
    if len(found) != 16:
        raise ValueError("an id has 16 bytes")
    return found


def fingerprints(value: object) -> tuple[str, ...]:
    """Nodes from their JSON form. Raises ValueError."""
    if not isinstance(value, list) or len(value) > MOST_ABOVE:
        raise ValueError(f"a list of at most {MOST_ABOVE} nodes is wanted")
    if not all(isinstance(each, str) and _FINGERPRINT.fullmatch(each) for each in value):
        raise ValueError("a node is named by its fingerprint")
    return tuple(value)


def shapes(value: Iterable[Mapping[str, Any]]) -> tuple[VolumeShape, ...]:
    """Volumes from their JSON form, as a copy could have them together.

    Raises KeyError, TypeError or ValueError, ProtocolError, or FarshoreError `usage` for a name.
    """
    found = tuple(_shape(each) for each in value)
    fitting = all(
        0 <= each.id < MOST_IDS and 0 < each.size <= MOST_BYTES and each.size % SECTOR == 0 for each in found
    )
    if not fitting or not 0 < len(found) <= intent.MOST_VOLUMES:
        raise ProtocolError("a malformed wish for a copy: its volumes")
    if not len({each.name for each in found}) == len({each.id for each in found}) == len(found):
        raise ProtocolError("a malformed wish for a copy: a volume appears twice")
    return found


def _shape(value: Mapping[str, Any]) -> VolumeShape:
    return VolumeShape(int(value["id"]), names.check("volume", str(value["name"])), int(value["size"]))


def _check(wish: Placement) -> None:
    intent.check_region(wish.region)
    if wish.wire not in ("tls", "plain"):
        raise ProtocolError("a malformed wish for a copy: its wire")
    if not 0 < wish.epoch <= MOST_EPOCH:
        raise ProtocolError("a malformed wish for a copy: its epoch")
    try:
        check_extents(wish.region, wish.extent, wish.hot_extents)
    except ValueError as error:
        raise ProtocolError(f"a malformed wish for a copy: {error}") from error
    known = {volume.name for volume in wish.volumes}
    unknown = sorted(set(wish.places) - known)
    if unknown:
        raise FarshoreError(
            "not-found",
            f"the group has no volume {unknown[0]!r}",
            means="nothing was changed on either node",
            next_step="its volumes: " + ", ".join(sorted(known)),
        )
