"""How a route gets at its node."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from farshore.node.node import Node


def _node(request: Request) -> Node:
    node: Node = request.app.state.node
    return node


TheNode = Annotated[Node, Depends(_node)]
