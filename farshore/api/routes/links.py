"""The links of a group."""

from typing import Any

from fastapi import APIRouter

from farshore.api import schema
from farshore.api.routes.the_node import TheNode
from farshore.node import groups, links
from farshore.node.links import LinkWish

router = APIRouter(prefix="/groups/{group}/links", tags=["links"])


@router.get("")
async def list_links(node: TheNode, group: str) -> dict[str, Any]:
    config = node.copies.of_group(group)[0].config
    return {"schema": 1, "links": [links.document(config, link) for link in config.links]}


@router.post("", status_code=201)
async def create(node: TheNode, group: str, body: schema.Link) -> dict[str, Any]:
    link = await links.create(
        node, group, LinkWish(body.peer, body.name, body.via, body.places, body.options)
    )
    return {"schema": 1, **links.document(groups.primary(node, group).config, link)}


@router.get("/{name}")
async def show(node: TheNode, group: str, name: str) -> dict[str, Any]:
    config = node.copies.of_group(group)[0].config
    return {"schema": 1, **links.document(config, links.find(config, name))}


@router.patch("/{name}")
async def change(node: TheNode, group: str, name: str, body: schema.LinkChange) -> dict[str, Any]:
    link = await links.change(node, group, name, body.options)
    return {"schema": 1, **links.document(groups.primary(node, group).config, link)}


@router.delete("/{name}")
async def delete(node: TheNode, group: str, name: str) -> dict[str, Any]:
    told = await links.delete(node, group, name)
    return {"schema": 1, "group": group, "name": name, "peer_told": told}
