"""Keeps one process running per ward that should have one: an engine per copy, or a device per attachment.

Each ward has one task that asks `reconcile.decide` what to do and does it. A process found running is
adopted, whoever started it; two never run on one directory (the process's lock sees to that). When the
node ends, `leave` lets go of all processes and they run on. What one said when it failed to start
is kept here until it runs again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from farshore.errors import FarshoreError
from farshore.node import engine_process, reconcile
from farshore.node.background import Background
from farshore.node.os_errors import as_farshore_error
from farshore.node.wards import ENGINE, Around, Program, Ward

POLL_SECONDS = 0.05
READY_SECONDS = 30.0
RELOAD_SECONDS = 15.0
END_SECONDS = 1.0
"""How long a process may take to end that answers nobody any more."""
_log = logging.getLogger(__name__)


T = TypeVar("T", bound=Ward)


class Supervised(Generic[T]):
    """One ward under supervision. `error` is why its process does not run, None while all is well."""

    def __init__(self, ward: T) -> None:
        self.ward = ward
        self.wanted = True
        self.watch: engine_process.Watch | None = None
        self.answering_since: float | None = None
        self.failures = 0
        self.ended: float | None = None
        self.stop_asked: float | None = None
        self.dispensable = False
        """Its process was never ready, or agreed to end: nothing needs it."""
        self.error: FarshoreError | None = None
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.waiters = asyncio.Condition()

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self.watch.pid if self.watch is not None else None

    @property
    def running(self) -> bool:
        """True once it answers."""
        return self.watch is not None and self.answering_since is not None

    @property
    def over(self) -> bool:
        """Nobody keeps it any more."""
        return self.task is not None and self.task.done()


class Supervisor(Generic[T]):
    """All wards of one kind. `on_up(ward, adopted)` and `on_end(ward, error)` are told of changes."""

    def __init__(
        self,
        background: Background,
        on_up: Callable[[T, bool], None],
        on_end: Callable[[T, FarshoreError | None], None],
        program: Program = ENGINE,
        around: Around[T] | None = None,
    ) -> None:
        self._background = background
        self._on_up = on_up
        self._on_end = on_end
        self._program = program
        self._around = around
        self._all: dict[str, Supervised[T]] = {}

    def seen(self, key: str) -> Supervised[T] | None:
        """What is known of a ward's process."""
        return self._all.get(key)

    def log(self, ward: T) -> str:
        """Where its process's last words are, for people."""
        return self._program.log(ward.directory)

    def want(self, ward: T) -> Supervised[T]:
        """From now on this ward has a process. Returns at once."""
        known = self._all.get(ward.key)
        if known is not None and not known.over:
            known.ward = ward
            if not known.wanted:  # whoever was taking it down was cut off
                known.wanted, known.stop_asked = True, None
                known.changed.set()
            return known
        one = Supervised(ward)
        self._all[ward.key] = one
        one.task = self._background.start(self._keep(one), ward.called)
        return one

    async def bring_up(self, ward: T, seconds: float = READY_SECONDS) -> None:
        """`want`, and wait until the process answers.

        Raises the FarshoreError with which it failed to start, or `timeout`; it stays wanted.
        """
        one = self.want(ward)
        try:
            async with asyncio.timeout(seconds), one.waiters:
                await one.waiters.wait_for(lambda: one.running or one.error is not None)
        except TimeoutError as error:
            raise FarshoreError(
                "timeout",
                f"the {ward.called} did not answer within {seconds:g} s",
                next_step=f"its log: {self._program.log(ward.directory)}",
            ) from error
        if one.error is not None:
            raise one.error.with_traceback(None)

    async def settled(self, seconds: float) -> None:
        """Waits until every process answers or has said why it cannot, at most so long."""
        waits = [asyncio.ensure_future(_settled(one)) for one in self._all.values()]
        if not waits:
            return
        try:
            await asyncio.wait(waits, timeout=seconds)
        finally:
            for each in waits:
                each.cancel()

    async def take_down(self, ward: T) -> None:
        """Stops the ward's process cleanly (killed after a long silence) and no longer wants one."""
        one = self._all.get(ward.key)
        if one is None:
            return
        one.wanted = False
        one.changed.set()
        if one.task is not None:
            await asyncio.wait([one.task])
        self._all.pop(ward.key, None)

    async def ask_down(self, ward: T, args: dict[str, object], seconds: float) -> None:
        """`take_down` of a process that answers, and that may refuse: raises what it says, and keeps it then.

        `seconds` for its answer, less than it is given to stop.
        """
        one = self.want(ward)
        one.stop_asked = monotonic()  # before it ends: an end that was asked for is no reason for a new start
        one.wanted = False
        one.changed.set()
        try:
            await ward.control.ask("stop", args, seconds)
            one.dispensable = True
        except FarshoreError as error:
            # Where nobody answers the process may have ended; one that lives is in use for all we know.
            gone = error.code.name == "unreachable" and (
                one.watch is None or await one.watch.wait(END_SECONDS)
            )
            if not gone:
                one.wanted, one.stop_asked = True, None
                one.changed.set()
                raise
        await self.take_down(ward)

    async def stop_all(self) -> None:
        """`take_down` for every ward, side by side."""
        await asyncio.gather(*(self.take_down(one.ward) for one in list(self._all.values())))

    async def leave(self) -> None:
        """Lets go of all processes; they go on."""
        for one in list(self._all.values()):
            if one.task is not None:
                one.task.cancel()
                await asyncio.wait([one.task])
            if one.watch is not None:
                one.watch.close()
        self._all.clear()

    async def _keep(self, one: Supervised[T]) -> None:
        while True:
            one.changed.clear()
            try:
                done = await self._step(one)
            except FarshoreError as error:
                await self._ended(one, error)
                done = False
            except OSError as error:  # no descriptor for its pidfd, say: tried again like any start
                await self._ended(one, as_farshore_error(error, one.ward.directory))
                done = False
            if done:
                return

    async def _step(self, one: Supervised[T]) -> bool:
        directory = one.ward.directory
        holder = one.watch.pid if one.watch is not None else engine_process.holder(directory)
        needed = self._program.refuses and not one.dispensable
        seen = reconcile.Seen(holder, one.watch is not None, one.failures, one.ended, one.stop_asked, needed)
        match reconcile.decide(one.wanted, seen, monotonic()):
            case reconcile.Start():
                watch = await self._program.start(directory)
                one.dispensable = True
                await self._until_ready(one, watch, adopted=False)
            case reconcile.Adopt(pid):
                await self._adopt(one, pid)
            case reconcile.AskStop():
                one.stop_asked = monotonic()
                await self._ask_stop(one)
            case reconcile.Kill():
                if one.watch is not None:
                    _log.warning("the %s did not stop; killing it", one.ward.called)
                    one.watch.send(signal.SIGKILL)
                    if self._around is not None:
                        await self._around.after_kill(one.ward)
                    await self._rest(one, 1.0)
            case reconcile.Wait(seconds):
                await self._rest(one, seconds)
            case reconcile.Done():
                return True
        return False

    async def _rest(self, one: Supervised[T], seconds: float | None) -> None:
        """Until the process ends, something changed, or `seconds` passed."""
        waits = [asyncio.ensure_future(one.changed.wait())]
        if one.watch is not None:
            waits.append(asyncio.ensure_future(one.watch.ended.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if one.watch is not None and one.watch.ended.is_set():
            await self._ended(one, None)

    async def _adopt(self, one: Supervised[T], pid: int) -> None:
        """Somebody holds the directory. Watches it when it answers as this ward's process."""
        try:
            watch = engine_process.Watch(pid) if pid > 0 else None
        except ProcessLookupError:
            watch = None
        if watch is None:  # it ended meanwhile, or has not written its pid yet
            await self._rest(one, POLL_SECONDS)
            return
        one.dispensable = False
        await self._until_ready(one, watch, adopted=True)

    async def _until_ready(self, one: Supervised[T], watch: engine_process.Watch, *, adopted: bool) -> None:
        """Asks until the process says who it is, or ends; keeps asking as long as it is wanted."""
        one.watch = watch
        one.answering_since = None
        while one.wanted and not watch.ended.is_set():
            try:
                hello = await one.ward.control.ask("hello", seconds=2.0)
            except FarshoreError as error:
                _log.debug("no hello from the %s yet: %s", one.ward.called, error)
                await watch.wait(POLL_SECONDS)
                continue
            if hello.get("pid") != watch.pid or hello.get(self._program.serves) != one.ward.key:
                await watch.wait(POLL_SECONDS)
                continue
            if adopted and self._program.reloads:
                await self._catch_up(one)
            one.answering_since = monotonic()
            one.error, one.dispensable = None, False
            self._on_up(one.ward, adopted)
            async with one.waiters:
                one.waiters.notify_all()
            return
        if watch.ended.is_set():
            await self._ended(one, None)

    async def _catch_up(self, one: Supervised[T]) -> None:
        """An earlier node may have ended between writing an intent down and telling the process of it."""
        try:
            await one.ward.control.ask("reload", seconds=RELOAD_SECONDS)
        except FarshoreError as error:
            _log.warning("the %s keeps an older intent: %s", one.ward.called, error)

    async def _ask_stop(self, one: Supervised[T]) -> None:
        try:
            await one.ward.control.ask("stop")
        except FarshoreError as error:
            _log.info("the %s was signalled: %s", one.ward.called, error)
            if one.watch is not None:
                one.watch.send(signal.SIGTERM)

    async def _ended(self, one: Supervised[T], refused: FarshoreError | None) -> None:
        """The process is gone, or could not be started (`refused`)."""
        watch, one.watch = one.watch, None
        now = monotonic()
        lived = None if one.answering_since is None else now - one.answering_since
        one.answering_since = None
        one.failures = reconcile.failures_after_end(one.failures, lived)
        one.ended = now
        error = refused
        if watch is not None:
            watch.close()
            if watch.exit_code == 1 or (lived is None and one.wanted):
                # Whose exit code is not ours to see, that of a unit, has none.
                told = engine_process.failure(one.ward.directory) if watch.exit_code in (1, None) else None
                error = told or self._unexplained(one.ward, watch.exit_code)
        news = error if error is None or one.error is None or error.what != one.error.what else None
        if lived is not None or news is not None:
            self._on_end(one.ward, error)
        one.error = error
        async with one.waiters:
            one.waiters.notify_all()

    def _unexplained(self, ward: T, exit_code: int | None) -> FarshoreError:
        how = "ended" if exit_code is None else f"ended with code {exit_code}"
        return FarshoreError(
            "internal",
            f"the {ward.called} {how} before it answered",
            means=f"{self._program.without}; the node tries again",
            next_step=f"its log: {self._program.log(ward.directory)}",
        )


async def _settled(one: Supervised[T]) -> None:
    async with one.waiters:
        await one.waiters.wait_for(lambda: one.running or one.error is not None)
