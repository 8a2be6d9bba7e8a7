"""Blocks of a compressed direction of a link: runs of its bytes, packed with zstd or left as they are.

A block wraps what is on the line and nothing else: frames are packed together, several to a block or one
over several, and come out at the other end as the bytes that they were. A block stands on its own, so
one that would not shrink travels raw, and no window of earlier data is kept at either end. What a peer
may make us unpack is bounded before anything is allocated: by `MAX_RAW`, and by zstd's own statement of
the size. Format: `docs/formats.md`.
"""

from __future__ import annotations

import importlib
import importlib.util
import struct
from enum import IntFlag
from typing import Any, Final

from farshore.errors import ProtocolError
from farshore.model.messages import Buffer

HEADER: Final = struct.Struct("<B3xII")
"""How the content is packed, bytes before packing, bytes of content."""
RAW: Final = 0
ZSTD: Final = 1
MAX_RAW: Final = 128 << 10
"""Bytes before packing. A whole block is packed in well under a millisecond."""
LEAST_SAVED: Final = 10
"""Percent; a block that would save less travels raw."""
_LEVEL: Final = 1
"""On text, level 3 saves another few percent and takes half as long again."""


class Codecs(IntFlag):
    """What an end can unpack, or wishes to pack with; a bit for each codec."""

    NONE = 0
    ZSTD = 1


def available() -> Codecs:
    """What this installation has. Loads nothing."""
    return Codecs.ZSTD if importlib.util.find_spec("zstandard") else Codecs.NONE


def header(kind: int, raw: int, content: int) -> bytes:
    """The head of a block."""
    return HEADER.pack(kind, raw, content)


class Packer:
    """Packs blocks. zstandard is loaded here, when a link first asks for it."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        zstandard: Any = importlib.import_module("zstandard")
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)

    def pack(self, data: Buffer) -> bytes | None:
        """The content of a zstd block, None where the data had better travel raw. Holds no lock meanwhile."""
        content: bytes = self._compressor.compress(data)
        return content if len(content) * 100 <= len(data) * (100 - LEAST_SAVED) else None


class Unpacker:
    """Unpacks what `Packer` has packed."""

    __slots__ = ("_content_size", "_decompressor", "_error")

    def __init__(self) -> None:
        zstandard: Any = importlib.import_module("zstandard")
        # A window that is larger than a block serves nobody but who wants to use up our memory.
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_RAW * 2)
        self._content_size = zstandard.frame_content_size
        self._error = zstandard.ZstdError

    def open(self, kind: int, raw: int, content: memoryview) -> Buffer:
        """The bytes that a block stands for; a raw block's are `content` itself. Raises ProtocolError."""
        if kind == RAW:
            return content
        try:
            # The allocation goes by what the content says of itself, so that has to agree first.
            if self._content_size(content) != raw:
                raise ProtocolError("a packed block does not unpack to what it announces")
            unpacked: bytes = self._decompressor.decompress(content, allow_extra_data=False)
        except self._error as error:
            raise ProtocolError(f"a packed block cannot be unpacked: {error}") from error
        if len(unpacked) != raw:
            raise ProtocolError("a packed block does not unpack to what it announces")
        return unpacked


def decode_header(buffer: Buffer, offset: int) -> tuple[int, int, int]:
    """(kind, bytes before packing, bytes of content) of the block whose head begins at `offset`.

    Raises ProtocolError for what `Packer` never makes.
    """
    kind, raw, content = HEADER.unpack_from(buffer, offset)
    if kind not in (RAW, ZSTD) or any(memoryview(buffer)[offset + 1 : offset + 4]):
        raise ProtocolError(f"unknown block of kind {kind}")
    if not 0 < raw <= MAX_RAW or not 0 < content <= raw or (kind == RAW and content != raw):
        raise ProtocolError(f"a block of kind {kind} cannot have {content} bytes for {raw}")
    return kind, raw, content
