"""Volumes that are attached as devices of this host."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import device_states, devices
from farshore.node.devices import DeviceWish

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("")
async def list_devices(node: TheNode) -> dict[str, Any]:
    return {"schema": 1, "devices": await device_states.documents(node)}


@router.post("", status_code=201)
async def attach(node: TheNode, body: schema.Device) -> dict[str, Any]:
    wish = DeviceWish(body.group, body.volume, body.at, body.way, body.hold, body.read_only)
    return {"schema": 1, "devices": await devices.attach(node, wish)}


@router.delete("")
async def detach(node: TheNode, group: str, volume: str | None = None) -> dict[str, Any]:
    return {"schema": 1, "devices": await devices.detach(node, group, volume)}
