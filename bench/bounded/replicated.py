"""A group with any number of links to copies at the far node, all with the same options.

A round counts only if every link replicated from its beginning to its end.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.contenders.base import CannotStart, Unfair
from bench.contenders.sites import NEAR, Group, Sites

_SETTLE_LIMIT = 120.0
_TICKS_PER_SECOND = 100
"""USER_HZ, in which Linux tells processor time."""


class Replicated:
    """Made by `start`; the nodes end it."""

    def __init__(self, sites: Sites, wanted: Group) -> None:
        self.sites = sites
        self.wanted = wanted
        self.uri = ""
        self._pid = 0
        self._since: list[str] = []

    def start(self) -> None:
        """Make the group and wait until all its copies are in step. Raises CannotStart."""
        self.uri = self.sites.group(self.wanted)
        self._since = [link["since"] for link in self._links()]
        engines = self.sites.document(NEAR, "node", "show")["engines"]
        pids = [each["pid"] for each in engines if each["group"] == self.wanted.name]
        if len(pids) != 1:
            raise CannotStart(f"group {self.wanted.name} has {len(pids)} engines at the near node")
        self._pid = pids[0]

    def settle(self) -> None:
        """Wait until all copies have everything durable. Raises Unfair if a link fell, or takes too long."""
        give_up = time.monotonic() + _SETTLE_LIMIT
        links = self._links()
        fallen = [link for link, since in zip(links, self._since, strict=True) if link["since"] != since]
        while any(link["state"] != "replicating" or link["dirty_bytes"] for link in links):
            if time.monotonic() > give_up:
                raise Unfair(f"not in step {_SETTLE_LIMIT:.0f} s after the run: {_shown(links)}")
            links = self._links()
        self._since = [link["since"] for link in links]
        if fallen:
            raise Unfair(f"a link did not replicate all the while: {_shown(fallen)}")

    def processor_seconds(self) -> float:
        """What the primary's engine has used so far, in user and kernel mode, to 0.01 s."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def _links(self) -> Sequence[dict[str, Any]]:
        if self.wanted.link is None:
            return []
        links: list[dict[str, Any]] = self.sites.status(self.wanted.name)["links"]
        if len(links) != self.wanted.copies:
            raise CannotStart(f"group {self.wanted.name} shows {len(links)} links")
        return links


def _shown(links: Sequence[dict[str, Any]]) -> str:
    return "; ".join(f"{each['name']} {each['state']}, {each['reason']}" for each in links)
