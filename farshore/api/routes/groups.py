"""Groups: what exists on this node, and the commands to a group's engine."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import (
    bare_resync,
    commands,
    groups,
    preserve_size,
    repair,
    reshaping,
    resizing,
    reverse,
    verify_repair,
)
from farshore.node.intent import GroupWish, VolumeWish

router = APIRouter(prefix="/groups", tags=["groups"])


@router.get("")
async def list_groups(node: TheNode) -> dict[str, Any]:
    return {"schema": 1, "groups": [groups.document(stored) for stored in node.copies.all()]}


@router.post("", status_code=201)
async def create(node: TheNode, body: schema.Group) -> dict[str, Any]:
    volumes = tuple(VolumeWish(each.name, each.path, each.size, each.outage) for each in body.volumes)
    stored = await groups.create(node, GroupWish(body.name, volumes, body.region, body.on_start))
    return {"schema": 1, **groups.document(stored)}


@router.get("/{name}")
async def show(node: TheNode, name: str) -> dict[str, Any]:
    return {"schema": 1, **groups.document(node.copies.of_group(name)[0])}


@router.patch("/{name}")
async def change(node: TheNode, name: str, body: schema.GroupChange) -> dict[str, Any]:
    return {"schema": 1, **await preserve_size.set_limit(node, name, body.preserve)}


@router.delete("/{name}")
async def delete(node: TheNode, name: str) -> dict[str, Any]:
    await groups.delete(node, name)
    return {"schema": 1, "name": name}


@router.post("/{name}/volumes")
async def add(node: TheNode, name: str, body: schema.MoreVolumes) -> dict[str, Any]:
    volumes = tuple(VolumeWish(each.name, each.path, each.size, each.outage) for each in body.volumes)
    stored = await reshaping.add(node, name, reshaping.Growth(volumes, body.places))
    return {"schema": 1, **groups.document(stored)}


@router.delete("/{name}/volumes/{volume}")
async def remove(node: TheNode, name: str, volume: str) -> dict[str, Any]:
    told = await reshaping.remove(node, name, volume)
    return {"schema": 1, "name": name, "volume": volume, "peers_told": told}


@router.post("/{name}/volumes/{volume}/size")
async def resize(node: TheNode, name: str, volume: str, body: schema.VolumeSize) -> dict[str, Any]:
    return {"schema": 1, **await resizing.resize(node, name, volume, body.size)}


@router.post("/{name}/pause")
async def pause(node: TheNode, name: str, body: schema.Pause) -> dict[str, Any]:
    seconds = body.timeout if body.drain else None
    return {"schema": 1, **await commands.pause(node, name, body.link, seconds)}


@router.post("/{name}/resync")
async def resync(node: TheNode, name: str, body: schema.Resync) -> dict[str, Any]:
    wish = commands.ResyncWish(body.kind, body.once, body.unprotected)
    if body.unprotected:
        await bare_resync.refuse_waiting(node, name, body.link)
    return {"schema": 1, **await commands.resync(node, name, body.link, wish)}


@router.post("/{name}/resync/unprotected")
async def resync_unprotected(node: TheNode, name: str, body: schema.BareResync) -> dict[str, Any]:
    wish = bare_resync.BareWish(commands.ResyncWish(body.kind, body.once), body.accept, body.look)
    return {"schema": 1, **await bare_resync.resync(node, name, body.link, wish)}


@router.post("/{name}/resync/reverse")
async def resync_reverse(node: TheNode, name: str, body: schema.ReverseResync) -> dict[str, Any]:
    wish = reverse.ReverseWish(
        group=name, link=body.link, kind=body.kind, accept=body.accept, unprotected=body.unprotected
    )
    return {"schema": 1, **await reverse.reverse(node, wish)}


@router.get("/{name}/repair")
async def repair_plan(node: TheNode, name: str) -> dict[str, Any]:
    return {"schema": 1, **await repair.plan(node, name)}


@router.post("/{name}/repair")
async def repair_group(node: TheNode, name: str, body: schema.Repair) -> dict[str, Any]:
    return {"schema": 1, **await repair.repair(node, name, body.accept)}


@router.post("/{name}/verify")
async def verify(node: TheNode, name: str, body: schema.Verify) -> dict[str, Any]:
    answer = await commands.verify(node, name, body.link, halt=body.halt, rate=body.max_rate)
    return {"schema": 1, **answer}


@router.post("/{name}/verify/stop")
async def stop_verify(node: TheNode, name: str, body: schema.VerifyStop) -> dict[str, Any]:
    return {"schema": 1, **await commands.end_verify(node, name, body.link)}


@router.post("/{name}/verify/schedule")
async def schedule_verify(node: TheNode, name: str, body: schema.VerifySchedule) -> dict[str, Any]:
    return {"schema": 1, **await commands.schedule_verify(node, name, body.link, body.every)}


@router.post("/{name}/verify/repair")
async def repair_found(node: TheNode, name: str, body: schema.VerifyRepair) -> dict[str, Any]:
    return {"schema": 1, **await verify_repair.repair_found(node, name, body.link, body.accept)}
