"""What a device's process leaves behind when it is killed: the device's own code is asked to clear it away.

That code runs in a process of its own (`farshore.device.remains`), as devices do: the node loads nothing of
theirs, and waits for nothing that may hang on a dead mount. Where the node may not do what a device may, as
under systemd, it is the next process of the device that clears away.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from farshore.errors import FarshoreError
from farshore.node.os_errors import as_farshore_error

_COMMAND: Final = (sys.executable, "-m", "farshore.device.remains")
_LIMIT_S: Final = 30.0


async def clear(directory: Path) -> None:
    """Takes away what the process of this device has left; call it only while no process holds its lock.

    Raises FarshoreError `in-use` while somebody holds a loop device of it, and `permission` where what was
    left is not ours to take away.
    """
    await _ask(str(directory))


async def abort(directory: Path) -> None:
    """Has the kernel answer, with errors, whatever still waits for a process that is being killed: else one
    that had its own file open could not end. Raises FarshoreError, `permission` for all but root."""
    await _ask("--abort", str(directory))


async def _ask(*words: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND, *words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise as_farshore_error(error, sys.executable) from error
    try:
        async with asyncio.timeout(_LIMIT_S):
            said, _ = await process.communicate()
    except TimeoutError as error:
        raise FarshoreError(
            "timeout",
            f"what a device's process left was not taken away within {_LIMIT_S:g} s",
            means="it stays, and nothing else was changed",
            next_step="farshore device list; losetup -a and mount show what is there",
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _told(said)


def _told(said: bytes) -> FarshoreError:
    try:
        return FarshoreError.from_dict(json.loads(said))
    except (AttributeError, KeyError, TypeError, ValueError):
        return FarshoreError(
            "internal",
            "what a device's process left could not be looked at",
            means="it stays, and nothing else was changed",
            next_step="the node's log says more",
        )
