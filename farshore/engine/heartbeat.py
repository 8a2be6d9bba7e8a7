"""Lets a loop say by itself that it turns, where a service manager waits for that."""

from __future__ import annotations

from farshore.engine.reactor import Reactor
from farshore.systemd.notify import Notifier


def keep_alive(notifier: Notifier, reactor: Reactor) -> None:
    """From the loop's next turn on."""
    seconds = notifier.beat
    if seconds is None:
        return

    def beat() -> None:
        notifier.alive()
        reactor.after(seconds, beat)

    reactor.soon(beat)
