"""Errors of the operating system as an NBD client sees them."""

from __future__ import annotations

import errno

import pytest

from farshore.wire.nbd.errnos import nbd_error


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (errno.EPERM, 1),
        (errno.EACCES, 1),
        (errno.EROFS, 1),
        (errno.EIO, 5),
        (errno.ENOMEM, 12),
        (errno.EINVAL, 22),
        (errno.ENOSPC, 28),
        (errno.EDQUOT, 28),
        (errno.EFBIG, 28),
        (errno.EOVERFLOW, 75),
        (errno.EOPNOTSUPP, 95),
        (errno.ENOTSUP, 95),
        (errno.ESHUTDOWN, 108),
    ],
)
def test_known_errors_keep_their_meaning(number: int, value: int) -> None:
    assert nbd_error(number) == value


@pytest.mark.parametrize("number", [None, 0, errno.ENXIO, errno.ETIMEDOUT, errno.ENOENT, 4095])
def test_every_other_error_is_a_failed_disk(number: int | None) -> None:
    assert nbd_error(number) == 5
