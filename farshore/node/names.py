"""Names on this node: the rule for all of them, and the one that a host's own name gives. Pure."""

from __future__ import annotations

import re

from farshore.model.names import check

__all__ = ["check", "from_host"]


def from_host(hostname: str) -> str:
    """A node's name made from the host's, which may have any form."""
    plain = re.sub(r"[^a-z0-9._-]", "-", hostname.lower().partition(".")[0]).lstrip(".-_")[:63]
    return plain or "node"
