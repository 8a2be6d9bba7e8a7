"""How much room the preserve stores of a group's copies at this node may take.

It is a matter of the disk that the node's state is on, so it is set at each node for itself. A store that
holds more than a new bound keeps it, and takes nothing more until it is below.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farshore.errors import FarshoreError
from farshore.model.units import format_size
from farshore.node import links
from farshore.node.node import Node

LEAST = 1 << 20


async def set_limit(node: Node, group: str, size: int) -> dict[str, Any]:
    """Bounds each copy's store at `size` bytes, 0 for twice what its volumes have. Raises FarshoreError."""
    if size and size < LEAST:
        raise FarshoreError(
            "usage", f"a preserve store needs {format_size(LEAST)} at least, not {size} bytes"
        )
    async with node.changing(group):
        copies = node.copies.of_group(group)
        for stored in copies:
            await links.apply(node, stored, replace(stored.config, preserve=size))
        names = [each.config.copy_name for each in copies]
    shown = format_size(size) if size else "twice as much as the volumes have"
    node.journal.add("preserve-set", f"what copies of {group} preserve: at most {shown}", group=group)
    return {"group": group, "preserve": size, "copies": names}
