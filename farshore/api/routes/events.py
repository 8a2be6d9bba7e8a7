"""The journal of events."""

from typing import Any

from fastapi import APIRouter

from farshore.api.routes.the_node import TheNode
from farshore.node.events import check_since

router = APIRouter(tags=["events"])


@router.get("/events")
async def after(node: TheNode, since: int = 0, wait: float = 0.0) -> dict[str, Any]:
    """Events with ids above `since`; where there are none, waits up to `wait` seconds for one."""
    check_since(since)
    events = await node.journal.wait(since, wait) if wait > 0 else node.journal.after(since)
    return {"schema": 1, "events": events, "next": events[-1]["id"] if events else since}
