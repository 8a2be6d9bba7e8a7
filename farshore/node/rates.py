"""What this node may send: in all, and to each peer; one record, `rates.json`, that exists once one is set.

Bytes per second; what is not said has no bound. Kept by fingerprint, so that a renamed peer keeps its bound.
How a bound is divided among the links that share it is the business of `shares`.
"""

from __future__ import annotations

from farshore.errors import FarshoreError
from farshore.node import documents
from farshore.node.paths import Paths
from farshore.node.settings import MaxRate
from farshore.settings.known import LEAST_RATE


class Rates:
    """See the module."""

    def __init__(self, paths: Paths, own: str = "", fixed: MaxRate | None = None) -> None:
        """`own` is this node's fingerprint, and `fixed` the bound that it was started with: that one holds
        whatever `set` was told before, and no command changes it.

        Raises FarshoreError `state-newer` or `state-damaged`, or as `documents.write`.
        """
        self._path = paths.node.with_name("rates.json")
        document = documents.read(self._path)
        self.ever = document is not None
        """Whether there ever was a bound, so that an engine may still have a share of it."""
        try:
            entries = document["max_rate"].items() if document is not None else ()
            self._bounds = {str(node): int(rate) for node, rate in entries}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise documents.damaged(self._path, error) from error
        self._fixed = {} if fixed is None else {own: fixed}
        if self._fixed and not self.ever:
            # Engines outlive this node, and their shares; the next one has to know that they may have some.
            documents.write(self._path, {"max_rate": self._bounds})
            self.ever = True

    def bound(self, node_id: str) -> int:
        """For all that goes to this peer, or with our own id for all that we send; 0 without one."""
        fixed = self._fixed.get(node_id)
        return self._bounds.get(node_id, 0) if fixed is None else fixed.rate

    @property
    def any(self) -> bool:
        """Whether there is any bound."""
        return bool(self._bounds) or any(each.rate for each in self._fixed.values())

    def set(self, node_id: str, rate: int) -> None:
        """0 takes the bound away. Raises FarshoreError `usage`, `wrong-state`, or as `documents.write`."""
        fixed = self._fixed.get(node_id)
        if fixed is not None:
            raise FarshoreError(
                "wrong-state",
                f"max-rate of this node is set by {fixed.origin}",
                means="nothing was changed",
                next_step="change it there, then start the node again; its engines run on meanwhile",
            )
        if rate < 0 or 0 < rate < LEAST_RATE:
            raise FarshoreError(
                "usage",
                f"max-rate {rate} bytes per second is too little",
                means="nothing was changed",
                next_step=f"use at least {LEAST_RATE >> 10}KiB/s, or 0 for no bound",
            )
        bounds = {**self._bounds, node_id: rate}
        if not rate:
            del bounds[node_id]
        documents.write(self._path, {"max_rate": bounds})
        self._bounds, self.ever = bounds, True
