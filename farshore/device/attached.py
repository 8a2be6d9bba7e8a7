"""The volume behind a device: the kernel's questions on one side, an export that comes and goes on the other.

It composes the table of requests and the device's standing with the two ends that carry bytes, and decides
nothing else. No request reaches an export that is not the volume that was attached. While there is no
engine, requests are held; when that has lasted too long they are answered with EIO, all of them, until
the engine is back. An answer that says that the engine stops is no answer: the request is held.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any, Final

from farshore.device.export_line import ExportLine
from farshore.device.fuse_channel import FuseChannel
from farshore.device.requests import Request, RequestTable
from farshore.device.standing import Standing, State
from farshore.engine.journal import Journal
from farshore.engine.reactor import Reactor, Timer
from farshore.model.device_config import DeviceConfig
from farshore.model.messages import Buffer
from farshore.wire.nbd import client
from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.errnos import os_error

MOST_BYTES: Final = 64 << 20
"""Of data of writes that are under way or held; more than that waits with the kernel. One more may begin."""
MOST_REQUESTS: Final = 1024
SILENT_S: Final = 5.0
"""After so many seconds without an answer status says so."""
_LONGEST_RANGE: Final = 1 << 30
_OWN: Final = 0
"""`unique` of a flush of our own; the kernel numbers from 2 on."""
_DURABLE: Final = nbd.NBD_FLAG_SEND_FLUSH | nbd.NBD_FLAG_SEND_FUA


class AttachedVolume:
    """See the module. It starts without a channel: `use` gives it one. `noticed` is called when its standing
    has changed."""

    def __init__(
        self, reactor: Reactor, config: DeviceConfig, journal: Journal, noticed: Callable[[], None]
    ) -> None:
        self.config = config
        self.standing = Standing(config.hold, reactor.now)
        self.since = time.time()
        """When the present state began, by the clock on the wall."""
        self._unfit = ""
        self.making = True
        """Nobody uses the device yet. To make a loop device, the kernel flushes a file that nobody has
        written to; that does not wait for an engine."""
        self._reactor = reactor
        self._journal = journal
        self._noticed = noticed
        self._table = RequestTable()
        self._bytes = 0
        self._channel: FuseChannel | None = None
        self._zeroes = True  # offered, as far as is known
        self._line = ExportLine(reactor, config.socket, config.export, self)
        self._flushed: Callable[[str], None] | None = None
        self._retry: Timer | None = None
        self._deadline: Timer | None = reactor.after(config.hold, self._overdue)
        self._heard = reactor.now
        """When the engine answered last, or was first asked something since."""

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Looks for the engine."""
        self._line.connect()

    def use(self, channel: FuseChannel) -> None:
        """Whose questions these are."""
        self._channel = channel

    def close(self) -> None:
        """Ends the connection. Nothing may be under way that anybody waits for."""
        for timer in (self._retry, self._deadline):
            if timer is not None:
                timer.cancel()
        self._line.close()

    @property
    def held(self) -> int:
        """Requests that wait for an engine."""
        return 0 if self.standing.state is State.ATTACHED and not self._silent else len(self._table)

    @property
    def _silent(self) -> float:
        """For how many seconds the engine has answered nothing that it was asked; 0 while all is well. It
        may stand still, or its disk: the connection goes on, since only its end says that nothing of what
        was asked is being done."""
        quiet = self._reactor.now - self._heard if self._table.flying else 0.0
        return quiet if quiet > SILENT_S else 0.0

    def facts(self) -> dict[str, Any]:
        """For status."""
        standing = self.standing
        state, why = standing.state, standing.why
        if state is State.ATTACHED and (silent := self._silent):
            state, why = State.WAITING, f"the engine has answered nothing for {silent:.0f} s"
        return {
            "state": state.value,
            "why": why,
            "held": self.held,
            "reconnects": max(standing.reconnects, 0),
        }

    def flush(self, then: Callable[[str], None]) -> None:
        """Makes durable what was acknowledged; `then` is told why that is not so, or nothing."""
        if self.standing.state is not State.ATTACHED:
            then(self.standing.why)
            return
        self._flushed = then
        self.take(Request(_OWN, nbd.NBD_CMD_FLUSH, 0, 0))

    def _end_flush(self, why: str) -> None:
        then, self._flushed = self._flushed, None
        if then is not None:
            then(why)

    # -- the kernel's side ------------------------------------------------------------------

    def take(self, request: Request) -> None:
        """A question that the engine has to answer."""
        if self.standing.state is State.FAILED:
            self._fail(request, errno.EIO)
            return
        if self.making:
            if request.command == nbd.NBD_CMD_FLUSH and self._channel is not None:
                self._channel.done(request, None)
                return
            self.making = not request.changes
        if request.command == nbd.NBD_CMD_WRITE_ZEROES and not self._zeroes:
            self._fail(request, errno.EOPNOTSUPP)
            return
        if request.payload is not None:
            self._bytes += len(request.payload)
        if not self._table.flying:
            self._heard = self._reactor.now
        if self._table.take(request) and self._line.ready:
            self._line.send(request)
        if self._bytes > MOST_BYTES or len(self._table) > MOST_REQUESTS:
            self._pause(True)

    def _pause(self, paused: bool) -> None:
        if self._channel is not None:
            self._channel.pause(paused)

    def _fail(self, request: Request, number: int) -> None:
        if self._channel is not None:
            self._channel.fail(request, number)

    # -- the engine's side ------------------------------------------------------------------

    def data_of(self, cookie: int) -> int | None:
        """Bytes that come with a successful reply."""
        return self._table.data_of(cookie)

    def served(self, export: client.Served) -> str:
        """See `export_line.Owner`."""
        self._unfit = self._misfit(export)
        if self._unfit:
            return self._unfit
        self._zeroes = bool(export.flags & nbd.NBD_FLAG_SEND_WRITE_ZEROES)
        first, why = self.standing.reconnects < 0, self.standing.why
        self._heard = self._reactor.now
        self.standing.back(self._heard)
        self._enter("engine-found" if first else "engine-back", why)
        if self._deadline is not None:
            self._deadline.cancel()
        for request in self._table.flying.values():
            self._line.send(request)
        return ""

    def _misfit(self, export: client.Served) -> str:
        """Why this is not the volume, or not as it was."""
        config = self.config
        if config.identity and export.description != config.identity:
            found = export.description or "nothing"
            if found.split()[:3] == config.identity.split()[:3]:
                return (
                    "another copy was the primary since this volume was attached, which holds what was"
                    " written there: detach it, and attach it again"
                )
            return f"another volume answers: it says {found!r}, and {config.identity!r} was attached"
        if export.size < config.size:  # a larger one has grown; we shall be told
            return f"the export has {export.size} bytes, and the volume that was attached has {config.size}"
        if export.read_only and not config.read_only:
            return "the export cannot be written, and the volume was attached for writing"
        if not export.read_only and ~export.flags & _DURABLE:
            return "the export offers nothing that makes writes durable"
        if export.min_block > 1:
            return f"the export wants blocks of {export.min_block} bytes"
        return ""

    def replied(self, cookie: int, error: int, data: Buffer | None) -> None:
        """See `export_line.Owner`."""
        request = self._table.flying[cookie]
        if error == nbd.NBD_ESHUTDOWN:
            self._line.finish("the engine stops")
            return
        self._heard = self._reactor.now
        released = self._table.answered(cookie)
        if request.payload is not None:
            self._bytes -= len(request.payload)
        if request.unique == _OWN:
            self._end_flush(os.strerror(os_error(error)) if error else "")
        elif error:
            self._fail(request, os_error(error))
        elif request.rest:
            released += self._next_piece(request)
        elif self._channel is not None:
            self._channel.done(request, data)
        if self._line.ready:
            for each in released:
                self._line.send(each)
        if self._channel is not None and self._channel.paused:
            self._pause(self._bytes > MOST_BYTES or len(self._table) > MOST_REQUESTS)

    def _next_piece(self, request: Request) -> list[Request]:
        length = min(request.rest, _LONGEST_RANGE)
        piece = Request(request.unique, request.command, request.end, length)
        piece.flags, piece.rest = request.flags, request.rest - length
        return [piece] if self._table.take(piece) else []

    def lost(self, why: str) -> None:
        """See `export_line.Owner`."""
        now = self._reactor.now
        unfit, self._unfit = self._unfit, ""
        if unfit:
            changed = self.standing.state is not State.FAILED
            pause = self.standing.unfit(now, why)
            if changed:
                self._give_up("unfit")
        else:
            went = self.standing.state is State.ATTACHED
            pause = self.standing.away(now, why)
            if went:
                self._enter("engine-lost", why)
                self._deadline = self._reactor.after(self.config.hold, self._overdue)
        self._retry = self._reactor.after(pause, self._line.connect)

    def _overdue(self) -> None:
        if self.standing.overdue(self._reactor.now):
            self._give_up("held-too-long")

    def _give_up(self, event: str) -> None:
        """Everything fails that is held."""
        self._enter(event, self.standing.why)
        given_up = self._table.give_up()
        self._bytes = 0
        for request in given_up:
            if request.unique == _OWN:
                self._end_flush(self.standing.why)
            else:
                self._fail(request, errno.EIO)
        self._pause(False)

    def _enter(self, event: str, why: str) -> None:
        self.since = time.time()
        self._journal.note(event, {"why": why, "held": len(self._table)})
        self._noticed()
