"""Questions of the kernel become requests, and answers answers. A socket that keeps messages apart stands for
/dev/fuse, so that each byte of both directions is seen."""

import errno
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from farshore.device.fuse_channel import FuseChannel
from farshore.device.one_file import FILE, OneFile
from farshore.device.requests import Request
from farshore.engine.reactor import Reactor
from farshore.wire import fuse
from farshore.wire.nbd import constants as nbd
from tests.unit.engine.turning import turn_until

_SIZE = 6 << 30


class _Kernel:
    """The other end."""

    def __init__(self, *, read_only: bool = False) -> None:
        self.reactor = Reactor()
        self.end, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (self.end, ours):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.end.settimeout(5.0)
        self.taken: list[Request] = []
        self.ended = 0
        file = OneFile("data", _SIZE, (0, 0), 0, read_only=read_only)
        self.channel = FuseChannel(self.reactor, ours.detach(), file, self.taken.append, self._gone)

    def _gone(self) -> None:
        self.ended += 1

    def ask(self, operation: int, unique: int, body: bytes) -> None:
        length = fuse.IN_HEADER + len(body)
        self.end.send(struct.pack("=IIQQIIII", length, operation, unique, FILE, 0, 0, 0, 0) + body)

    def write(self, unique: int, offset: int, data: bytes, flags: int = 0) -> None:
        self.ask(fuse.WRITE, unique, struct.pack("=QQIIQII", 0, offset, len(data), 0, 0, flags, 0) + data)

    def read(self, unique: int, offset: int, length: int) -> None:
        self.ask(fuse.READ, unique, struct.pack("=QQIIQII", 0, offset, length, 0, 0, 0, 0))

    def allocate(self, unique: int, offset: int, length: int, mode: int) -> None:
        self.ask(fuse.FALLOCATE, unique, struct.pack("=QQQII", 0, offset, length, mode, 0))

    def request(self) -> Request:
        """The next one."""
        turn_until(self.reactor, lambda: self.taken)
        return self.taken.pop(0)

    def answer(self) -> tuple[int, int, bytes]:
        """(unique, errno, body) of the next answer."""
        self.reactor.turn(0.0)
        data = self.end.recv(4 << 20)
        length, error, unique = struct.unpack_from("=IiQ", data)
        assert length == len(data)
        return unique, -error, data[16:]

    def close(self) -> None:
        self.channel.close()
        self.end.close()
        self.reactor.close()


@pytest.fixture
def kernel() -> Iterator[_Kernel]:
    made = _Kernel()
    yield made
    made.close()


def _facts(request: Request) -> tuple[int, int, int, int]:
    return request.command, request.flags, request.offset, request.length


def test_a_short_write_is_copied_and_answered_with_its_length(kernel: _Kernel) -> None:
    kernel.write(2, 4096, b"abc" * 100)
    request = kernel.request()
    kernel.write(4, 0, b"x" * 400)  # comes into the same buffer
    kernel.request()
    assert _facts(request) == (nbd.NBD_CMD_WRITE, 0, 4096, 300)
    assert request.payload == b"abc" * 100
    kernel.channel.done(request, None)
    assert kernel.answer() == (2, 0, struct.pack("=II", 300, 0))


def test_a_long_write_keeps_its_buffer_until_it_is_answered(kernel: _Kernel) -> None:
    kernel.write(2, 0, b"a" * (1 << 20))
    first = kernel.request()
    kernel.write(4, 1 << 20, b"b" * (1 << 20))
    second = kernel.request()
    assert (bytes(first.payload or b""), bytes(second.payload or b"")) == (b"a" * (1 << 20), b"b" * (1 << 20))
    kept = first.kept
    kernel.channel.done(first, None)
    kernel.write(6, 0, b"c" * (1 << 20))
    kernel.request()
    kernel.write(8, 0, b"d" * (1 << 20))
    assert kernel.request().kept is kept  # used again now, and not before
    assert bytes(second.payload or b"") == b"b" * (1 << 20)


