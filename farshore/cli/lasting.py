"""Ends a waiting that only a command would end: a peer answers, and will not have the link as things are.

What the node's status shows may be older than the waiting, and whoever waits may just have mended it. So a
refusal counts once the peer has said it anew. A peer that is merely away is waited for.
"""

from __future__ import annotations

from collections.abc import Collection

from farshore.client.answers import Group, Link
from farshore.errors import CODES, FarshoreError


class LastingRefusals:
    """What the peers of a group's links had said before. `seen`: links as they stood when the wait began."""

    def __init__(self, seen: Collection[Link] = ()) -> None:
        self._heard = {each.name: _heard(each) for each in seen if each.state is not None}

    def look(self, group: Group, links: Collection[Link]) -> None:
        """Raises FarshoreError where the peer of one of these links has refused it for good since then."""
        for link in links:
            if self.has(link):
                raise refusal(group, link)

    def has(self, link: Link) -> bool:
        """Whether its peer has refused it for good since then."""
        if link.state is None:
            return False  # its engine does not answer just now, so that nothing of it is known
        before, heard = self._heard.setdefault(link.name, _heard(link)), _heard(link)
        return heard != before and link.refused is not None and link.refused.lasting


def refusal(group: Group, link: Link) -> FarshoreError:
    """What a link's peer has said, for whoever waits for that link."""
    code = link.refused.code if link.refused is not None else ""
    named = code if code in CODES and code != "not-found" else "wrong-state"
    return FarshoreError(
        named,
        f"link {group.name}/{link.name} to {link.peer} is refused by its peer ({code}): {link.why or ''}",
        means="waiting does not mend it; nothing was overwritten, and what changes is marked for that peer",
        next_step=link.next or group.next or f"farshore status {group.name}",
    )


def _heard(link: Link) -> str | None:
    return None if link.refused is None else link.refused.heard
