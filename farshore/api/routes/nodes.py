"""The nodes that this one is paired with, and where each may place copies here."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import doctor, membership

router = APIRouter(prefix="/nodes", tags=["nodes"])


@router.get("")
async def list_nodes(node: TheNode) -> dict[str, Any]:
    connected = await doctor.connected(node)
    peers = node.peers.all()
    return {
        "schema": 1,
        "nodes": [
            membership.document(peer, connected.get(peer.id, False), node.rates.bound(peer.id))
            for peer in peers
        ],
    }


@router.patch("/{name}")
async def change(node: TheNode, name: str, body: schema.PeerChange) -> dict[str, Any]:
    if body.max_rate is not None:
        membership.set_max_rate(node, name, body.max_rate)
    if body.address is not None:
        await membership.set_address(node, name, body.address)
    if name == node.name:
        return {"schema": 1, **node.about(), "max_rate": body.max_rate or None}
    peer = node.peers.named(name)
    return {"schema": 1, **membership.document(peer, None, node.rates.bound(peer.id))}


@router.delete("/{name}")
async def forget(node: TheNode, name: str) -> dict[str, Any]:
    return {"schema": 1, **membership.document(await membership.forget(node, name), None)}


@router.post("/{name}/grants")
async def allow(node: TheNode, name: str, body: schema.Grant) -> dict[str, Any]:
    return {"schema": 1, **membership.document(node.peers.allow(name, body.path), None)}


@router.delete("/{name}/grants")
async def disallow(node: TheNode, name: str, path: str) -> dict[str, Any]:
    return {"schema": 1, **membership.document(node.peers.disallow(name, path), None)}
