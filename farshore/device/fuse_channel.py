"""The kernel's end of a device: takes questions about the file from /dev/fuse, and carries answers back.

One thread, no callbacks of a library: a question that waits for the engine is a `Request` in a table, not a
thread, so a thousand of them may be held for ten minutes and cost nothing but their data. Data of a long
write stays in the buffer in which it came; short ones are copied. While too much is under way nothing more
is taken, and the kernel keeps the rest. (`docs/decisions/0019-devices.md`)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from farshore.device.one_file import FILE, OneFile
from farshore.device.requests import Request
from farshore.engine.reactor import BROKEN, READABLE, Reactor
from farshore.model.messages import Buffer
from farshore.wire import fuse
from farshore.wire.nbd import constants as nbd

_ROOM: Final = fuse.MAX_TRANSFER + 4096
"""Bytes of a buffer: the kernel wants room for the longest write and its header."""
_KEPT_BUFFERS: Final = 16
_COPIED: Final = 32 << 10
"""Bytes of data up to which a write is copied, so that its buffer can be used again at once."""
_ROUNDS: Final = 64
"""Questions taken in one turn."""
_LONGEST_RANGE: Final = 1 << 30
"""Bytes of one request that carries no data."""
_ASKER_GONE: Final = frozenset((errno.ENOENT, errno.ENODEV, errno.ENOTCONN))
_SHAPES: Final = {
    fuse.FALLOC_PUNCH_HOLE | fuse.FALLOC_KEEP_SIZE: 0,
    fuse.FALLOC_ZERO_RANGE: nbd.NBD_CMD_FLAG_NO_HOLE,
    fuse.FALLOC_ZERO_RANGE | fuse.FALLOC_KEEP_SIZE: nbd.NBD_CMD_FLAG_NO_HOLE,
}
"""Modes of fallocate that are offered, and what they ask of WRITE_ZEROES."""


class FuseChannel:
    """See the module. `take` is given what the engine has to answer; `gone` is told that nobody uses the
    mount any more: it was taken off, or the connection was aborted."""

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        file: OneFile,
        take: Callable[[Request], None],
        gone: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._fd = fd
        self._file = file
        self._take = take
        self._gone = gone
        self.paused = False
        """Questions are left with the kernel."""
        self._buffer = bytearray(_ROOM)
        self._view = memoryview(self._buffer)
        self._spare: list[bytearray] = []
        self._open = 0  # requests that were given and not answered
        os.set_blocking(fd, False)
        reactor.add(fd, self._ready)

    # -- questions --------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        """While nothing is under way, one question is most likely the only one: no call to learn that."""
        if self.paused and events & BROKEN:
            self._end()
            return
        fd, most = self._fd, _ROUNDS if self._open else 1
        taken = 0
        try:
            while taken < most and not self.paused:
                os.readv(fd, (self._buffer,))
                taken += 1
                self._question()
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno == errno.ENODEV:
                self._end()
            elif error.errno not in (errno.ENOENT, errno.EINTR):  # a question that was taken back
                raise

    def _end(self) -> None:
        self.close()
        self._gone()

    def _question(self) -> None:
        view = self._view
        length, operation, unique, node, offset, size, _, _, flags = fuse.unpack_request(view)
        if operation == fuse.WRITE:
            self._write(unique, offset, size, flags)
        elif operation == fuse.READ:
            size = min(size, self._file.size - offset)
            if size <= 0:
                self._send(fuse.answer(unique))
            else:
                self._ask(Request(unique, nbd.NBD_CMD_READ, offset, size))
        elif operation == fuse.FSYNC:
            self._ask(Request(unique, nbd.NBD_CMD_FLUSH, 0, 0))
        elif operation == fuse.FALLOCATE:
            self._allocate(unique)
        else:
            reply = self._file.answer(fuse.Header(length, operation, unique, node), view)
            if reply:
                self._send(reply)

    def _write(self, unique: int, offset: int, size: int, flags: int) -> None:
        if self._file.read_only:
            self.refuse(unique, errno.EROFS)
            return
        if size and offset >= self._file.size:
            self.refuse(unique, errno.ENOSPC)
            return
        size = min(size, self._file.size - offset)
        if size <= 0:
            self._send(fuse.written(unique, 0))
            return
        data = self._view[fuse.WRITE_PAYLOAD : fuse.WRITE_PAYLOAD + size]
        if size <= _COPIED:
            request = Request(unique, nbd.NBD_CMD_WRITE, offset, size, bytes(data))
        else:
            request = Request(unique, nbd.NBD_CMD_WRITE, offset, size, data)
            request.kept = self._buffer
            self._buffer = self._spare.pop() if self._spare else bytearray(_ROOM)
            self._view = memoryview(self._buffer)
        if OneFile.durable(flags):
            request.flags = nbd.NBD_CMD_FLAG_FUA
        self._ask(request)

    def _allocate(self, unique: int) -> None:
        """A hole or zeroes within the file. Space cannot be reserved there, and there is never more."""
        offset, length, mode = fuse.allocation(self._view)
        shape = _SHAPES.get(mode)
        if shape is None:
            self.refuse(unique, errno.EOPNOTSUPP)
            return
        if self._file.read_only:
            self.refuse(unique, errno.EROFS)
            return
        length = min(length, self._file.size - offset)
        if length <= 0:
            self._send(fuse.answer(unique))
            return
        request = Request(unique, nbd.NBD_CMD_WRITE_ZEROES, offset, min(length, _LONGEST_RANGE))
        request.flags = shape
        request.rest = length - request.length
        self._ask(request)

    def _ask(self, request: Request) -> None:
        self._open += 1
        self._take(request)

    # -- answers ----------------------------------------------------------------------------

    def done(self, request: Request, data: Buffer | None) -> None:
        """It worked; `data` is what a READ brought."""
        self._open -= 1
        if request.command == nbd.NBD_CMD_READ:
            assert data is not None
            self._send(fuse.data_header(request.unique, len(data)), data)
        elif request.command == nbd.NBD_CMD_WRITE:
            self._send(fuse.written(request.unique, request.length))
        else:
            self._send(fuse.answer(request.unique))
        if request.kept is not None:
            self._take_back(request)

    def fail(self, request: Request, number: int) -> None:
        """It did not; `number` is an errno."""
        self._open -= 1
        self.refuse(request.unique, number)
        if request.kept is not None:
            self._take_back(request)

    def refuse(self, unique: int, number: int) -> None:
        """Answers a question that became no request."""
        self._send(fuse.refusal(unique, number))

    def _take_back(self, request: Request) -> None:
        kept, request.kept, request.payload = request.kept, None, None
        if kept is not None and len(self._spare) < _KEPT_BUFFERS:
            self._spare.append(kept)

    def _send(self, *pieces: Buffer) -> None:
        """To one who may have gone meanwhile."""
        if self._fd >= 0:
            try:
                os.writev(self._fd, pieces)
            except OSError as error:
                if error.errno not in _ASKER_GONE:
                    raise

    def grow(self, size: int) -> None:
        """The file is larger now, and whoever asks how large it is hears so."""
        self._file.grow(size)
        self._send(fuse.attributes_changed(FILE))

    # -- life -------------------------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """Whether to leave further questions with the kernel."""
        if paused != self.paused and self._fd >= 0:
            self.paused = paused
            self._reactor.change(self._fd, 0 if paused else READABLE)

    def close(self) -> None:
        """Ends it. What the kernel still asks fails at once; closing twice has no effect."""
        if self._fd >= 0:
            self._reactor.remove(self._fd)
            os.close(self._fd)
            self._fd = -1
