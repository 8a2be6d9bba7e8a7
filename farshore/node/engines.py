"""Asks an engine for something over its control socket, and hands peers' sockets to it.

One connection per request: a Unix socket costs little, and an engine that was restarted is simply
found again. Every wait has a bound.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.node.conversation import Conversation, closing
from farshore.wire import control

ASK_SECONDS = 5.0
_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class EngineClient:
    """The engine behind one control socket; `group` is for messages to people."""

    path: str
    group: str

    async def ask(
        self, op: str, args: Mapping[str, object] | None = None, seconds: float = ASK_SECONDS
    ) -> dict[str, Any]:
        """The result of `op`.

        Raises FarshoreError: what the engine answered, `unreachable` where none listens, `timeout` where it
        is silent for `seconds`, or `protocol`.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self.path)
        except OSError as error:
            raise self.gone() from error
        async with closing(Conversation(reader, writer)) as conversation:
            answer: dict[str, Any] = await conversation.call(op, args or {}, seconds)
            return answer

    async def adopt(self, link: bytes, preface: bytes, connection: socket.socket) -> None:
        """Hands over a peer's socket; the caller closes its own descriptor of it afterwards.

        Raises as `ask`.
        """
        request = control.Request(1, "adopt", {"link": link.hex(), "preface": preface.hex()})
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.setblocking(False)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await asyncio.get_running_loop().sock_connect(door, self.path)
                    data = control.encode_request(request)
                    # A fresh socket's buffer takes these few hundred bytes at once, so the descriptor
                    # travels with the first byte and nothing is left over.
                    if socket.send_fds(door, [data], [connection.fileno()]) != len(data):
                        raise OSError("the control socket took only a part of the request")
                    reply = await _reply(door)
            except TimeoutError as error:
                raise FarshoreError("timeout", f"the engine of {self.group} took no socket") from error
            except OSError as error:
                raise self.gone() from error
        if reply.error is not None:
            raise reply.error

    def gone(self) -> FarshoreError:
        """The error for an engine that is not there."""
        return FarshoreError(
            "unreachable",
            f"the engine of group {self.group} does not answer",
            means="writes to its volumes wait or fail until it runs again; the node restarts it by itself",
            next_step="farshore status and farshore events say why",
        )


async def _reply(door: socket.socket) -> control.Reply:
    decoder = control.Decoder()
    while True:
        data = await asyncio.get_running_loop().sock_recv(door, _CHUNK)
        if not data:
            raise ProtocolError("the engine closed its control socket before it answered")
        for message in decoder.feed(data):
            return control.as_reply(message)
