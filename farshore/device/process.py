"""`python -m farshore.device DIR`: the process of one attached volume, as DIR/device.json wants it.

It locks its memory, imports everything that it will ever need, makes the device appear, and serves it until
it is detached: over its control socket, by SIGTERM, or by somebody who takes the mount off. Whoever finds its
control socket listening finds the device complete. What keeps it from starting is left as one object in
DIR/failure.json and as its last line on stderr, with exit code 1. It outlives the node and the engine.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from typing import Final

from farshore.device.serving import Device
from farshore.engine.journal import Journal, to_stderr
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.reactor import Reactor
from farshore.engine.residence import settle_in
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig, from_json
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock

_MEANS: Final = "The volume is not attached; its data was not changed."


def main(arguments: list[str]) -> int:
    """The exit code."""
    if len(arguments) != 1:
        to_stderr("usage: python -m farshore.device DIR")
        return 2
    directory = os.path.abspath(arguments[0])
    os.umask(0o077)
    failure = f"{directory}/failure.json"
    with contextlib.ExitStack() as opened:
        try:
            opened.callback(take_lock(RealFiles(), directory).release)
            config = read_config(directory)
            residence = settle_in()
            reactor = Reactor()
            opened.callback(reactor.close)
            journal = Journal(time.time, to_stderr)
            device = Device(reactor, config, residence, journal, f"{directory}/link")
            opened.callback(device.close)
            device.start()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(failure)
            gc.collect()
            gc.freeze()
            gc.disable()
            reactor.run()
            if device.failure is not None:
                raise device.failure
        except FarshoreError as error:
            return _report(failure, error)
        except OSError as error:
            return _report(failure, as_farshore_error(error, _MEANS))
    return 0


def read_config(directory: str) -> DeviceConfig:
    """Raises FarshoreError `state-damaged`, `state-newer` or `not-found`."""
    path = f"{directory}/device.json"
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        if not isinstance(document, dict):
            raise ValueError("it is no object")
    except FileNotFoundError:
        raise FarshoreError(
            "not-found", f"{path} is not there", means=_MEANS, next_step="farshore device list"
        ) from None
    except ValueError as error:
        raise FarshoreError("state-damaged", f"{path} cannot be read: {error}", means=_MEANS) from error
    return from_json(document)


def _report(path: str, error: FarshoreError) -> int:
    text = json.dumps(error.as_dict())
    # Where even this cannot be written, the line on stderr says it.
    with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    to_stderr(text)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
