"""The preface: the fixed 64 bytes with which every connection to a node's peer port begins.

It says what the connection is for, so that the node can hand its socket to the right engine before
any TLS record. Nothing in it is trusted: group, link and peer are checked again inside the session.
Format: `docs/formats.md`.
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

_LAYOUT: Final = struct.Struct("<4sBBH16s16s24x")
assert _LAYOUT.size == PREFACE_BYTES


class PrefaceKind(IntEnum):
    """What a connection to the peer port is for."""

    LINK = 1
    CONTROL = 2
    PAIRING = 3


@dataclass(frozen=True, slots=True)
class Preface:
    """`group` and `link` are 16 bytes each; zeroes unless the kind is LINK."""

    kind: PrefaceKind
    group: bytes = NO_ID
    link: bytes = NO_ID


def encode(preface: Preface) -> bytes:
    """Its 64 bytes."""
    return _LAYOUT.pack(MAGIC, VERSION, preface.kind, 0, preface.group, preface.link)


def decode(data: Buffer) -> Preface:
    """The inverse of `encode`. Raises ProtocolError for anything that `encode` would not produce."""
    if len(data) != PREFACE_BYTES:
        raise ProtocolError(f"a preface has {PREFACE_BYTES} bytes, not {len(data)}")
    magic, version, number, reserved, group, link = _LAYOUT.unpack(data)
    if magic != MAGIC:
        raise ProtocolError("the connection does not begin with a preface")
    if version != VERSION:
        raise ProtocolError(f"preface version {version} is not {VERSION}")
    if number not in PrefaceKind.__members__.values() or reserved or any(data[_LAYOUT.size - 24 :]):
        raise ProtocolError(f"unknown preface of kind {number}")
    kind = PrefaceKind(number)
    if kind is not PrefaceKind.LINK and (group != NO_ID or link != NO_ID):
        raise ProtocolError("a preface that is not a link's names a group or a link")
    return Preface(kind, group, link)
