"""The device as a service: what systemd hears of it, where systemd started it.

It is ready when programs can open it; its engine may come later. To be told to end is final there: systemd
tells it once, and kills it when its patience is over. So a device that is still in use then, because
something on it is just being unmounted, looks again until it is not.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from farshore.engine.heartbeat import keep_alive
from farshore.engine.journal import Journal
from farshore.engine.reactor import Reactor
from farshore.model.device_config import DeviceConfig
from farshore.systemd.notify import Notifier

LOOK_AGAIN: Final = 0.5
"""Seconds."""


def attend(notifier: Notifier, reactor: Reactor, config: DeviceConfig, journal: Journal) -> None:
    """From now on; before the device starts."""
    if not notifier.listens:
        return
    name = f"{config.group}/{config.volume}"

    def heard(kind: str, fields: dict[str, object]) -> None:
        if kind == "device-ready":
            notifier.ready(f"{name} at {fields['path']}")
        elif kind == "detach-refused":
            notifier.stopping(f"{name} ends when it is not used any more: {fields['why']}")
            reactor.after(LOOK_AGAIN, lambda: os.kill(os.getpid(), signal.SIGTERM))
        else:
            notifier.status(f"{name}: {kind.replace('-', ' ')}")

    journal.listeners.append(heard)
    keep_alive(notifier, reactor)
