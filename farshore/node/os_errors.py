"""What the operating system's errors mean in the words of the catalogue. Pure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from farshore.errors import FarshoreError

_CODES = {
    errno.ENOENT: "not-found",
    errno.ENOTDIR: "not-found",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "read-only",
    errno.ENOSPC: "disk-full",
    errno.EDQUOT: "disk-full",
    errno.EFBIG: "disk-full",
    errno.EBUSY: "in-use",
    errno.EEXIST: "exists",
    errno.EADDRINUSE: "address-in-use",
    errno.EADDRNOTAVAIL: "address-in-use",
    errno.ECONNREFUSED: "unreachable",
    errno.ECONNRESET: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "unreachable",
    errno.EPIPE: "unreachable",
    errno.EMFILE: "internal",
}
_NEXT = {
    "not-found": "check the path",
    "permission": "give the user that runs the node access, or start the node as a user who has it",
    "read-only": "make it writable, or choose another path",
    "disk-full": "free space there, then try again",
    "in-use": "unmount it or stop what uses it, then try again",
    "exists": "choose another name or path",
    "address-in-use": "choose another address, or stop what listens there (ss -ltnp shows it)",
    "unreachable": "see whether the other side runs and the line is up",
}


def as_farshore_error(error: OSError, where: Path | str) -> FarshoreError:
    """The catalogue's error for `error` at a path or an address; nothing was changed by what failed."""
    code = _CODES.get(error.errno or 0, "io-error")
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return FarshoreError(
        code, f"{where}: {reason}", means="nothing was changed", next_step=_NEXT.get(code, "")
    )
