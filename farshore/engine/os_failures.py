"""Errors of the operating system, outside of the data path, as errors of the catalogue."""

from __future__ import annotations

import errno
from typing import Final

from farshore.errors import FarshoreError

_CODES: Final = {
    errno.ENOSPC: "disk-full",
    errno.EDQUOT: "disk-full",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "read-only",
    errno.ENOENT: "not-found",
    errno.EADDRINUSE: "address-in-use",
}


def as_farshore_error(error: OSError, means: str) -> FarshoreError:
    """`means`: what that means for the data."""
    where = f"{error.filename}: " if error.filename else ""
    return FarshoreError(
        _CODES.get(error.errno or 0, "io-error"),
        f"{where}{error.strerror or error}",
        means=means,
        next_step="farshore doctor",
    )
