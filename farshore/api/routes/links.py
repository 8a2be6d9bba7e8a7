"""The links of a group: those that begin here, and hops that were made from here."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import groups, hops, links, reroute
from farshore.node.links import LinkWish

router = APIRouter(prefix="/groups/{group}/links", tags=["links"])


@router.get("")
async def list_links(node: TheNode, group: str) -> dict[str, Any]:
    return {"schema": 1, "links": await hops.documents(node, group)}


@router.post("", status_code=201)
async def create(node: TheNode, group: str, body: schema.Link) -> dict[str, Any]:
    wish = LinkWish(body.peer, body.name, None, body.places, body.options)
    if body.via is not None:
        return {"schema": 1, **await hops.create(node, group, wish, body.via)}
    link = await links.create(node, group, wish)
    return {"schema": 1, **links.document(groups.feeding(node, group, link.spec.name).config, link)}


@router.get("/{name}")
async def show(node: TheNode, group: str, name: str) -> dict[str, Any]:
    return {"schema": 1, **(await hops.documents(node, group, name))[0]}


@router.patch("/{name}")
async def change(node: TheNode, group: str, name: str, body: schema.LinkChange) -> dict[str, Any]:
    return {"schema": 1, **await hops.change(node, group, name, body.options)}


@router.post("/{name}/reroute")
async def point_elsewhere(node: TheNode, group: str, name: str, body: schema.Reroute) -> dict[str, Any]:
    return {"schema": 1, **await reroute.reroute(node, group, name, body.via)}


@router.delete("/{name}")
async def delete(node: TheNode, group: str, name: str) -> dict[str, Any]:
    told = await hops.delete(node, group, name)
    return {"schema": 1, "group": group, "name": name, "peer_told": told}
