"""Drills: copies that are written for a while, over a snapshot."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import drills

router = APIRouter(tags=["drills"])


@router.get("/drills")
async def list_drills(node: TheNode, group: str | None = None) -> dict[str, Any]:
    return {"schema": 1, "drills": await drills.listed(node, group)}


@router.post("/groups/{group}/drills")
async def start(node: TheNode, group: str, body: schema.Drill) -> dict[str, Any]:
    wish = drills.Wish(body.on, body.at, body.limit)
    return {"schema": 1, "drill": await drills.start(node, group, wish)}


@router.delete("/groups/{group}/drills")
async def stop(node: TheNode, group: str, on: str | None = None) -> dict[str, Any]:
    return {"schema": 1, "drill": await drills.stop(node, group, on)}
