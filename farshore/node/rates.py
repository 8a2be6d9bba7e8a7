"""What this node may send: in all, and to each peer; one record, `rates.json`, that exists once one is set.

Bytes per second; what is not said has no bound. Kept by fingerprint, so that a renamed peer keeps its bound.
How a bound is divided among the links that share it is the business of `shares`.
"""

from __future__ import annotations

from farshore.errors import FarshoreError
from farshore.node import documents
from farshore.node.paths import Paths

LEAST = 16 << 10
"""Bytes per second for all links together, below which heartbeats would not get through any more."""


class Rates:
    """See the module."""

    def __init__(self, paths: Paths) -> None:
        """Raises FarshoreError `state-newer` or `state-damaged`."""
        self._path = paths.node.with_name("rates.json")
        document = documents.read(self._path)
        self.ever = document is not None
        """Whether there ever was a bound, so that an engine may still have a share of it."""
        try:
            entries = document["max_rate"].items() if document is not None else ()
            self._bounds = {str(node): int(rate) for node, rate in entries}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise documents.damaged(self._path, error) from error

    def bound(self, node_id: str) -> int:
        """For all that goes to this peer, or with our own id for all that we send; 0 without one."""
        return self._bounds.get(node_id, 0)

    @property
    def any(self) -> bool:
        """Whether there is any bound."""
        return bool(self._bounds)

    def set(self, node_id: str, rate: int) -> None:
        """0 takes the bound away. Raises FarshoreError `usage`, or as `documents.write`."""
        if rate < 0 or 0 < rate < LEAST:
            raise FarshoreError(
                "usage",
                f"max-rate {rate} bytes per second is too little",
                means="nothing was changed",
                next_step=f"use at least {LEAST // 1024}KiB/s, or 0 for no bound",
            )
        bounds = {**self._bounds, node_id: rate}
        if not rate:
            del bounds[node_id]
        documents.write(self._path, {"max_rate": bounds})
        self._bounds, self.ever = bounds, True
