"""Who of a group's copies is the primary: plans, and carrying them out."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import failover, rewind, split_brain, switchover
from farshore.node.switchover import Wish

router = APIRouter(prefix="/groups/{group}", tags=["roles"])


@router.post("/switchover")
async def switch_over(node: TheNode, group: str, body: schema.RoleMove) -> dict[str, Any]:
    return {"schema": 1, **await switchover.switchover(node, _wish(group, body))}


@router.post("/failover")
async def fail_over(node: TheNode, group: str, body: schema.RoleMove) -> dict[str, Any]:
    return {"schema": 1, **await failover.failover(node, _wish(group, body))}


@router.post("/failover/revert")
async def revert(node: TheNode, group: str, body: schema.RoleMove) -> dict[str, Any]:
    return {"schema": 1, **await failover.revert(node, _wish(group, body))}


@router.post("/failover/commit")
async def commit(node: TheNode, group: str, body: schema.Empty) -> dict[str, Any]:
    return {"schema": 1, **await failover.commit(node, group)}


@router.post("/failback")
async def fail_back(node: TheNode, group: str, body: schema.RoleMove) -> dict[str, Any]:
    return {"schema": 1, **await split_brain.failback(node, _wish(group, body))}


@router.post("/rewind")
async def go_back(node: TheNode, group: str, body: schema.Rewind) -> dict[str, Any]:
    wish = rewind.Wish(group, body.node, body.time, body.snapshot, body.accept, body.timeout)
    return {"schema": 1, **await rewind.rewind(node, wish)}


@router.get("/split-brain")
async def show(node: TheNode, group: str) -> dict[str, Any]:
    return {"schema": 1, **await split_brain.show(node, group)}


@router.post("/split-brain/preview")
async def preview(node: TheNode, group: str, body: schema.Preview) -> dict[str, Any]:
    return {"schema": 1, **await split_brain.preview(node, group, end=body.end)}


@router.post("/split-brain/resolve")
async def resolve(node: TheNode, group: str, body: schema.RoleMove) -> dict[str, Any]:
    return {"schema": 1, **await split_brain.resolve(node, _wish(group, body))}


def _wish(group: str, body: schema.RoleMove) -> Wish:
    return Wish(group, body.node, body.accept, body.timeout, body.unprotected)
