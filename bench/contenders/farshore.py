"""Farshore itself: groups on two paired nodes, one for each way of replicating that is measured.

A run counts only if the link replicated from its beginning to its end: a link that fell to logging
makes writes faster and proves nothing.
"""

import time
from dataclasses import dataclass
from typing import Any

from bench.contenders.base import CannotStart, Unfair
from bench.contenders.sites import Group, Sites

_SETTLE_LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Manner:
    """One way of replicating: the contender's name and label, and the options of `farshore link create`."""

    name: str
    label: str
    link: tuple[str, ...] | None


def _link(mode: str, wire: str) -> tuple[str, ...]:
    return ("--mode", mode, "--wire", wire, "--queue-memory", "256MiB")


MANNERS = (
    Manner("farshore-sync", "Farshore, sync, plain", _link("sync", "plain")),
    Manner("farshore-sync-tls", "Farshore, sync, TLS", _link("sync", "tls")),
    Manner("farshore-async", "Farshore, async, plain", _link("async", "plain")),
    Manner("farshore-async-tls", "Farshore, async, TLS", _link("async", "tls")),
    Manner("farshore-alone", "Farshore, no link", None),
)


class Farshore:
    """One group. The nodes are shared, and stopped by whoever made them."""

    def __init__(self, sites: Sites, manner: Manner) -> None:
        self._sites = sites
        self._manner = manner
        self._since: str | None = None

    @property
    def name(self) -> str:
        """As the scenarios say it."""
        return self._manner.name

    @property
    def label(self) -> str:
        """As the report says it."""
        return self._manner.label

    def start(self) -> str:
        """Make the group and wait until its copy, if it has one, is in step."""
        uri = self._sites.group(Group(self._manner.name, self._manner.link))
        if self._manner.link is not None:
            self._since = self._linked()["since"]
        return uri

    def stop(self) -> None:
        """The nodes end it."""

    def queued_bytes(self) -> int | None:
        """The depth of an async link's queue; all that is dirty where the link no longer replicates."""
        if self._manner.link is None or "async" not in self._manner.link:
            return None
        link = self._linked()
        if link["state"] != "replicating":
            dirty: int = link["dirty_bytes"] or 1
            return dirty
        return int(link["queue"]["memory_bytes"] or 0) + int(link["queue"]["disk_bytes"] or 0)

    def settle(self) -> None:
        """Wait until the copy is in step; Unfair if the link was not replicating all the while."""
        if self._manner.link is None:
            return
        before, link = self._since, self._linked()
        give_up = time.monotonic() + _SETTLE_LIMIT
        fallen = link["since"] != before or link["state"] != "replicating"
        reason = f"{link['state']} since {link['since']}: {link['reason']}"
        while link["state"] != "replicating" or self.queued_bytes():
            if time.monotonic() > give_up:
                raise Unfair(
                    f"not in step {_SETTLE_LIMIT:.0f} s after the run: {link['state']}, {link['reason']}"
                )
            link = self._linked()
        self._since = link["since"]
        if fallen:
            raise Unfair(f"the link did not replicate all the while ({reason})")

    def _linked(self) -> dict[str, Any]:
        links: list[dict[str, Any]] = self._sites.status(self._manner.name)["links"]
        if not links:
            raise CannotStart(f"group {self._manner.name} shows no link")
        return links[0]
