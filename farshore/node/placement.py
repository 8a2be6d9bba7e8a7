"""What a node asks of another when a link is to end there: to hold a copy. The wish and its JSON form. Pure.

The receiving node trusts nothing in it: names become directories and ids become file names there, so
all of it is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        }


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
            volumes=tuple(_shape(each) for each in value["volumes"]),
            region=int(value["region"]),
            extent=int(value["extent"]),
            hot_extents=int(value["hot_extents"]),
            wire=str(value["wire"]),
            first=ResyncKind(value["first"]),
            places={str(name): str(path) for name, path in dict(value["places"]).items()},
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


def _shape(value: Mapping[str, Any]) -> VolumeShape:
    return VolumeShape(int(value["id"]), names.check("volume", str(value["name"])), int(value["size"]))


def _check(wish: Placement) -> None:
    intent.check_region(wish.region)
    known = {volume.name for volume in wish.volumes}
    fitting = all(
        0 <= each.id < MOST_IDS and 0 < each.size <= MOST_BYTES and each.size % SECTOR == 0
        for each in wish.volumes
    )
    if (
        not known
        or len(wish.volumes) > intent.MOST_VOLUMES
        or not fitting
        or wish.wire not in ("tls", "plain")
    ):
        raise ProtocolError("a malformed wish for a copy: volumes or wire")
    if len(known) != len(wish.volumes) or len({volume.id for volume in wish.volumes}) != len(wish.volumes):
        raise ProtocolError("a malformed wish for a copy: a volume appears twice")
    if wish.epoch < 1:
        raise ProtocolError("a malformed wish for a copy: its epoch")
    try:
        check_extents(wish.region, wish.extent, wish.hot_extents)
    except ValueError as error:
        raise ProtocolError(f"a malformed wish for a copy: {error}") from error
    unknown = sorted(set(wish.places) - known)
    if unknown:
        raise FarshoreError(
            "not-found",
            f"the group has no volume {unknown[0]!r}",
            means="nothing was changed on either node",
            next_step="its volumes: " + ", ".join(sorted(known)),
        )
