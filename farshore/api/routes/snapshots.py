"""Snapshots of whole groups: made at one cut, looked at, deleted."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import snapshots

router = APIRouter(prefix="/groups/{group}/snapshots", tags=["snapshots"])


@router.get("")
async def list_snapshots(node: TheNode, group: str) -> dict[str, Any]:
    return {"schema": 1, **await snapshots.listed(node, group)}


@router.post("", status_code=201)
async def create(node: TheNode, group: str, body: schema.Snapshot) -> dict[str, Any]:
    return {"schema": 1, **await snapshots.create(node, group, body.name)}


@router.get("/{name}")
async def look(node: TheNode, group: str, name: str, generation: str, sequence: int) -> dict[str, Any]:
    cut = snapshots.Cut(name, generation, sequence)
    return {"schema": 1, **await snapshots.look(node, group, cut)}


@router.delete("/{name}")
async def delete(node: TheNode, group: str, name: str) -> dict[str, Any]:
    return {"schema": 1, **await snapshots.delete(node, group, name)}
