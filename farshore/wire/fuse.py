"""The kernel's FUSE protocol, as much of it as a file system with one file needs: bytes <-> values.

A request is a header of 40 bytes and a body; an answer a header of 16 bytes and a body. The layouts are those
of include/uapi/linux/fuse.h, in the byte order of the machine; the kernel keeps them for ever, so there is
one version here: 7.31, of which everything used is in every kernel since 5.2. Lengths of bodies are
checked by the kernel, which is the only one who can write to this connection. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

MAJOR: Final = 7
MINOR: Final = 31
IN_HEADER: Final = 40
"""Bytes of a request's header."""
WRITE_PAYLOAD: Final = 80
"""Where the data of a WRITE begins."""
MAX_TRANSFER: Final = 1 << 20
"""Bytes of the longest READ or WRITE: 256 pages, which is what kernels allow."""
ROOT: Final = 1
"""Node id of the root."""

# Operations
LOOKUP: Final = 1
FORGET: Final = 2
GETATTR: Final = 3
SETATTR: Final = 4
OPEN: Final = 14
READ: Final = 15
WRITE: Final = 16
STATFS: Final = 17
RELEASE: Final = 18
FSYNC: Final = 20
INIT: Final = 26
OPENDIR: Final = 27
READDIR: Final = 28
RELEASEDIR: Final = 29
ACCESS: Final = 34
INTERRUPT: Final = 36
DESTROY: Final = 38
BATCH_FORGET: Final = 42
FALLOCATE: Final = 43

# Flags of INIT
ASYNC_READ: Final = 1 << 0
BIG_WRITES: Final = 1 << 5
ASYNC_DIO: Final = 1 << 15
MAX_PAGES: Final = 1 << 22
WANTED: Final = ASYNC_READ | BIG_WRITES | ASYNC_DIO | MAX_PAGES

# Flags of an open file
FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_NOFLUSH: Final = 1 << 5
"""To close the file asks us nothing, and does not wait for writes of others."""
FOPEN_PARALLEL_DIRECT_WRITES: Final = 1 << 6
"""Kernels that do not know it (before 6.2) let writes of one file wait for one another."""

DT_DIR: Final = 4
DT_REG: Final = 8

# Modes of fallocate
FALLOC_KEEP_SIZE: Final = 1
FALLOC_PUNCH_HOLE: Final = 2
FALLOC_ZERO_RANGE: Final = 16

_FATTR_SIZE: Final = 1 << 3
_FATTR_MORE: Final = 0b111  # mode, owner, group

_OUT_HEADER = struct.Struct("=IiQ")
_INIT_IN = struct.Struct("=IIII")
_INIT_OUT = struct.Struct("=IIIIHHIIHHI28x")
_FALLOCATE = struct.Struct("=QQQI")
_SETATTR = struct.Struct("=I4xQQ")
_FLAGS = struct.Struct("=I")
_ATTR = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("=QQQQII")
_ATTR_OUT = struct.Struct("=QII")
_OPEN_OUT = struct.Struct("=QII")
_STATFS = struct.Struct("=QQQQQIIII24x")
_DIRENT = struct.Struct("=QQII")
_INVALID = struct.Struct("=Qqq")
_NOTIFY_INVALID: Final = 2

_FOREVER: Final = 1 << 40
"""Seconds for which the kernel may believe a name or attributes: what changes is told
(`attributes_changed`)."""
_BLOCK: Final = 4096


class Header(NamedTuple):
    """Of a request. `length` counts the header as well."""

    length: int
    operation: int
    unique: int
    node: int


@dataclass(frozen=True, slots=True)
class Attributes:
    """Of a node. `mode` with its kind, `time` in whole seconds."""

    node: int
    mode: int
    size: int
    owner: tuple[int, int]
    time: int


unpack_request = struct.Struct("=IIQQ24xQIIQI").unpack_from
"""(length, operation, unique, node; and of a READ, WRITE or READDIR: offset, length, flags of the call, owner
of a lock, flags of the open file). The buffer must reach to where a WRITE has its data, in any case."""


