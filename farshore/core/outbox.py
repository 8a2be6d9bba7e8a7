"""What the parts of one copy's core share: the list of actions, tickets, time, the durable header.

The parts append to one outbox and the copy's public methods hand over what has gathered, so that
the order of actions is the order in which the core decided on them. A ticket is a continuation: the
shell names it when an action has ended, and what waits for that end runs then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from farshore.core.actions import Action, Note, SyncVolumes, WriteHeader
from farshore.model.header import Header

Then = Callable[..., None]


class Outbox:
    """Actions that wait to be handed to the shell, and continuations that wait for the shell."""

    __slots__ = ("_last_ticket", "_waiting", "actions", "now", "wall")

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.now = 0.0
        self.wall = 0.0
        self._waiting: dict[int, Then] = {}
        self._last_ticket = 0

    def emit(self, action: Action) -> None:
        """Append an action."""
        self.actions.append(action)

    def note(self, kind: str, **fields: object) -> None:
        """Append an event for the operator's journal."""
        self.actions.append(Note(kind, fields))

    def ticket(self, then: Then) -> int:
        """A new ticket whose end runs `then` with what the shell reports."""
        self._last_ticket += 1
        self._waiting[self._last_ticket] = then
        return self._last_ticket

    def settle(self, ticket: int, *result: Any) -> None:
        """The shell reports the end of an action."""
        self._waiting.pop(ticket)(*result)

    def forget(self, ticket: int) -> None:
        """What waited for this ticket is gone; its report will be ignored."""
        self._waiting[ticket] = _ignore

    def take(self) -> list[Action]:
        """Everything that gathered since the last call."""
        actions, self.actions = self.actions, []
        return actions


def _ignore(*_: object) -> None:
    """The continuation of a forgotten ticket."""


class HeaderKeeper:
    """The copy's header: changed in memory at once, made durable one write after another.

    `failed` is called with the errno of a write that did not become durable; nothing that waited
    for it runs then.
    """

    __slots__ = ("_failed", "_next", "_outbox", "_running", "_sent", "durable", "header", "refused")

    def __init__(self, outbox: Outbox, header: Header, failed: Callable[[int], None]) -> None:
        self.header = self.durable = self._sent = header
        self.refused: Header | None = None
        """What the last write that has ended would have made durable, had it not failed."""
        self._outbox = outbox
        self._failed = failed
        self._running: list[Then] | None = None
        self._next: list[Then] | None = None

    def put(self, header: Header, then: Then | None = None) -> None:
        """Make `header` the current one, and run `then` once it, or a later one, is durable."""
        self.header = header
        if self._running is not None:
            if self._next is None:
                self._next = []
            if then is not None:
                self._next.append(then)
            return
        self._begin([then] if then is not None else [])

    @property
    def idle(self) -> bool:
        """True while no write is under way: the current header is durable, unless the last one failed."""
        return self._running is None

    def _begin(self, waiting: list[Then]) -> None:
        self._running, self._sent = waiting, self.header
        self._outbox.emit(WriteHeader(self._outbox.ticket(self._written), self.header))

    def _written(self, errno: int) -> None:
        waiting, self._running = self._running or [], None
        if errno:
            self._next, self.refused = None, self._sent
            self._failed(errno)
            return
        self.durable, self.refused = self._sent, None
        if self._next is not None:
            following, self._next = self._next, None
            self._begin(following)
        for then in waiting:
            then()


class GroupSync:
    """At most one fdatasync of the copy's volumes (or of what else `action` names) in flight; later
    requests share the next one."""

    __slots__ = ("_action", "_errno", "_next", "_outbox", "_running")

    def __init__(self, outbox: Outbox, action: Callable[[int], Action] = SyncVolumes) -> None:
        self._outbox = outbox
        self._action = action
        self._errno = 0
        self._running: list[Then] | None = None
        self._next: list[Then] | None = None

    @property
    def idle(self) -> bool:
        """True while none is in flight."""
        return self._running is None

    def request(self, then: Then) -> None:
        """Sync everything written so far, then run `then(errno)`.

        Whoever asks while one is in flight waits for one that starts after it: the one in flight
        may not cover the newest writes.
        """
        if self._errno:
            then(self._errno)
        elif self._running is None:
            self._begin([then])
        elif self._next is None:
            self._next = [then]
        else:
            self._next.append(then)

    def _begin(self, waiting: list[Then]) -> None:
        self._running = waiting
        self._outbox.emit(self._action(self._outbox.ticket(self._synced)))

    def _synced(self, errno: int) -> None:
        waiting, self._running = self._running or [], None
        following, self._next = self._next, None
        if errno:
            # Rule C3: the kernel reports an error once. A later success would say nothing of what was
            # lost, so everybody who asked, or asks from now on, gets the error.
            self._errno = errno
            waiting = [*waiting, *(following or [])]
        elif following is not None:
            self._begin(following)
        for then in waiting:
            then(errno)


def after(count: int, then: Callable[[], None]) -> Callable[[], None]:
    """A continuation that runs `then` at its `count`-th call; at once when there is nothing to wait for."""
    if not count:
        then()
    left = [count]

    def one() -> None:
        left[0] -= 1
        if left[0] == 0:
            then()

    return one
