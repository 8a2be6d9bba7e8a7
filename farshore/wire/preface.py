"""The preface: the fixed 64 bytes with which every connection to a node's peer port begins.

It says what the connection is for, so that the node can hand its socket to the right engine before
any TLS record. Nothing in it is trusted: group, link and peer are checked again inside the session.
A node that cannot hand a link's connection on answers with a refusal of 32 bytes, in the clear and in
place of TLS, that names a code of the error catalogue. It proves nothing either: it may be shown to
people, and changes nothing that a lost connection would not. Format: `docs/formats.md`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from farshore.errors import ProtocolError
from farshore.model.messages import Buffer

MAGIC: Final = b"FShp"
VERSION: Final = 1
PREFACE_BYTES: Final = 64
NO_ID: Final = bytes(16)

_LAYOUT: Final = struct.Struct("<4sBBH16s16sQ16x")
assert _LAYOUT.size == PREFACE_BYTES

REFUSAL_MAGIC: Final = b"FShx"
"""No TLS record begins like this."""
REFUSAL_BYTES: Final = 32
_REFUSAL: Final = struct.Struct("<4sB3x24s")
assert _REFUSAL.size == REFUSAL_BYTES


class PrefaceKind(IntEnum):
    """What a connection to the peer port is for."""

    LINK = 1
    CONTROL = 2
    PAIRING = 3


@dataclass(frozen=True, slots=True)
class Preface:
    """`group` and `link` are 16 bytes each; zeroes unless the kind is LINK, and so is `epoch`."""

    kind: PrefaceKind
    group: bytes = NO_ID
    link: bytes = NO_ID
    epoch: int = 0
    """Of the link, so that a feeder that was replaced is told so before TLS fails for another reason; 0 where
    that is not said. Nothing is believed of it: the hello says it again."""


def encode(preface: Preface) -> bytes:
    """Its 64 bytes."""
    return _LAYOUT.pack(MAGIC, VERSION, preface.kind, 0, preface.group, preface.link, preface.epoch)


def decode(data: Buffer) -> Preface:
    """The inverse of `encode`. Raises ProtocolError for anything that `encode` would not produce."""
    if len(data) != PREFACE_BYTES:
        raise ProtocolError(f"a preface has {PREFACE_BYTES} bytes, not {len(data)}")
    magic, version, number, reserved, group, link, epoch = _LAYOUT.unpack(data)
    if magic != MAGIC:
        raise ProtocolError("the connection does not begin with a preface")
    if version != VERSION:
        raise ProtocolError(f"preface version {version} is not {VERSION}")
    if number not in PrefaceKind.__members__.values() or reserved or any(data[_LAYOUT.size - 16 :]):
        raise ProtocolError(f"unknown preface of kind {number}")
    kind = PrefaceKind(number)
    if kind is not PrefaceKind.LINK and (group != NO_ID or link != NO_ID or epoch):
        raise ProtocolError("a preface that is not a link's names a group or a link")
    return Preface(kind, group, link, epoch)


def encode_refusal(code: str) -> bytes:
    """The answer to a link's preface that cannot be served; `code` is one of the error catalogue."""
    return _REFUSAL.pack(REFUSAL_MAGIC, VERSION, code.encode("ascii"))


def decode_refusal(data: Buffer) -> str:
    """The code. Raises ProtocolError for anything that `encode_refusal` would not produce."""
    if len(data) != REFUSAL_BYTES:
        raise ProtocolError(f"a refusal has {REFUSAL_BYTES} bytes, not {len(data)}")
    magic, version, padded = _REFUSAL.unpack(data)
    code = padded.rstrip(b"\0")
    if magic != REFUSAL_MAGIC or version != VERSION or any(data[5:8]):
        raise ProtocolError("the answer to the preface is neither TLS nor a refusal")
    if not code or not code.replace(b"-", b"").isalpha():
        raise ProtocolError("the answer to the preface names no code")
    return str(code, "ascii")
