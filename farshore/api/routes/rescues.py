"""Rescues: what copies held that a plan had overwritten."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import rescues

router = APIRouter(prefix="/groups/{group}/rescues", tags=["rescues"])


@router.get("")
async def list_rescues(node: TheNode, group: str) -> dict[str, Any]:
    return {"schema": 1, **await rescues.listed(node, group)}


@router.post("/delete")
async def delete(node: TheNode, group: str, body: schema.RescueDelete) -> dict[str, Any]:
    wish = rescues.DeleteWish(group=group, name=body.name, on=body.on, accept=body.accept)
    return {"schema": 1, **await rescues.delete(node, wish)}
