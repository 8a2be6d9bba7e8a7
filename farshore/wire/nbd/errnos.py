"""The operating system's error numbers as the few values that an NBD reply may carry.

Whatever has no counterpart becomes EIO: to the application an unexplained failure of a disk is a failed
disk, never its own mistake. The protocol wants EOVERFLOW only as the answer to a READ with DF and ENOTSUP
only to a WRITE_ZEROES with FAST_ZERO; whoever executes another command translates those before it asks here.
"""

from __future__ import annotations

import errno

from farshore.wire.nbd.constants import (
    NBD_EINVAL,
    NBD_EIO,
    NBD_ENOMEM,
    NBD_ENOSPC,
    NBD_ENOTSUP,
    NBD_EOVERFLOW,
    NBD_EPERM,
    NBD_ESHUTDOWN,
)

_NBD_OF_ERRNO = {
    errno.EPERM: NBD_EPERM,
    errno.EACCES: NBD_EPERM,
    errno.EROFS: NBD_EPERM,
    errno.EIO: NBD_EIO,
    errno.ENOMEM: NBD_ENOMEM,
    errno.EINVAL: NBD_EINVAL,
    errno.ENOSPC: NBD_ENOSPC,
    errno.EDQUOT: NBD_ENOSPC,
    errno.EFBIG: NBD_ENOSPC,
    errno.EOVERFLOW: NBD_EOVERFLOW,
    errno.EOPNOTSUPP: NBD_ENOTSUP,
    errno.ENOTSUP: NBD_ENOTSUP,
    errno.ESHUTDOWN: NBD_ESHUTDOWN,
}


def nbd_error(number: int | None) -> int:
    """The NBD error value for an `OSError.errno`; EIO for None and for what the protocol has no value for."""
    return NBD_EIO if number is None else _NBD_OF_ERRNO.get(number, NBD_EIO)


def os_error(error: int) -> int:
    """What a client's caller is told for an NBD error value: its number is Linux's. EIO for one that the
    protocol does not have."""
    return error if error in _VALUES else errno.EIO


_VALUES = frozenset(_NBD_OF_ERRNO.values())
