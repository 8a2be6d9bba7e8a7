"""Asks an engine or a device for something over its control socket, and hands peers' sockets to engines.

One connection per request: a Unix socket costs little, and a process that was restarted is simply
found again. Every wait has a bound.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.node.conversation import Conversation, closing
from farshore.wire import control

ASK_SECONDS = 5.0
_CHUNK = 64 << 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineClient:
    """The process behind one control socket; `called` is for messages to people."""

    path: str
    called: str
    without: str = "writes to its volumes wait or fail until it runs again; the node restarts it by itself"
    """What it means that it does not answer."""

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

    async def adopt(self, link: bytes, preface: bytes, connection: socket.socket) -> bool:
        """Hands over a peer's socket; the caller closes its own descriptor of it afterwards.

        False when it was sent and no answer came: the engine may have it, and nothing more may be said or
        ended there. Raises as `ask` while the socket is certainly the caller's alone.
        """
        request = control.Request(1, "adopt", {"link": link.hex(), "preface": preface.hex()})
        sent = False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.setblocking(False)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await asyncio.get_running_loop().sock_connect(door, self.path)
                    data = control.encode_request(request)
                    # A fresh socket's buffer takes these few hundred bytes at once, so the descriptor
                    # travels with the first byte and nothing is left over.
                    taken = socket.send_fds(door, [data], [connection.fileno()])
                    sent = True
                    if taken != len(data):
                        raise OSError("the control socket took only a part of the request")
                    reply = await _reply(door)
            except (OSError, ProtocolError) as error:  # a TimeoutError is an OSError
                if sent:
                    _log.warning("the %s did not say whether it took a socket: %r", self.called, error)
                    return False
                if isinstance(error, TimeoutError):
                    raise FarshoreError("timeout", f"the {self.called} took no socket") from error
                raise self.gone() from error
        if reply.error is not None:
            raise reply.error
        return True

    def gone(self) -> FarshoreError:
        """The error for a process that is not there."""
        return FarshoreError(
            "unreachable",
            f"the {self.called} does not answer",
            means=self.without,
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
