"""Requests and replies between two nodes: the framing of `farshore.wire.control` over an asyncio stream.

Every wait has a bound in time and every message one in bytes: a stranger gets little of both. Errors of
the network become `unreachable`, silence becomes `timeout`, nonsense `protocol`; nothing else escapes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any

from farshore.errors import FarshoreError, ProtocolError
from farshore.wire import control

_CHUNK = 64 << 10
_log = logging.getLogger(__name__)
STRANGERS_BYTES = 32 << 10
PEERS_BYTES = 4 << 20
WELCOME = 0
"""The id of the reply with which an accepting node says, unasked, that it knows the other's key."""


class Conversation:
    """One connection. `most` is the longest message accepted, in bytes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int = PEERS_BYTES
    ) -> None:
        self.writer = writer
        self._reader = reader
        self._most = most
        self._decoder = control.Decoder()
        self._unfinished = 0
        self._ready: deque[dict[str, object]] = deque()
        self._last_id = 0

    async def call(self, op: str, args: Mapping[str, object], seconds: float) -> dict[str, Any]:
        """Sends a request and returns the result of its reply.

        Raises the FarshoreError that the other end answered, or `unreachable`, `timeout`, `protocol`.
        """
        self._last_id += 1
        request = control.Request(self._last_id, op, dict(args))
        reply = control.as_reply(await self._exchange(control.encode_request(request), seconds))
        if reply.id != request.id:
            raise ProtocolError(f"the reply to request {request.id} carries the number {reply.id}")
        if reply.error is not None:
            raise reply.error
        if not isinstance(reply.result, dict):
            raise ProtocolError("the result of a request is not an object")
        return reply.result

    async def request(self, seconds: float) -> control.Request | None:
        """The next request, None when the other end has closed. Raises as `call`."""
        message = await self._guarded(self._message(), seconds)
        return None if message is None else control.as_request(message)

    async def welcomed(self, address: str, seconds: float) -> None:
        """Waits for the accepting node's welcome, without which the connection is good for nothing.

        In TLS 1.3 the connecting end's handshake is over before the other end has looked at its certificate,
        and an end that is refused may see no more than a closed connection.
        Raises FarshoreError `unknown-peer`, or as `call`.
        """
        message: dict[str, object] | None = await self._guarded(self._message(), seconds)
        if message is None:
            raise FarshoreError(
                "unknown-peer",
                f"{address} closed the connection without a welcome: it does not know our key",
                means="nothing was changed there",
                next_step="pair the two nodes again: farshore node invite there, farshore node join here",
            )
        if control.as_reply(message).id != WELCOME:
            raise ProtocolError("a connection between nodes does not begin with a welcome")

    async def answer(self, reply: control.Reply, seconds: float = 10.0) -> None:
        """Sends a reply. Raises as `call`."""
        self.writer.write(control.encode_reply(reply))
        await self._guarded(self.writer.drain(), seconds)

    async def close(self, seconds: float = 2.0) -> None:
        """Closes politely within `seconds`, else at once. Never raises for what the other end does."""
        self.writer.close()
        try:
            async with asyncio.timeout(seconds):
                await self.writer.wait_closed()
        except TimeoutError:
            self.writer.transport.abort()
        except OSError as error:
            _log.debug("closing a connection: %s", error)  # it is gone, which is what was wanted

    async def _exchange(self, data: bytes, seconds: float) -> dict[str, object]:
        self.writer.write(data)
        message: dict[str, object] | None = await self._guarded(self._message(), seconds)
        if message is None:
            raise FarshoreError("unreachable", "the other end closed the connection before it answered")
        return message

    async def _message(self) -> dict[str, object] | None:
        while not self._ready:
            data = await self._reader.read(_CHUNK)
            if not data:
                return None
            self._unfinished += len(data)
            for message in self._decoder.feed(data):
                self._ready.append(message)
                self._unfinished = 0
            if self._unfinished > self._most:
                raise ProtocolError(f"a message of more than {self._most} bytes")
        return self._ready.popleft()

    async def _guarded(self, waiting: Any, seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError as error:
            raise FarshoreError("timeout", f"the other end did not answer within {seconds:g} s") from error
        except OSError as error:
            raise network_error(error) from error


def network_error(error: OSError, address: str = "the other end") -> FarshoreError:
    """The catalogue's error for what a socket or a TLS handshake raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return FarshoreError(
            "unknown-peer",
            f"{address} showed another key than the one that we paired with",
            means="nothing was sent to it",
            next_step="if the node was set up anew: farshore node forget it here, then invite and join again",
        )
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in reason and ("CERT" in reason or "UNKNOWN_CA" in reason):
        return FarshoreError(
            "unknown-peer",
            f"{address} does not know our key",
            means="it refused the connection; nothing was changed",
            next_step="pair the two nodes again: farshore node invite there, farshore node join here",
        )
    said = f"TLS: {reason}" if reason else error.strerror or str(error) or type(error).__name__
    return FarshoreError(
        "unreachable",
        f"{address}: {said}",
        means="nothing was changed there",
        next_step="see whether that node runs and the line is up",
    )


@contextlib.asynccontextmanager
async def closing(conversation: Conversation) -> Any:
    """Closes the conversation at the end of the block, whatever happens in it."""
    try:
        yield conversation
    finally:
        await conversation.close()
