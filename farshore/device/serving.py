"""A device from its making to its end: composes its parts, answers its control socket, detaches when told.

Order of the start: a first look for the engine, so that the wrong volume is refused before anything is made
(an engine that is not there yet is waited for by whoever uses the device); then the mount; then, in a child
because it asks us, the loop device and the link; then the control socket, which tells that all of it is
there. A detach goes the same way back, and is refused as a whole while anybody uses the device.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from farshore.device.appearance import Appearance
from farshore.device.attached import AttachedVolume
from farshore.device.chores import Chores
from farshore.device.fuse_channel import FuseChannel
from farshore.device.one_file import OneFile
from farshore.device.standing import State
from farshore.engine.control_server import Call, ControlServer
from farshore.engine.journal import Journal
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.reactor import Reactor, Timer
from farshore.engine.residence import Residence
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig
from farshore.wire import control

FIRST_LOOK: Final = 2.0
"""Seconds that an engine has to answer before the device is made without it."""
LAST_FLUSH: Final = 10.0
_MEANS: Final = "The volume is not attached; its data was not changed."
_NEXT: Final = {
    State.ATTACHED: "",
    State.WAITING: "farshore status {group}",
    State.FAILED: "farshore status {group}; once its engine is back the device works again by itself",
}


class Device:
    """See the module. `failure` is what ended it, if it did not end as it should."""

    def __init__(
        self, reactor: Reactor, config: DeviceConfig, residence: Residence, journal: Journal, directory: str
    ) -> None:
        self.failure: FarshoreError | None = None
        self.on_reload: Callable[[], DeviceConfig] = lambda: config
        """Reads the intent again. May raise FarshoreError."""
        self._reactor = reactor
        self._config = config
        self._residence = residence
        self._journal = journal
        self._appearance = Appearance(config, directory)
        self._volume = AttachedVolume(reactor, config, journal, self._noticed)
        self._chores = Chores(reactor)
        self._control: ControlServer | None = None
        self._channel: FuseChannel | None = None
        self._looking: Timer | None = None
        self._ending = False
        self._leaving: list[Callable[[FarshoreError | None], None]] = []

    # -- start ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins; `failure` is set and the loop ends where it cannot be made."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._reactor.post(self._told_to_end))
        self._looking = self._reactor.after(FIRST_LOOK, self._looked)
        self._reactor.soon(self._volume.start)

    def _noticed(self) -> None:
        """The volume's standing has changed."""
        if self._looking is not None:
            self._looked()

    def _looked(self) -> None:
        if self._looking is None:
            return
        self._looking.cancel()
        self._looking = None
        if self._volume.standing.state is State.FAILED:
            self._fail(
                FarshoreError(
                    "identity-changed",
                    self._volume.standing.why,
                    means=_MEANS,
                    next_step=f"farshore export list; farshore status {self._config.group}",
                )
            )
            return
        try:
            self._mounted(self._appearance.mount())
        except FarshoreError as error:
            self._fail(error)
        except OSError as error:
            self._fail(as_farshore_error(error, _MEANS))

    def _mounted(self, fd: int) -> None:
        config = self._config
        owner = (os.geteuid(), os.getegid())
        name = os.path.basename(self._appearance.file)
        file = OneFile(name, config.size, owner, int(time.time()), read_only=config.read_only)
        self._channel = FuseChannel(self._reactor, fd, file, self._volume.take, self._gone)
        self._volume.use(self._channel)
        self._chores.submit(self._appearance.complete, self._completed)

    def _completed(self, result: str | FarshoreError | None) -> None:
        if isinstance(result, FarshoreError):
            self._appearance.look()
            self._fail(result)
            return
        self._appearance.device = result
        self._volume.making = False
        try:
            self._control = ControlServer(self._reactor, self._config.control, self._handle)
        except OSError as error:
            self._fail(as_farshore_error(error, _MEANS))
            return
        self._journal.note("device-ready", {"path": self._appearance.path, "way": self._appearance.way})
        if self._ending:
            self._told_to_end()

    def _fail(self, error: FarshoreError) -> None:
        self.failure = error
        self._abandon()

    def _abandon(self) -> None:
        self._chores.submit(self._appearance.abandon, lambda _: self._reactor.stop())

    # -- end --------------------------------------------------------------------------------

    def _told_to_end(self) -> None:
        self._ending = True
        if self._control is not None:  # else it is looked at when the start is complete
            self._detach(self._refused)

    def _refused(self, error: FarshoreError | None) -> None:
        if error is not None:
            self._ending = False
            self._journal.note("detach-refused", {"why": error.what})

    def _detach(self, answer: Callable[[FarshoreError | None], None]) -> None:
        """`answer` is told when it is done, or why it is not."""
        self._leaving.append(answer)
        if len(self._leaving) == 1:
            self._chores.submit(self._appearance.remove, self._removed)

    def _removed(self, result: dict[str, Any] | FarshoreError) -> None:
        if isinstance(result, FarshoreError):
            self._appearance.look()
            self._answer(result)
            return
        self._appearance.device = result["device"]
        if result["refused"] is not None:
            self._answer(FarshoreError.from_dict(result["refused"]))
            return
        self._reactor.after(LAST_FLUSH, partial(self._flushed, "the engine does not answer"))
        self._volume.flush(self._flushed)

    def _flushed(self, why: str) -> None:
        """What was acknowledged is made durable where the engine is there to do it; nobody asked for it."""
        self._journal.note("detached", {"unflushed": why})
        self._answer(None)
        self._reactor.soon(self._reactor.stop)

    def _answer(self, error: FarshoreError | None) -> None:
        leaving, self._leaving = self._leaving, []
        for answer in leaving:
            answer(error)

    def _gone(self) -> None:
        """Nobody can ask us anything any more: by a detach, or because somebody took the mount off."""
        if not self._leaving and self.failure is None:
            self._journal.note("unmounted", {"why": "the file system was taken off by somebody else"})
            self._abandon()

    def close(self) -> None:
        """Ends what is open."""
        if self._control is not None:
            self._control.close()
        self._volume.close()
        if self._channel is not None:
            self._channel.close()

    # -- control ----------------------------------------------------------------------------

    def _handle(self, call: Call) -> None:
        if call.op == "hello":
            call.reply({"pid": os.getpid(), "id": self._config.id, "versions": sorted(control.SPOKEN)})
        elif call.op == "status":
            call.reply(self.status())
        elif call.op == "reload":
            self._reload(call)
        elif call.op == "stop":
            if call.args.get("lazy"):
                raise FarshoreError("usage", "a device cannot be detached while it is used")
            self._detach(lambda error: call.reply({}) if error is None else call.fail(error))
        else:
            raise FarshoreError("usage", f"unknown operation {call.op!r}")

    def _reload(self, call: Call) -> None:
        """Answered once programs see the size that is wanted; nothing becomes smaller."""
        size = self.on_reload().size
        if size < self._config.size or self._channel is None:
            call.reply({})
            return
        if size > self._config.size:
            self._config = self._volume.config = replace(self._config, size=size)
            self._channel.grow(size)
            self._journal.note("device-grown", {"size": size})

        def seen(result: FarshoreError | None) -> None:
            if result is None:
                call.reply({})
            else:
                call.fail(result)

        self._chores.submit(partial(self._appearance.grow, size), seen)

    def status(self) -> dict[str, Any]:
        """How the device stands."""
        config, volume, shown = self._config, self._volume, self._appearance
        since = datetime.fromtimestamp(volume.since, UTC).isoformat(timespec="milliseconds")
        return {
            "id": config.id,
            "group": config.group,
            "volume": config.volume,
            "way": shown.way,
            "path": shown.path,
            "file": shown.file,
            "at": config.at,
            **volume.facts(),
            "next": _NEXT[volume.standing.state].format(group=config.group),
            "since": since.replace("+00:00", "Z"),
            "locked": self._residence.locked,
            "flusher": self._residence.flusher,
            "read_only": config.read_only,
            "size": config.size,
        }
