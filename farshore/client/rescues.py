"""The part of a node's API about rescues: what copies held that a plan had overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farshore.client import transport
from farshore.client.calls import Calls
from farshore.client.documents import read
from farshore.client.role_moves import RoleMove

_LOOKING = 15.0
_DELETING = 240.0  # seconds that preserve stores may take to hand down what older layers need


class Rescues(Calls):
    """See the module."""

    def rescues(self, group: str) -> Mapping[str, Any]:
        """Those of all copies of a group that can be asked, oldest first."""
        return self.call("GET", _path(group, "rescues"), extra=_LOOKING)

    def delete_rescue(
        self, group: str, name: str, *, on: str | None = None, accept: str | None = None
    ) -> RoleMove:
        """Without `accept` the plan, with its id the rescue is deleted; `on`: NODE or NODE/COPY."""
        body = {key: value for key, value in {"name": name, "on": on, "accept": accept}.items() if value}
        return read(RoleMove, self.call("POST", _path(group, "rescues/delete"), body, extra=_DELETING))


def _path(group: str, what: str) -> str:
    return f"/v1/groups/{transport.quoted(group)}/{what}"
