"""What applying frames to the volumes takes, and doing it.

A frame becomes steps once, when it has come in and everything in it has been checked; carrying them out
is writes and zeroes in order. The first error ends it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TypeAlias

from farshore.errors import ProtocolError
from farshore.model.volumes import CUT, FLUSH, RESIZE, TRIM, WRITE, ZERO
from farshore.store.volume import Volume
from farshore.wire import frame

Steps: TypeAlias = list[frame.Step]
_CHANGING = (WRITE, ZERO, TRIM)


def steps_of(whole: frame.Frame, sizes: Mapping[int, int], *, gone: bool = False) -> Steps:
    """What applying the frame takes, in order. Raises ProtocolError unless all of it lies within our
    volumes, which nobody has checked before. With `gone`, what is meant for a volume that the group does
    not have any more is left out."""
    steps: Steps = []
    for step in whole.steps:
        number, code = step.volume, step.operation
        if code in (FLUSH, CUT, RESIZE) or (gone and number not in sizes):
            continue  # these are the core's affair
        if step.end > sizes.get(number, -1):
            raise ProtocolError(f"a frame writes outside of volume {number}")
        if code not in _CHANGING:
            raise ProtocolError(f"a frame holds an operation {code}, which this version does not know")
        steps.append(step)
    return steps


def volumes_in(steps: Steps) -> set[int]:
    """The volumes that these steps change."""
    return {step.volume for step in steps}


def carry_out(volumes: Mapping[int, Volume], steps: Steps) -> int:
    """The first errno, or 0."""
    for step in steps:
        volume = volumes[step.volume]
        if step.operation == WRITE:
            failed = volume.write_many(step.offsets, step.payloads)
            if failed:
                return next(iter(failed.values()))
        else:
            try:
                volume.zero(step.offset, step.end - step.offset, may_unmap=step.operation == TRIM)
            except OSError as error:
                return error.errno or errno.EIO
    return 0
