"""The REST interface as an ASGI application in front of one node."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from farshore import __version__
from farshore.api import problems
from farshore.api.routes import (
    devices,
    drills,
    events,
    exports,
    groups,
    host,
    links,
    nodes,
    rescues,
    roles,
    snapshots,
    status,
    topology,
)
from farshore.errors import FarshoreError
from farshore.node.node import Node

_LOCAL = ("localhost", "127.0.0.1", "[::1]", "farshore")
Application: TypeAlias = FastAPI


class LocalHostOnly:
    """Over TCP, serves only requests that were meant for this host.

    A web page that a browser on this host shows can make it send requests to a loopback port, under a
    name that its author chose. Unix sockets are not within a browser's reach.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _meant_for_us(scope):
            error = FarshoreError("permission", "the API answers local clients only")
            response = JSONResponse(problems.document(error), error.code.http, media_type=problems.MEDIA_TYPE)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


class EndsWithTheNode:
    """Answers a request that the node's stop cuts off; without it the server calls that a defect."""

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def sending(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if answered or scope["type"] != "http" or not self._stopping.is_set():
                raise
            error = FarshoreError(
                "unreachable",
                "the node has stopped before the request was done",
                means="it may be done in part; engines are not affected",
                next_step="farshore node start; farshore status",
            )
            response = JSONResponse(problems.document(error), error.code.http, media_type=problems.MEDIA_TYPE)
            await response(scope, receive, send)


def make_app(node: Node) -> Application:
    """The application for a node."""
    app = FastAPI(title="Farshore", version=__version__, openapi_url="/v1/openapi.json")
    app.state.node = node
    app.add_middleware(LocalHostOnly)
    app.add_middleware(EndsWithTheNode, stopping=node.stopping)
    problems.install(app)
    of_groups = (groups, links, roles, rescues, snapshots, exports, drills, devices)
    for noun in (host, nodes, *of_groups, status, topology, events):
        app.include_router(noun.router, prefix="/v1")
    return app


def _meant_for_us(scope: Scope) -> bool:
    server = scope.get("server")
    if server is None or server[1] is None:  # a Unix socket has no port
        return True
    headers = dict(scope["headers"])
    if b"origin" in headers:
        return False
    host = headers.get(b"host", b"").decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name in _LOCAL
