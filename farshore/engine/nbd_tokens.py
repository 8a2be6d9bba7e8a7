"""How an answer finds back to its request.

The core hands a write's token back with the reply. A token is (owner, cookie, cost): the owner takes the
answer, the cookie is the client's, the cost is what the request weighs among what its connection has
outstanding. A request that became several operations has a `Split` as its owner, which answers the
client once, when all parts are answered, with the first error if there was any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias


class Owner(Protocol):
    """Who takes answers. `done` and `pending` are changed by `Answers` directly: it is the hot path."""

    done: list[int]
    """Cookies of requests that succeeded since the last `settle`."""
    pending: int
    """Bytes that unanswered requests weigh."""

    def fail(self, cookie: int, errno: int) -> None:
        """The request of this cookie failed."""

    def settle(self) -> None:
        """Called at the end of a turn in which `done` grew or `fail` was called."""


Token: TypeAlias = tuple[Owner, int, int]


class Answers:
    """Collects the answers of a turn by owner."""

    __slots__ = ("_touched",)

    def __init__(self) -> None:
        self._touched: list[Owner] = []

    def take(self, tokens: Sequence[Token], errno: int) -> None:
        """These requests have ended."""
        touch = self._touched.append
        if errno:
            for owner, cookie, cost in tokens:
                owner.pending -= cost
                owner.fail(cookie, errno)
                touch(owner)
            return
        for owner, cookie, cost in tokens:
            done = owner.done
            if not done:
                touch(owner)
            done.append(cookie)
            owner.pending -= cost

    def touch(self, owner: Owner) -> None:
        """This one has something to send that did not come through here."""
        self._touched.append(owner)

    def settle(self) -> None:
        """Lets every owner send what gathered; parts that complete a request add to it meanwhile."""
        touched = self._touched
        at = 0
        while at < len(touched):
            touched[at].settle()
            at += 1
        touched.clear()


class Split:
    """Owns the parts of one request."""

    __slots__ = ("_answers", "_errno", "_left", "_token", "done", "pending")

    def __init__(self, answers: Answers, token: Token, parts: int) -> None:
        self._answers = answers
        self._token = token
        self._left = parts
        self._errno = 0
        self.done: list[int] = []
        self.pending = 0

    def fail(self, cookie: int, errno: int) -> None:
        """The parts all have the request's cookie."""
        self._errno = self._errno or errno
        self._left -= 1

    def settle(self) -> None:
        """Passes the answer on with the last part; settling again has no effect."""
        self._left -= len(self.done)
        self.done.clear()
        if self._left == 0:
            self._left = -1
            self._answers.take((self._token,), self._errno)
