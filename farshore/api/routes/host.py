"""The node itself: what it is, pairing it with others, stopping it."""

import os
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.errors import FarshoreError
from farshore.node import announce, devices, doctor, membership, status
from farshore.node.events import rfc3339

router = APIRouter(tags=["node"])


@router.get("/node")
async def show(node: TheNode) -> dict[str, Any]:
    connected = await doctor.connected(node)
    return {
        "schema": 1,
        "node": node.about(),
        "pid": os.getpid(),
        "listen": str(node.listening),
        "api": node.api,
        "max_rate": node.rates.bound(node.identity.fingerprint) or None,
        "engines": status.engines(node),
        "peers": [
            {"name": peer.name, "id": peer.id, "connected": connected.get(peer.id, False)}
            for peer in node.peers.all()
        ],
    }


@router.post("/node/stop")
async def stop(node: TheNode, body: schema.NodeStop) -> dict[str, Any]:
    """What is to stop has stopped when this answers; the node itself ends right after.

    A device in use refuses, and then nothing has been stopped.
    """
    if body.devices:
        await devices.stop_all(node)
    node.stop_engines = body.engines
    if body.engines:
        await node.supervisor.stop_all()
    node.stopping.set()
    return {"schema": 1, "engines": body.engines, "devices": body.devices}


@router.post("/node/rotate-key")
async def rotate_key(node: TheNode, body: schema.Empty) -> dict[str, Any]:
    raise FarshoreError(
        "wrong-state",
        "the key of a node cannot be replaced yet",
        means="nothing was changed",
        next_step="if others may know the key: docs/cli.md, Nodes, has the steps to a new one",
    )


@router.post("/node/invite")
async def invite(node: TheNode, body: schema.Invite) -> dict[str, Any]:
    token = membership.invite(node, body.ttl)
    return {
        "schema": 1,
        "token": token.encode(),
        "address": token.address,
        "fingerprint": token.fingerprint,
        "expires": rfc3339(datetime.fromtimestamp(token.expires, UTC)),
    }


@router.post("/node/join")
async def join(node: TheNode, body: schema.Join) -> dict[str, Any]:
    peer = await membership.join(node, body.address, body.token)
    return {"schema": 1, "name": peer.name, "id": peer.id}


@router.post("/network-changed", status_code=202)
async def network_changed(node: TheNode, response: Response) -> dict[str, Any]:
    """The hook for the host's network events."""
    announce.network_changed(node)
    return {"schema": 1}


@router.get("/doctor")
async def checks(node: TheNode) -> dict[str, Any]:
    return {"schema": 1, "checks": await doctor.checks(node)}
