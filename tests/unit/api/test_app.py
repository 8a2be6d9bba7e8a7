"""What stands in front of the routes: a request that a stop cuts off is answered as such."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from farshore.api.app import EndsWithTheNode


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.get_running_loop().create_future()


async def _begun(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.get_running_loop().create_future()


async def _cut_off(app: Any, *, stopping: bool) -> list[Message]:
    sent: list[Message] = []
    event = asyncio.Event()
    began = asyncio.Event()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def request() -> None:
        began.set()
        await EndsWithTheNode(app, event)({"type": "http"}, receive, send)

    task = asyncio.create_task(request())
    await began.wait()
    if stopping:
        event.set()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return sent


def test_a_request_that_the_stop_cuts_off_is_told_so() -> None:
    start, body = asyncio.run(_cut_off(_never, stopping=True))
    assert start["status"] == 503
    assert json.loads(body["body"])["code"] == "unreachable"


@pytest.mark.parametrize(("app", "stopping", "messages"), [(_never, False, 0), (_begun, True, 1)])
def test_other_ends_are_not_papered_over(app: Any, stopping: bool, messages: int) -> None:
    assert len(asyncio.run(_cut_off(app, stopping=stopping))) == messages
