"""What applying frames to the volumes takes, and doing it.

A frame becomes steps once, when it has come in and everything in it has been checked; carrying them out
is writes and zeroes in order. The first error ends it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TypeAlias

from farshore.errors import ProtocolError
from farshore.model.volumes import CUT, FLUSH, TRIM, WRITE, ZERO
from farshore.store.volume import Volume
from farshore.wire import frame

_Run: TypeAlias = list[tuple[int, memoryview]]
Steps: TypeAlias = list[tuple[int, int, int, int, _Run]]
"""(volume, operation, offset, length, writes); a run of writes has offset and length 0."""


def steps_of(whole: frame.Frame, sizes: Mapping[int, int], *, gone: bool = False) -> Steps:
    """What applying the frame takes, in order. Raises ProtocolError unless all of it lies within our
    volumes, which nobody has checked before. With `gone`, what is meant for a volume that the group does
    not have any more is left out."""
    steps: Steps = []
    run: _Run = []
    volume = -1
    for number, code, _, offset, length, payload in whole.records():
        if code in (FLUSH, CUT) or (gone and number not in sizes):
            continue  # a flush or a cut is the core's affair
        if offset + length > sizes.get(number, -1):
            raise ProtocolError(f"a frame writes outside of volume {number}")
        if payload is not None:
            if number != volume:
                volume, run = number, []
                steps.append((number, WRITE, 0, 0, run))
            run.append((offset, payload))
        elif code in (ZERO, TRIM):
            volume = -1
            steps.append((number, code, offset, length, []))
        else:
            raise ProtocolError(f"a frame holds an operation {code}, which this version does not know")
    return steps


def volumes_in(steps: Steps) -> set[int]:
    """The volumes that these steps change."""
    return {step[0] for step in steps}


def carry_out(volumes: Mapping[int, Volume], steps: Steps) -> int:
    """The first errno, or 0."""
    for number, code, offset, length, run in steps:
        if code == WRITE:
            failed = volumes[number].write_many(run)
            if failed:
                return next(iter(failed.values()))
        else:
            try:
                volumes[number].zero(offset, length, may_unmap=code == TRIM)
            except OSError as error:
                return error.errno or errno.EIO
    return 0
