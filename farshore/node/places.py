"""Where a peer may put a copy on this node, and whether what lies there may be used.

Without a grant a peer places only below this node's own `volumes/`, where it can name no path. A grant is
a glob over real paths: every link in a wished path is followed before it is compared, so a link that
leads out of a granted directory leads nowhere. In a glob `*` and `?` stay inside one directory and
`**` crosses them. Existing data is never taken over by a full first copy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.model.options import ResyncKind
from farshore.node import disks
from farshore.node.disks import Disk, DiskId
from farshore.store.own_mounts import refuse_own


@dataclass(frozen=True, slots=True)
class Place:
    """A volume's file or device, ready for a copy. `made` files go away when the request fails."""

    disk: Disk
    made: bool

    def give_back(self) -> None:
        """Removes the file if it was made for this request; it holds nothing."""
        if self.made:
            Path(self.disk.path).unlink(missing_ok=True)


def matches(glob: str, path: str) -> bool:
    """True when a real path lies in the grant."""
    pieces = re.split(r"(\*\*|\*|\?)", glob)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = "".join(wild.get(piece) or re.escape(piece) for piece in pieces)
    return re.fullmatch(pattern, path, re.DOTALL) is not None


def permitted(path: str, grants: Iterable[str], peer_name: str) -> str:
    """The real path of a place that a peer wishes for.

    Raises FarshoreError `usage`, `own-device` or `outside-grant`.
    """
    if not path.startswith("/") or "\0" in path:
        raise FarshoreError("usage", f"{path!r} is not an absolute path", next_step="begin it with /")
    refuse_own(path)
    real = os.path.realpath(path)
    if any(matches(glob, real) for glob in grants):
        return real
    raise FarshoreError(
        "outside-grant",
        f"{peer_name} may not place copies at {path}" + ("" if real == path else f" (which is {real})"),
        means="nothing was changed on either node",
        next_step=f"on the node that is to hold the copy: farshore node allow {peer_name} --path '{real}'",
    )


def claim(path: str, size: int, taken: Iterable[DiskId]) -> Place:
    """The volume at a path: as it is, or a new sparse file of `size` bytes.

    Raises FarshoreError `size-mismatch`, `own-device`, `in-use` where a copy on this node has it, or what
    `disks` raises.
    """
    refuse_own(path)
    if not os.path.lexists(path):
        if not Path(path).parent.is_dir():
            raise FarshoreError(
                "not-found",
                f"{Path(path).parent} is not a directory",
                means="nothing was changed",
                next_step="make it first, or choose another path",
            )
        disks.create(path, size)
        return Place(disks.inspect(path), True)
    refuse_taken(path, taken)
    disk = disks.inspect(path)
    if disk.size != size:
        raise FarshoreError(
            "size-mismatch",
            f"{path} has {disk.size} bytes, the volume {size}",
            means="nothing was changed on either node",
            next_step="choose a place of exactly that size, or a path where nothing is yet",
        )
    return Place(disk, False)


def refuse_taken(path: str, taken: Iterable[DiskId]) -> None:
    """Raises FarshoreError `in-use` where a copy of this node uses what lies at `path`."""
    found = disks.disk_id(path)
    if found is not None and found in set(taken):
        raise FarshoreError(
            "in-use",
            f"{path} is a volume of another copy on this node",
            means="nothing was changed",
            next_step="farshore group list shows which; choose another path",
        )


def refuse_data(place: Place, first: ResyncKind) -> None:
    """Raises FarshoreError `not-empty` where a full first copy would overwrite something (rule D3)."""
    if place.made or first is ResyncKind.DIGEST:
        return
    try:
        offset = disks.first_data(place.disk)
        found = None if offset is None else f"data, first at byte {offset}"
    except FarshoreError as error:
        if error.code.name != "timeout":
            raise
        found = "too much to find out in time whether it is blank"
    if found is not None:
        raise FarshoreError(
            "not-empty",
            f"{place.disk.path} holds {found}",
            means="a first copy would overwrite it; nothing was changed on either node",
            next_step="choose another place, or if it is an older copy of this volume: --first digest",
        )
