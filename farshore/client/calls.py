"""What the parts of a node's API have in common: they make requests of the one node that they are a part of.

Each part is a class of its own; `client.node.Node` puts them together and alone knows how a request is made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class Calls(ABC):
    """Whoever can ask a node."""

    @abstractmethod
    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        extra: float = 0.0,
    ) -> Mapping[str, Any]:
        """One request; the answer's JSON object, empty for none. `extra`: seconds beyond the timeout."""
