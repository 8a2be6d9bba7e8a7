"""What the core asks of its shell about layers of the preserve store, besides saving and going back.

As in `actions`, of which this is a part: a shell begins them in order and reports each end once.
"""

from __future__ import annotations

from dataclasses import dataclass

from farshore.model.layers import LayerKind


@dataclass(slots=True)
class RetitleLayer:
    """A layer is from now on of this kind and has this name, durably; what it keeps stays. Report
    `preserved(ticket, errno)`."""

    ticket: int
    layer: bytes
    kind: LayerKind
    name: str
