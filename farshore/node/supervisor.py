"""Keeps one engine running per copy that should have one.

Each copy has one task that asks `reconcile.decide` what to do and does it. An engine found running is
adopted, whoever started it; two never run on one directory (the engine's lock sees to that). When the
node ends, `leave` lets go of all engines and they run on. What an engine said when it failed to start
is kept here until it runs again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from time import monotonic

from farshore.errors import FarshoreError
from farshore.node import engine_process, reconcile
from farshore.node.background import Background
from farshore.node.copies import StoredCopy
from farshore.node.os_errors import as_farshore_error

POLL_SECONDS = 0.05
READY_SECONDS = 30.0
RELOAD_SECONDS = 15.0
_log = logging.getLogger(__name__)


class Supervised:
    """One copy under supervision. `error` is why its engine does not run, None while all is well."""

    def __init__(self, stored: StoredCopy) -> None:
        self.stored = stored
        self.wanted = True
        self.watch: engine_process.Watch | None = None
        self.answering_since: float | None = None
        self.failures = 0
        self.ended: float | None = None
        self.stop_asked: float | None = None
        self.error: FarshoreError | None = None
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.waiters = asyncio.Condition()

    @property
    def pid(self) -> int | None:
        """Of the running engine."""
        return self.watch.pid if self.watch is not None else None

    @property
    def running(self) -> bool:
        """True once it answers."""
        return self.watch is not None and self.answering_since is not None


class Supervisor:
    """All copies. `on_up(stored, adopted)` and `on_end(stored, error)` are told of changes."""

    def __init__(
        self,
        background: Background,
        on_up: Callable[[StoredCopy, bool], None],
        on_end: Callable[[StoredCopy, FarshoreError | None], None],
        command: Sequence[str] = engine_process.ENGINE_COMMAND,
    ) -> None:
        self._background = background
        self._on_up = on_up
        self._on_end = on_end
        self._command = tuple(command)
        self._all: dict[str, Supervised] = {}

    def seen(self, key: str) -> Supervised | None:
        """What is known of a copy's engine."""
        return self._all.get(key)

    def want(self, stored: StoredCopy) -> Supervised:
        """From now on this copy has an engine. Returns at once."""
        known = self._all.get(stored.key)
        if known is not None:
            known.stored = stored
            return known
        one = Supervised(stored)
        self._all[stored.key] = one
        one.task = self._background.start(self._keep(one), f"engine of {stored.config.group_name}")
        return one

    async def bring_up(self, stored: StoredCopy, seconds: float = READY_SECONDS) -> None:
        """`want`, and wait until the engine answers.

        Raises the FarshoreError with which it failed to start, or `timeout`; it stays wanted.
        """
        one = self.want(stored)
        try:
            async with asyncio.timeout(seconds), one.waiters:
                await one.waiters.wait_for(lambda: one.running or one.error is not None)
        except TimeoutError as error:
            raise FarshoreError(
                "timeout",
                f"the engine of group {stored.config.group_name} did not answer within {seconds:g} s",
                next_step=f"its log is {stored.directory / 'engine.log'}",
            ) from error
        if one.error is not None:
            raise one.error.with_traceback(None)

    async def take_down(self, stored: StoredCopy) -> None:
        """Stops the copy's engine cleanly (killed after a long silence) and no longer wants one."""
        one = self._all.get(stored.key)
        if one is None:
            return
        one.wanted = False
        one.changed.set()
        if one.task is not None:
            await asyncio.wait([one.task])
        self._all.pop(stored.key, None)

    async def stop_all(self) -> None:
        """`take_down` for every copy, side by side."""
        await asyncio.gather(*(self.take_down(one.stored) for one in list(self._all.values())))

    async def leave(self) -> None:
        """Lets go of all engines; they go on."""
        for one in list(self._all.values()):
            if one.task is not None:
                one.task.cancel()
                await asyncio.wait([one.task])
            if one.watch is not None:
                one.watch.close()
        self._all.clear()

    async def _keep(self, one: Supervised) -> None:
        while True:
            one.changed.clear()
            try:
                done = await self._step(one)
            except FarshoreError as error:
                await self._ended(one, error)
                done = False
            except OSError as error:  # no descriptor for its pidfd, say: tried again like any start
                await self._ended(one, as_farshore_error(error, one.stored.directory))
                done = False
            if done:
                return

    async def _step(self, one: Supervised) -> bool:
        directory = one.stored.directory
        holder = one.watch.pid if one.watch is not None else engine_process.holder(directory)
        seen = reconcile.Seen(holder, one.watch is not None, one.failures, one.ended, one.stop_asked)
        match reconcile.decide(one.wanted, seen, monotonic()):
            case reconcile.Start():
                watch = engine_process.start_watched(directory, self._command)
                await self._until_ready(one, watch, adopted=False)
            case reconcile.Adopt(pid):
                await self._adopt(one, pid)
            case reconcile.AskStop():
                one.stop_asked = monotonic()
                await self._ask_stop(one)
            case reconcile.Kill():
                if one.watch is not None:
                    _log.warning("engine of %s did not stop; killing it", one.stored.config.group_name)
                    one.watch.send(signal.SIGKILL)
                    await self._rest(one, 1.0)
            case reconcile.Wait(seconds):
                await self._rest(one, seconds)
            case reconcile.Done():
                return True
        return False

    async def _rest(self, one: Supervised, seconds: float | None) -> None:
        """Until the engine ends, something changed, or `seconds` passed."""
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

    async def _adopt(self, one: Supervised, pid: int) -> None:
        """Somebody holds the directory. Watches it when it answers as this copy's engine."""
        try:
            watch = engine_process.Watch(pid) if pid > 0 else None
        except ProcessLookupError:
            watch = None
        if watch is None:  # it ended meanwhile, or has not written its pid yet
            await self._rest(one, POLL_SECONDS)
            return
        await self._until_ready(one, watch, adopted=True)

    async def _until_ready(self, one: Supervised, watch: engine_process.Watch, *, adopted: bool) -> None:
        """Asks until the engine says who it is, or ends; keeps asking as long as it is wanted."""
        one.watch = watch
        one.answering_since = None
        while one.wanted and not watch.ended.is_set():
            try:
                hello = await one.stored.engine.ask("hello", seconds=2.0)
            except FarshoreError as error:
                _log.debug("no hello from the engine of %s yet: %s", one.stored.config.group_name, error)
                await watch.wait(POLL_SECONDS)
                continue
            if hello.get("pid") != watch.pid or hello.get("copy") != one.stored.key:
                await watch.wait(POLL_SECONDS)
                continue
            if adopted:
                await self._catch_up(one)
            one.answering_since = monotonic()
            one.error = None
            self._on_up(one.stored, adopted)
            async with one.waiters:
                one.waiters.notify_all()
            return
        if watch.ended.is_set():
            await self._ended(one, None)

    async def _catch_up(self, one: Supervised) -> None:
        """An earlier node may have ended between writing an intent down and telling the engine of it."""
        try:
            await one.stored.engine.ask("reload", seconds=RELOAD_SECONDS)
        except FarshoreError as error:
            _log.warning("the engine of %s keeps an older intent: %s", one.stored.config.group_name, error)

    async def _ask_stop(self, one: Supervised) -> None:
        try:
            await one.stored.engine.ask("stop")
        except FarshoreError as error:
            _log.info("the engine of %s was signalled: %s", one.stored.config.group_name, error)
            if one.watch is not None:
                one.watch.send(signal.SIGTERM)

    async def _ended(self, one: Supervised, refused: FarshoreError | None) -> None:
        """The engine is gone, or could not be started (`refused`)."""
        watch, one.watch = one.watch, None
        now = monotonic()
        lived = None if one.answering_since is None else now - one.answering_since
        one.answering_since = None
        one.failures = reconcile.failures_after_end(one.failures, lived)
        one.ended = now
        error = refused
        if watch is not None:
            watch.close()
            if watch.exit_code == 1:
                error = engine_process.failure(one.stored.directory) or _unexplained(one.stored, 1)
            elif lived is None and one.wanted:
                error = _unexplained(one.stored, watch.exit_code)
        news = error if error is None or one.error is None or error.what != one.error.what else None
        if lived is not None or news is not None:
            self._on_end(one.stored, error)
        one.error = error
        async with one.waiters:
            one.waiters.notify_all()


def _unexplained(stored: StoredCopy, exit_code: int | None) -> FarshoreError:
    how = "ended" if exit_code is None else f"ended with code {exit_code}"
    return FarshoreError(
        "internal",
        f"the engine of group {stored.config.group_name} {how} before it answered",
        means="its volumes are not served; the node tries again",
        next_step=f"its log is {stored.directory / 'engine.log'}",
    )