def allocation(buffer: memoryview) -> tuple[int, int, int]:
    """Of a FALLOCATE: (offset, length, mode)."""
    _, offset, length, mode = _FALLOCATE.unpack_from(buffer, IN_HEADER)
    return offset, length, mode


def changes_more_than_times(buffer: memoryview, size: int) -> bool:
    """Of a SETATTR: whether it would change anything of a file of `size` bytes but its times."""
    valid, _, wanted = _SETATTR.unpack_from(buffer, IN_HEADER)
    return bool(valid & _FATTR_MORE) or (bool(valid & _FATTR_SIZE) and wanted != size)


def open_flags(buffer: memoryview) -> int:
    """Of an OPEN: as open(2) takes them."""
    flags: int = _FLAGS.unpack_from(buffer, IN_HEADER)[0]
    return flags


def looked_up(buffer: memoryview, length: int) -> bytes:
    """Of a LOOKUP: the name."""
    return bytes(buffer[IN_HEADER:length]).rstrip(b"\0")


def version(buffer: memoryview) -> tuple[int, int, int, int]:
    """Of an INIT: (major, minor, readahead in bytes, flags)."""
    major, minor, readahead, flags = _INIT_IN.unpack_from(buffer, IN_HEADER)
    return major, minor, readahead, flags


def answer(unique: int, body: bytes = b"") -> bytes:
    """It worked."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + len(body), 0, unique) + body


def attributes_changed(node: int) -> bytes:
    """Nobody asked: the kernel is to ask for the node's attributes anew; what it knows of its bytes stays."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + _INVALID.size, _NOTIFY_INVALID, 0) + _INVALID.pack(node, -1, 0)


def refusal(unique: int, errno: int) -> bytes:
    """It did not. `errno` is positive."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, -errno, unique)


def data_header(unique: int, length: int) -> bytes:
    """Goes before the `length` bytes that answer a READ."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + length, 0, unique)


def written(unique: int, length: int) -> bytes:
    """The answer to a WRITE."""
    return _WRITTEN.pack(_WRITTEN.size, 0, unique, length, 0)


_WRITTEN = struct.Struct("=IiQII")


def init_answer(unique: int, readahead: int, flags: int, background: int) -> bytes:
    """`background`: how many asynchronous requests the kernel may have under way with us."""
    body = _INIT_OUT.pack(
        MAJOR,
        MINOR,
        readahead,
        flags & WANTED,
        background,
        background * 3 // 4,
        MAX_TRANSFER,
        1,
        MAX_TRANSFER // _BLOCK,
        0,
        0,
    )
    return answer(unique, body)


def entry(unique: int, attributes: Attributes) -> bytes:
    """The answer to a LOOKUP that found something."""
    head = _ENTRY.pack(attributes.node, 0, _FOREVER, _FOREVER, 0, 0)
    return answer(unique, head + _attributes(attributes))


def attributes_answer(unique: int, attributes: Attributes) -> bytes:
    """The answer to a GETATTR or SETATTR."""
    return answer(unique, _ATTR_OUT.pack(_FOREVER, 0, 0) + _attributes(attributes))


def opened(unique: int, flags: int = 0) -> bytes:
    """The answer to an OPEN or OPENDIR."""
    return answer(unique, _OPEN_OUT.pack(0, flags, 0))


def statfs_answer(unique: int, size: int) -> bytes:
    """A full file system of `size` bytes with one file."""
    return answer(unique, _STATFS.pack(size // _BLOCK, 0, 0, 1, 0, _BLOCK, 255, _BLOCK, 0))


def directory_entry(node: int, position: int, kind: int, name: bytes) -> bytes:
    """One entry; `position` is where the next one is asked for."""
    entry_bytes = _DIRENT.pack(node, position, len(name), kind) + name
    return entry_bytes + bytes(-len(entry_bytes) % 8)


def _attributes(of: Attributes) -> bytes:
    blocks = -(-of.size // 512)
    owner, group = of.owner
    return _ATTR.pack(
        of.node, of.size, blocks, of.time, of.time, of.time, 0, 0, 0, of.mode, 1, owner, group, 0, _BLOCK, 0
    )