@pytest.mark.parametrize(("flags", "wanted"), [(os.O_DSYNC, 1), (os.O_SYNC, 1), (os.O_DIRECT, 0)])
def test_a_write_that_must_be_durable_says_so(kernel: _Kernel, flags: int, wanted: int) -> None:
    kernel.write(2, 0, b"x", os.O_RDWR | flags)
    assert kernel.request().flags == (nbd.NBD_CMD_FLAG_FUA if wanted else 0)


def test_a_read_ends_with_the_file(kernel: _Kernel) -> None:
    kernel.read(2, _SIZE - 10, 4096)
    request = kernel.request()
    assert _facts(request) == (nbd.NBD_CMD_READ, 0, _SIZE - 10, 10)
    kernel.channel.done(request, memoryview(b"0123456789"))
    assert kernel.answer() == (2, 0, b"0123456789")
    kernel.read(4, _SIZE, 4096)
    assert kernel.answer() == (4, 0, b"")


def test_nothing_is_written_beyond_the_end(kernel: _Kernel) -> None:
    kernel.write(2, _SIZE, b"x")
    assert kernel.answer() == (2, errno.ENOSPC, b"")
    kernel.write(4, _SIZE - 1, b"xy")
    request = kernel.request()
    kernel.channel.done(request, None)
    assert kernel.answer() == (4, 0, struct.pack("=II", 1, 0))


def test_holes_and_zeroes_become_write_zeroes_in_pieces_that_the_protocol_can_say(kernel: _Kernel) -> None:
    kernel.allocate(2, 4096, 3 << 30, fuse.FALLOC_PUNCH_HOLE | fuse.FALLOC_KEEP_SIZE)
    request = kernel.request()
    assert _facts(request) == (nbd.NBD_CMD_WRITE_ZEROES, 0, 4096, 1 << 30)
    assert request.rest == 2 << 30
    kernel.allocate(4, 0, 4096, fuse.FALLOC_ZERO_RANGE)
    assert kernel.request().flags == nbd.NBD_CMD_FLAG_NO_HOLE
    kernel.allocate(6, 0, 4096, 0)
    assert kernel.answer() == (6, errno.EOPNOTSUPP, b"")


def test_a_sync_becomes_a_flush(kernel: _Kernel) -> None:
    kernel.ask(fuse.FSYNC, 2, bytes(16))
    request = kernel.request()
    assert request.command == nbd.NBD_CMD_FLUSH
    kernel.channel.fail(request, errno.EIO)
    assert kernel.answer() == (2, errno.EIO, b"")


def test_a_read_only_file_refuses_changes() -> None:
    kernel = _Kernel(read_only=True)
    kernel.write(2, 0, b"x")
    assert kernel.answer()[:2] == (2, errno.EROFS)
    kernel.allocate(4, 0, 4096, fuse.FALLOC_ZERO_RANGE)
    assert kernel.answer()[:2] == (4, errno.EROFS)
    kernel.close()


def test_while_paused_questions_stay_with_the_kernel(kernel: _Kernel) -> None:
    kernel.channel.pause(True)
    kernel.read(2, 0, 10)
    kernel.reactor.turn(0.0)
    assert kernel.taken == []
    kernel.channel.pause(False)
    assert kernel.request().unique == 2


def test_many_questions_are_taken_in_one_turn_once_there_are_many(kernel: _Kernel) -> None:
    for unique in range(2, 22, 2):
        kernel.read(unique, 0, 10)
    kernel.reactor.turn(0.0)
    assert len(kernel.taken) == 1
    kernel.reactor.turn(0.0)
    assert len(kernel.taken) == 10


@pytest.mark.parametrize("paused", [False, True])
def test_answers_to_a_mount_that_is_gone_go_nowhere(paused: bool) -> None:
    kernel = _Kernel()
    kernel.read(2, 0, 10)
    request = kernel.request()
    kernel.channel.pause(paused)
    kernel.channel.close()
    kernel.channel.done(request, b"0123456789")
    kernel.channel.pause(not paused)
    kernel.close()
