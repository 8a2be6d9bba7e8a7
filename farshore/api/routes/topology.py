"""Which nodes hold copies of the groups of this one, `farshore topology --json`."""

from typing import Any

from fastapi import APIRouter

from farshore.api.routes.the_node import TheNode
from farshore.node import topology

router = APIRouter(tags=["status"])


@router.get("/topology")
async def show(node: TheNode, group: str | None = None) -> dict[str, Any]:
    return await topology.document(node, group)
