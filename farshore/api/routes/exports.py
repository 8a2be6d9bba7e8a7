"""What NBD clients can open."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import exports

router = APIRouter(prefix="/exports", tags=["exports"])


@router.get("")
async def list_exports(node: TheNode) -> dict[str, Any]:
    return {"schema": 1, "exports": exports.all_exports(node)}


@router.post("")
async def create(node: TheNode, body: schema.Export) -> dict[str, Any]:
    made = await exports.create(node, body.group, body.volume, tcp=body.tcp, read_only=body.read_only)
    return {"schema": 1, "exports": made}


@router.delete("")
async def delete(
    node: TheNode, group: str, volume: str | None = None, tcp: str | None = None
) -> dict[str, Any]:
    return {"schema": 1, "exports": await exports.delete(node, group, volume, tcp)}
