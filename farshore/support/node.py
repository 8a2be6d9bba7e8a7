"""What a running node says of itself: each document of its API that tells how things are.

The first request that the node does not answer is the last: a node that hangs is asked once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from farshore.client import Node
from farshore.errors import FarshoreError
from farshore.support.parts import Missing, Part, of_document

_DOCUMENTS: Final = (
    ("node", "/v1/node"),
    ("status", "/v1/status"),
    ("nodes", "/v1/nodes"),
    ("groups", "/v1/groups"),
    ("exports", "/v1/exports"),
    ("devices", "/v1/devices"),
    ("doctor", "/v1/doctor"),
    ("topology", "/v1/topology"),
)
_SILENT: Final = ("unreachable", "timeout", "permission", "state-damaged")
_MOST_GROUPS: Final = 200


def documents(node: Node) -> Iterator[Part | Missing]:
    """One part per document, and one per group for its links."""
    groups: list[str] = []
    for name, path in _DOCUMENTS:
        try:
            answer = node.call("GET", path)
        except FarshoreError as error:
            yield Missing(f"node/{name}.json", f"{error.what} ({error.code.name})")
            if error.code.name in _SILENT:
                return
            continue
        yield of_document(f"node/{name}.json", answer)
        if name == "groups":
            groups = [str(each["name"]) for each in answer.get("groups", [])][:_MOST_GROUPS]
    for group in groups:
        yield _links(node, group)


def _links(node: Node, group: str) -> Part | Missing:
    name = f"node/links/{group}.json"
    try:
        answer: Any = node.call("GET", f"/v1/groups/{group}/links")
    except FarshoreError as error:
        return Missing(name, f"{error.what} ({error.code.name})")
    return of_document(name, answer)
