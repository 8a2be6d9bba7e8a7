"""Digests of regions, computed by a process beside the engine (`digest_process`) and awaited here.

The process is started with the first request and ends with the engine. When it dies (memory was short,
say) that is no error of a disk: another one is started and asked the same once more; what that one
cannot answer either ends with EIO. What waits is bounded by the core, which has few reads under way
at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from farshore.engine.digest_process import ANSWER, DIGEST_BYTES, REQUEST, digests
from farshore.engine.outbound import Outbound
from farshore.engine.pool import Pool
from farshore.engine.reactor import BROKEN, READABLE, WRITABLE, Reactor
from farshore.store.volume import Volume

_READ: Final = 256 << 10
_END_S: Final = 5.0

Done: TypeAlias = Callable[[bytes, int], None]
"""Takes the digests and an errno."""


@dataclass(slots=True)
class _Asked:
    """A request that waits for its answer."""

    request: bytes
    done: Done
    again: bool = False
    """It was put to a second process."""


class Digests:
    """See the module."""

    def __init__(self, reactor: Reactor, volumes: Mapping[int, Volume], pool: Pool) -> None:
        self._reactor = reactor
        self._volumes = volumes
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._outbound = Outbound()
        self._arrived = bytearray()
        self._waiting: dict[int, _Asked] = {}
        self._last = 0

    def request(self, volume: int, offset: int, length: int, region: int, done: Done) -> None:
        """Digests each region of the range; `done` is called from the loop."""
        if self._sock is None:
            try:
                self._start()
            except OSError as error:
                code = error.errno or errno.EIO
                self._reactor.soon(lambda: done(b"", code))
                return
        self._last += 1
        request = REQUEST.pack(self._last, volume, region, offset, length)
        self._waiting[self._last] = _Asked(request, done)
        self._outbound.append(request)
        self._flush()

    def at_once(self, volume: int, offset: int, length: int, done: Done) -> None:
        """Digests one region, for which somebody waits: by a thread here, since the process gives way."""

        def told(result: bytes | OSError) -> None:
            if isinstance(result, OSError):
                done(b"", result.errno or errno.EIO)
            else:
                done(result, 0)

        job = partial(digests, self._volumes[volume].fd, offset, length, length)
        self._pool.submit(object(), job, told)

    @property
    def waiting(self) -> int:
        """Requests under way."""
        return len(self._waiting)

    def close(self) -> None:
        """Ends the process; what waits gets no answer."""
        self._waiting.clear()
        self._stop()

    def _start(self) -> None:
        mine, theirs = socket.socketpair()
        # Opened anew: a descriptor of ours would carry our lock into a process that may outlive us.
        opened = {
            number: os.open(f"/proc/self/fd/{volume.fd}", os.O_RDONLY | os.O_CLOEXEC)
            for number, volume in self._volumes.items()
        }
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "farshore.engine.digest_process",
                    *[f"{number}={fd}" for number, fd in opened.items()],
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=tuple(opened.values()),
            )
        finally:
            theirs.close()
            for fd in opened.values():
                os.close(fd)
        mine.setblocking(False)
        self._sock = mine
        self._reactor.add(mine.fileno(), self._ready)

    def _flush(self) -> None:
        if self._sock is None:
            return
        try:
            self._outbound.send_to(self._sock)
        except OSError:
            self._reactor.soon(self._lost)
            return
        self._reactor.change(self._sock.fileno(), READABLE | (WRITABLE if self._outbound else 0))

    def _ready(self, events: int) -> None:
        if self._sock is None:
            return
        if events & WRITABLE:
            self._flush()
        if events & (READABLE | BROKEN):
            try:
                data = self._sock.recv(_READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._arrived += data
            self._answer()

    def _answer(self) -> None:
        while len(self._arrived) >= ANSWER.size:
            number, code, count = ANSWER.unpack_from(self._arrived)
            end = ANSWER.size + count * DIGEST_BYTES
            if len(self._arrived) < end:
                return
            found = bytes(self._arrived[ANSWER.size : end])
            del self._arrived[:end]
            self._waiting.pop(number).done(found, code)

    def _lost(self) -> None:
        self._stop()
        waiting, self._waiting = self._waiting, {}
        again = {number: asked for number, asked in waiting.items() if not asked.again}
        if again:
            try:
                self._start()
            except OSError:
                again = {}  # all of them end below
        for number, asked in again.items():
            asked.again = True
            self._waiting[number] = asked
            self._outbound.append(asked.request)
        self._flush()
        for number, asked in waiting.items():
            if number not in again:
                asked.done(b"", errno.EIO)

    def _stop(self) -> None:
        if self._sock is not None:
            self._reactor.remove(self._sock.fileno())
            self._sock.close()
            self._sock = None
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs on a disk and ends with that
                self._process.wait(_END_S)
            self._process = None
        self._outbound.clear()
        self._arrived.clear()
