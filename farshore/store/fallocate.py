"""Deallocating and zeroing ranges of a descriptor, which Python's `os` has no call for.

The one place with ctypes. Both calls release the interpreter lock while they run. They answer False
where the file system or device cannot do it, so that the caller writes zeroes instead; every other
failure is an `OSError`.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_ZERO_RANGE: Final = 0x10
_CANNOT: Final = frozenset((errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV))

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int


def punch(fd: int, offset: int, length: int) -> bool:
    """The range reads as zeroes and its blocks may be given back; False where that is not offered."""
    return _call(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length)


def zero(fd: int, offset: int, length: int) -> bool:
    """The range reads as zeroes and stays allocated; False where that is not offered."""
    return _call(fd, _ZERO_RANGE | _KEEP_SIZE, offset, length)


def _call(fd: int, mode: int, offset: int, length: int) -> bool:
    while _fallocate(fd, mode, offset, length):
        code = ctypes.get_errno()
        if code in _CANNOT:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True
