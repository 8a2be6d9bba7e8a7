"""What a device's process leaves behind when it is killed, and the one way in which that is cleared away.

The kernel keeps a FUSE mount and a loop device whose process has died: requests there fail, none waits. A
loop device that somebody holds stays, with all the rest, and its holder is named; one that nobody holds is
freed, the mount taken off, whoever has files of it open, and the link removed. The next process of the device
does that before anything else. A node does it for a device that has no next process:

    python -m farshore.device.remains DIR            prints why not, one object of JSON, with exit code 1
    python -m farshore.device.remains --abort DIR    ends what still waits for a process that is being killed
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from typing import Final

from farshore.device import link_record, loop_device, mounting
from farshore.device.appearance import file_of
from farshore.device.holders import Holder, holders
from farshore.device.intent import read_config
from farshore.engine.os_failures import as_farshore_error
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock

_MEANS: Final = "What a process of the device left behind stays; the volume has all that was confirmed."
_MEANS_HELD: Final = (
    "reads and writes there fail; the volume has all that was confirmed, and is attached anew when nothing"
    " holds the old device"
)
_SOMEBODY: Final = Holder("somebody opened it just now", "farshore device list says when that is over")


def clear(config: DeviceConfig, directory: str) -> None:
    """Call it with the device's lock held, so that no process of it lives.

    Raises FarshoreError `in-use` while somebody holds a loop device of it, and OSError (EPERM) where what was
    left is not ours to take away.
    """
    file = file_of(config)
    devices = [*loop_device.on(file), *loop_device.once_on(file)]
    for device in devices:
        _refuse_held(config, device)
    if config.at is not None:  # first: a loop device that was freed is soon somebody else's
        link_record.unlink(directory, config.at)
    for device in devices:
        _free(config, device)
    mounting.clear_away(config.mount)
    mounting.remove_directory(config.mount)


def _free(config: DeviceConfig, device: str) -> None:
    try:
        loop_device.free(device)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise _held(config, device, next(iter(holders([device], device)), _SOMEBODY)) from error


def _refuse_held(config: DeviceConfig, device: str) -> None:
    for holder in holders([device], device):
        raise _held(config, device, holder)


def _held(config: DeviceConfig, device: str, by: Holder) -> FarshoreError:
    return FarshoreError(
        "in-use",
        f"{device}, of a device process of {config.group}/{config.volume} that ended, is held: {by.words}",
        means=_MEANS_HELD,
        next_step=by.next_step,
    )


def main(arguments: list[str]) -> int:
    """The exit code."""
    aborting = arguments[:1] == ["--abort"]
    directories = arguments[1:] if aborting else arguments
    if len(directories) != 1:
        print("usage: python -m farshore.device.remains [--abort] DIR", file=sys.stderr)
        return 2
    directory = os.path.abspath(directories[0])
    with contextlib.ExitStack() as opened:
        try:
            if aborting:
                mounting.abort(read_config(directory).mount)
            else:
                opened.callback(take_lock(RealFiles(), directory).release)
                clear(read_config(directory), directory)
        except FarshoreError as error:
            print(json.dumps(error.as_dict()))
            return 1
        except OSError as error:
            print(json.dumps(as_farshore_error(error, _MEANS).as_dict()))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
