"""The part of a node's API that changes which volumes a group has, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farshore.client import transport
from farshore.client.calls import Calls

_RESHAPING = 120.0  # seconds that engines here and at the peers may take to end and to start
_GROWING = 700.0  # seconds that the copies of a chain may take to have room


class Volumes(Calls):
    """See the module."""

    def add_volumes(
        self, group: str, volumes: Sequence[Mapping[str, Any]], *, places: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """More volumes for a group whose links are paused; `places`: [LINK:]VOLUME -> path at the peer."""
        body = {"volumes": list(map(dict, volumes)), "places": dict(places or {})}
        return self.call("POST", _path(group), body, extra=_RESHAPING)

    def remove_volume(self, group: str, volume: str) -> bool:
        """Takes a volume out of a group whose links are paused; its content stays. True when every peer has
        been told."""
        path = _path(group, volume)
        return bool(self.call("DELETE", path, extra=_RESHAPING).get("peers_told", True))

    def resize_volume(self, group: str, volume: str, size: int) -> Mapping[str, Any]:
        """Makes a volume larger, at every copy, while it is used; `size` in bytes. The size that it had is
        `before` in the answer."""
        return self.call("POST", _path(group, volume, "size"), {"size": size}, extra=_GROWING)


def _path(group: str, *rest: str) -> str:
    return "/v1/" + "/".join(transport.quoted(each) for each in ("groups", group, "volumes", *rest))
