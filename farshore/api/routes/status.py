"""The status document, `farshore status --json`."""

from typing import Any

from fastapi import APIRouter

from farshore.api.routes.the_node import TheNode
from farshore.node import status

router = APIRouter(tags=["status"])


@router.get("/status")
async def show(node: TheNode, group: str | None = None) -> dict[str, Any]:
    return await status.document(node, group)
