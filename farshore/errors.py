"""The error catalogue: one exception tree with stable codes.

Each code has an exit code of the command line, an HTTP status and an NBD errno, and a section in
`docs/errors.md`. An error says what happened, what that means for the data, and the next command;
whoever raises it fills in the sentences. Codes are never renamed or reused.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the catalogue."""

    name: str
    exit_code: int
    http: int
    errno: int
    title: str


EXIT_ERROR, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_PERMISSION = 1, 2, 3, 4, 5
EXIT_UNREACHABLE, EXIT_TIMEOUT, EXIT_DIVERGED = 6, 7, 8

_ENTRIES = (
    Code("internal", EXIT_ERROR, 500, errno.EIO, "A defect of Farshore"),
    Code("usage", EXIT_USAGE, 400, errno.EINVAL, "The request is malformed"),
    Code("not-found", EXIT_NOT_FOUND, 404, errno.ENOENT, "No such group, link, node, volume or path"),
    Code("exists", EXIT_REFUSED, 409, errno.EEXIST, "Something of that name exists already"),
    Code("permission", EXIT_PERMISSION, 403, errno.EPERM, "The operating system denies access"),
    Code("unreachable", EXIT_UNREACHABLE, 503, errno.EHOSTUNREACH, "The peer or the node does not answer"),
    Code("timeout", EXIT_TIMEOUT, 504, errno.ETIMEDOUT, "The wanted state was not reached in time"),
    Code("diverged", EXIT_DIVERGED, 409, errno.EIO, "Two copies were written independently"),
    Code("size-mismatch", EXIT_REFUSED, 409, errno.EINVAL, "The place at the peer has another size"),
    Code("in-use", EXIT_REFUSED, 409, errno.EBUSY, "The volume is in use or mounted"),
    Code("own-device", EXIT_REFUSED, 409, errno.EBUSY, "The volume lies on one of our own devices"),
    Code("outside-grant", EXIT_REFUSED, 403, errno.EPERM, "The peer may not place copies there"),
    Code("not-empty", EXIT_REFUSED, 409, errno.EEXIST, "The place holds data already"),
    Code("bad-token", EXIT_PERMISSION, 403, errno.EPERM, "The invitation is wrong, used or expired"),
    Code("unknown-peer", EXIT_PERMISSION, 403, errno.EPERM, "The peer's key is not one we paired with"),
    Code("state-newer", EXIT_REFUSED, 409, errno.EINVAL, "The state directory is of a newer version"),
    Code("state-damaged", EXIT_ERROR, 500, errno.EIO, "A durable record is torn or damaged"),
    Code("state-locked", EXIT_REFUSED, 409, errno.EBUSY, "Another process owns this state"),
    Code("address-in-use", EXIT_ERROR, 409, errno.EADDRINUSE, "The address is taken"),
    Code("read-only", EXIT_PERMISSION, 409, errno.EROFS, "The volume cannot be written"),
    Code("disk-full", EXIT_ERROR, 507, errno.ENOSPC, "No space left where it is needed"),
    Code("store-full", EXIT_REFUSED, 507, errno.ENOSPC, "The preserve store has no room"),
    Code("io-error", EXIT_ERROR, 500, errno.EIO, "A disk reported an error"),
    Code("faulted", EXIT_ERROR, 409, errno.EIO, "The copy stopped after a disk error"),
    Code("wrong-state", EXIT_REFUSED, 409, errno.EINVAL, "The request does not fit the present state"),
    Code("wrong-role", EXIT_REFUSED, 409, errno.EPERM, "Only the other role can do that"),
    Code("not-promotable", EXIT_REFUSED, 409, errno.EPERM, "This copy cannot become the primary as it is"),
    Code("not-rewindable", EXIT_REFUSED, 409, errno.EPERM, "This copy cannot be rewound to there"),
    Code("promoted", EXIT_DIVERGED, 409, errno.EPERM, "The peer has become the primary"),
    Code("fenced", EXIT_DIVERGED, 409, errno.EPERM, "The copy takes no writes, since another was promoted"),
    Code("wrong-feeder", EXIT_REFUSED, 409, errno.EPERM, "The copy follows another link or epoch"),
    Code("ring", EXIT_REFUSED, 409, errno.ELOOP, "The copy would follow itself"),
    Code("session-live", EXIT_REFUSED, 409, errno.EBUSY, "Another instance holds this link's session"),
    Code("differences", EXIT_ERROR, 409, errno.EIO, "The copies differ where nothing was in flight"),
    Code("identity-changed", EXIT_DIVERGED, 409, errno.EIO, "The peer is not the copy that was known"),
    Code("protocol", EXIT_ERROR, 502, errno.EPROTO, "A message does not follow the protocol"),
    Code("plan-needed", EXIT_REFUSED, 409, errno.EPERM, "This could lose data and needs a plan"),
    Code("stale-plan", EXIT_REFUSED, 409, errno.EPERM, "The plan was made from another state"),
)

CODES: dict[str, Code] = {code.name: code for code in _ENTRIES}


class FarshoreError(Exception):
    """Every error that users meet. `code` is a name of `CODES`."""

    def __init__(self, code: str, what: str, *, means: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.code = CODES[code]
        self.what = what
        self.means = means
        self.next_step = next_step

    def as_dict(self) -> dict[str, str]:
        """The form that crosses the control socket and the API."""
        return {"code": self.code.name, "what": self.what, "means": self.means, "next": self.next_step}

    @classmethod
    def from_dict(cls, value: dict[str, str]) -> FarshoreError:
        """The inverse of `as_dict`; an unknown code becomes `internal`."""
        code = value.get("code", "internal")
        return cls(
            code if code in CODES else "internal",
            value.get("what", "unknown error"),
            means=value.get("means", ""),
            next_step=value.get("next", ""),
        )


class ProtocolError(FarshoreError):
    """Bytes or messages from outside that break a protocol; ends that connection and nothing else."""

    def __init__(self, what: str) -> None:
        super().__init__("protocol", what)


class IllegalEvent(FarshoreError):
    """A state machine was given an event that its state does not know; names both."""

    def __init__(self, state: str, event: str) -> None:
        super().__init__("wrong-state", f"event {event!r} is illegal in state {state!r}")
