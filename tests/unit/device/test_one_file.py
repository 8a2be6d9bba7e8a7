"""What the kernel is told of the file system with one file, byte by byte."""

import errno
import os
import stat
import struct

import pytest

from farshore.device.one_file import FILE, OneFile
from farshore.wire import fuse

_SIZE = 10 << 20


def _file(*, read_only: bool = False) -> OneFile:
    return OneFile("data", _SIZE, (1000, 100), 1_700_000_000, read_only=read_only)


def _ask(file: OneFile, operation: int, body: bytes = b"", node: int = fuse.ROOT) -> tuple[int, bytes]:
    """(errno, body) of the answer."""
    length = fuse.IN_HEADER + len(body)
    request = struct.pack("=IIQQIIII", length, operation, 42, node, 0, 0, 0, 0) + body
    buffer = memoryview(bytearray(request.ljust(4096, b"\0")))
    answer = file.answer(fuse.Header(length, operation, 42, node), buffer)
    size, error, unique = struct.unpack_from("=IiQ", answer)
    assert (size, unique) == (len(answer), 42)
    return -error, answer[16:]


def test_the_kernel_is_told_what_it_may_do() -> None:
    file = _file()
    flags = fuse.WANTED | 1 << 30
    error, body = _ask(file, fuse.INIT, struct.pack("=IIII", 7, 44, 131072, flags))
    assert (error, len(body)) == (0, 64)
    major, minor, readahead, granted, background, congested, longest, _, pages = struct.unpack_from(
        "=IIIIHHIIH", body
    )
    assert (major, minor, readahead, granted) == (7, 31, 131072, fuse.WANTED)
    assert (longest, pages * 4096) == (1 << 20, 1 << 20)
    assert congested < background


@pytest.mark.parametrize("version", [(7, 30), (6, 99), (8, 0)])
def test_a_kernel_that_is_too_old_is_refused(version: tuple[int, int]) -> None:
    assert _ask(_file(), fuse.INIT, struct.pack("=IIII", *version, 0, 0))[0] == errno.EPROTO


def test_the_root_holds_one_file() -> None:
    file = _file()
    error, body = _ask(file, fuse.LOOKUP, b"data\0")
    assert (error, len(body)) == (0, 128)
    node, _, entry_valid, attributes_valid = struct.unpack_from("=QQQQ", body)
    assert node == FILE
    assert min(entry_valid, attributes_valid) > 10**9  # seconds: it never changes
    assert _ask(file, fuse.LOOKUP, b"other\0")[0] == errno.ENOENT
    assert _ask(file, fuse.LOOKUP, b"data\0", node=FILE)[0] == errno.ENOENT


@pytest.mark.parametrize(
    ("node", "size", "kind"), [(fuse.ROOT, 0, stat.S_IFDIR), (FILE, _SIZE, stat.S_IFREG)]
)
def test_attributes_are_those_of_a_disk(node: int, size: int, kind: int) -> None:
    error, body = _ask(_file(), fuse.GETATTR, bytes(16), node)
    assert (error, len(body)) == (0, 104)
    found, found_size, blocks, *_ = struct.unpack_from("=QQQ", body, 16)
    mode, _, owner, group = struct.unpack_from("=IIII", body, 16 + 60)
    assert (found, found_size, blocks) == (node, size, size // 512)
    assert (stat.S_IFMT(mode), owner, group) == (kind, 1000, 100)
    assert _ask(_file(), fuse.GETATTR, bytes(16), 99)[0] == errno.ENOENT


def test_only_times_may_be_set() -> None:
    file = _file()
    times, size, mode = 1 << 4 | 1 << 5, 1 << 3, 1 << 0
    for valid, wanted, error in (
        (times, 0, 0),
        (size, _SIZE, 0),
        (size, 0, errno.EPERM),
        (size | times, _SIZE + 1, errno.EPERM),
        (mode, 0, errno.EPERM),
    ):
        assert _ask(file, fuse.SETATTR, struct.pack("=IIQQ", valid, 0, 0, wanted), FILE)[0] == error


def test_opening_is_past_the_page_cache_and_follows_the_permission() -> None:
    error, body = _ask(_file(), fuse.OPEN, struct.pack("=II", os.O_RDWR, 0), FILE)
    assert error == 0
    assert struct.unpack_from("=QI", body)[1] & fuse.FOPEN_DIRECT_IO
    assert _ask(_file(read_only=True), fuse.OPEN, struct.pack("=II", os.O_RDWR, 0), FILE)[0] == errno.EROFS
    assert _ask(_file(read_only=True), fuse.OPEN, struct.pack("=II", os.O_RDONLY, 0), FILE)[0] == 0


def test_the_directory_is_listed_in_as_many_pieces_as_there_is_room_for() -> None:
    file, names, position = _file(), [], 0
    for _ in range(4):
        _, body = _ask(file, fuse.READDIR, struct.pack("=QQIIQII", 0, position, 40, 0, 0, 0, 0))
        if not body:
            break
        _, position, length, _ = struct.unpack_from("=QQII", body)
        names.append(body[24 : 24 + length])
        assert len(body) % 8 == 0
    assert names == [b".", b"..", b"data"]


def test_what_is_not_offered_is_said_not_to_be() -> None:
    for operation in (5, 6, 8, 9, 10, 12, 13, 21, 22, 23, 31, fuse.INTERRUPT, 37, 39, 40, 46, 47):
        assert _ask(_file(), operation)[0] == errno.ENOSYS


def test_forgetting_wants_no_answer() -> None:
    file = _file()
    for operation in (fuse.FORGET, fuse.BATCH_FORGET):
        assert file.answer(fuse.Header(48, operation, 42, FILE), memoryview(bytes(4096))) == b""


def test_only_writes_that_ask_for_it_are_durable() -> None:
    assert OneFile.durable(os.O_RDWR | os.O_DSYNC)
    assert OneFile.durable(os.O_RDWR | os.O_SYNC)
    assert not OneFile.durable(os.O_RDWR | os.O_DIRECT)
