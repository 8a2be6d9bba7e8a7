"""A process that serves a disk must not wait for that disk to get its own memory.

Pages that a program wrote to a device of ours may have to be written out through us before anybody gets
memory again. So our memory is locked, and the kernel is told that we are a part of the way to a disk (it
then neither starts I/O for our allocations nor slows our writes down for other disks' dirt). Both are asked
for before any thread begins, since threads inherit the second. Where the system does not permit it, what
is returned says so; nothing here raises.
"""

from __future__ import annotations

import ctypes
import os
import resource
from dataclasses import dataclass
from typing import Final

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_IO_FLUSHER: Final = 57
_CAP_IPC_LOCK: Final = 14


@dataclass(frozen=True, slots=True)
class Residence:
    """True, or why it is not so."""

    locked: bool | str
    flusher: bool | str


def settle_in() -> Residence:
    """Locks the memory of this process, what it has and what it will get, and marks it as an I/O flusher."""
    libc = ctypes.CDLL(None, use_errno=True)
    return Residence(_lock(libc), _mark(libc))


def _lock(libc: ctypes.CDLL) -> bool | str:
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock():
        # Within a limit the lock would hold until an allocation failed because of it.
        return f"not permitted: CAP_IPC_LOCK is missing and the limit of locked memory is {limit} bytes"
    for flags in (_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT, _MCL_CURRENT | _MCL_FUTURE):
        if libc.mlockall(flags) == 0:
            return True
    return f"mlockall: {os.strerror(ctypes.get_errno())}"


def _may_lock() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
            effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    except OSError:
        return False
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)


def _mark(libc: ctypes.CDLL) -> bool | str:
    if libc.prctl(_PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0:
        return True
    return f"prctl(PR_SET_IO_FLUSHER): {os.strerror(ctypes.get_errno())}"
