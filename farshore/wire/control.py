"""The engine's control socket: JSON objects, each behind its length.

Requests carry a version, a number that the reply repeats, an operation and its arguments; replies
carry a result or an error of the catalogue. Which operations exist is the engine's business.
Format: `docs/formats.md`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from farshore.errors import FarshoreError, ProtocolError
from farshore.model.messages import Buffer

VERSION: Final = 1
SPOKEN: Final = frozenset((VERSION,))
"""Versions that are understood: the present one and the one before it, once there is one."""
MAX_MESSAGE: Final = 16 << 20
"""Bytes of JSON in one message."""

_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Request:
    """What the node asks of an engine."""

    id: int
    op: str
    args: dict[str, object] = field(default_factory=dict)
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request of the same id: `error` when it failed, else `result`, any JSON value."""

    id: int
    result: object = None
    error: FarshoreError | None = None
    version: int = VERSION


def encode(message: Mapping[str, object]) -> bytes:
    """One message. Raises ValueError where it exceeds `MAX_MESSAGE` or is not JSON."""
    text = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MAX_MESSAGE:
        raise ValueError(f"a control message of {len(text)} bytes is too long")
    return _LENGTH.pack(len(text)) + text


def encode_request(request: Request) -> bytes:
    """The bytes of a request."""
    return encode({"v": request.version, "id": request.id, "op": request.op, "args": request.args})


def encode_reply(reply: Reply) -> bytes:
    """The bytes of a reply."""
    if reply.error is not None:
        return encode({"v": reply.version, "id": reply.id, "error": reply.error.as_dict()})
    return encode({"v": reply.version, "id": reply.id, "ok": reply.result})


def as_request(message: Mapping[str, object]) -> Request:
    """Raises ProtocolError where the message is no request of a version in `SPOKEN`."""
    version, number = _envelope(message)
    op, args = message.get("op"), message.get("args", {})
    if not isinstance(op, str) or not isinstance(args, dict):
        raise ProtocolError("a control request needs an operation and an object of arguments")
    return Request(number, op, args, version)


def as_reply(message: Mapping[str, object]) -> Reply:
    """Raises ProtocolError where the message is no reply of a version in `SPOKEN`."""
    version, number = _envelope(message)
    if "ok" in message:
        return Reply(number, message["ok"], None, version)
    error = message.get("error")
    if not isinstance(error, dict) or not all(isinstance(value, str) for value in error.values()):
        raise ProtocolError("a control reply has neither a result nor an error")
    return Reply(number, None, FarshoreError.from_dict(error), version)


def _envelope(message: Mapping[str, object]) -> tuple[int, int]:
    version, number = message.get("v"), message.get("id")
    if type(version) is not int or version not in SPOKEN:
        raise ProtocolError(f"control version {version!r} is not understood")
    if type(number) is not int:
        raise ProtocolError("a control message needs a number as its id")
    return version, number


class Decoder:
    """Collects what arrives on one control connection. Never holds more than one message of the
    greatest length and what was fed last."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: Buffer) -> Iterator[dict[str, object]]:
        """Takes the bytes at once; yields each message that they complete.

        Raises ProtocolError; the connection cannot be used after that.
        """
        self._pending += data
        return self._complete()

    def _complete(self) -> Iterator[dict[str, object]]:
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > MAX_MESSAGE:
                raise ProtocolError(f"a control message of {length} bytes is too long")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            text = bytes(self._pending[_LENGTH.size : end])
            del self._pending[:end]
            yield _object(text)


def _object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as reason:
        raise ProtocolError(f"a control message is not JSON: {reason}") from reason
    if not isinstance(value, dict):
        raise ProtocolError("a control message is not an object")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")
