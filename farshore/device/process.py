"""`python -m farshore.device DIR`: the process of one attached volume, as DIR/device.json wants it.

It takes away what an earlier process left, locks its memory, makes the device appear, and serves it until
it is detached: over its control socket, by SIGTERM, or by somebody who takes the mount off. Whoever finds its
control socket listening finds the device complete. What keeps it from starting is left as one object in
DIR/failure.json and as the last line of its log, with exit code 1. It outlives the node and the engine.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from functools import partial
from typing import Final

from farshore.device import remains, service
from farshore.device.intent import read_config
from farshore.device.serving import Device
from farshore.engine import log
from farshore.engine.journal import Journal
from farshore.engine.os_failures import as_farshore_error
from farshore.engine.reactor import Reactor
from farshore.engine.residence import settle_in
from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock
from farshore.systemd.notify import Notifier

IDENTIFIER: Final = "farshore-device"
"""What devices are called in a log."""
_MEANS: Final = "The volume is not attached; its data was not changed."


def main(arguments: list[str]) -> int:
    """The exit code."""
    if len(arguments) != 1:
        log.to_stderr("usage: python -m farshore.device DIR")
        return 2
    directory = os.path.abspath(arguments[0])
    notifier = Notifier.take(os.environ)
    os.umask(0o077)
    failure = f"{directory}/failure.json"
    with contextlib.ExitStack() as opened:
        try:
            opened.callback(take_lock(RealFiles(), directory).release)
            config = read_config(directory)
            remains.clear(config, directory)
            residence = settle_in()
            reactor = Reactor()
            opened.callback(reactor.close)
            events = log.begin(IDENTIFIER, _who(config), config.log_level)
            journal = Journal(time.time, events)
            device = Device(reactor, config, residence, journal, directory)
            device.on_reload = partial(_follow, events, directory)
            opened.callback(device.close)
            service.attend(notifier, reactor, config, journal)
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


def _follow(events: log.EventLog, directory: str) -> DeviceConfig:
    """What is intended by now; how to log is followed at once."""
    config = read_config(directory)
    events.level = config.log_level
    return config


def _report(path: str, error: FarshoreError) -> int:
    # Where even this cannot be written, the last line of the log says it.
    with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(error.as_dict()) + "\n")
    log.last_words(IDENTIFIER, error)
    return 1


def _who(config: DeviceConfig) -> dict[str, str]:
    return {"group": config.group, "volume": config.volume, "device": config.id}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
