"""What NBD clients can open, and which of them may where TLS asks them who they are."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import export_clients, exports, groups

router = APIRouter(prefix="/exports", tags=["exports"])


@router.get("")
async def list_exports(node: TheNode) -> dict[str, Any]:
    return {"schema": 1, "exports": await exports.all_exports(node)}


@router.post("")
async def create(node: TheNode, body: schema.Export) -> dict[str, Any]:
    wish = exports.Wish(body.tcp, body.read_only, body.tls, tuple(body.names), body.snapshot, body.copy_name)
    return {"schema": 1, "exports": await exports.create(node, body.group, body.volume, wish)}


@router.delete("")
async def delete(node: TheNode, of: Annotated[schema.ExportChoice, Query()]) -> dict[str, Any]:
    wish = exports.Wish(of.tcp, snapshot=of.snapshot, copy=of.copy_name)
    return {"schema": 1, "exports": await exports.delete(node, of.group, of.volume, wish)}


@router.get("/clients")
async def list_clients(node: TheNode, group: str) -> dict[str, Any]:
    return {"schema": 1, "clients": export_clients.listed(groups.held(node, group).config)}


@router.post("/clients", status_code=201)
async def allow(node: TheNode, body: schema.ExportClient) -> dict[str, Any]:
    return {"schema": 1, **await export_clients.allow(node, body.group, body.client)}


@router.delete("/clients")
async def disallow(node: TheNode, group: str, client: str) -> dict[str, Any]:
    await export_clients.disallow(node, group, client)
    return {"schema": 1, "group": group, "client": client}
