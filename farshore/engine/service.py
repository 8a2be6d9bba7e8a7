"""The engine as a service: what systemd hears of it, where systemd started it.

It is ready when its control socket and its loop are. The loop itself says that it turns, so that a loop that
hangs is noticed, and it says on one line how the copy and its links are. Nothing of this is waited for.
"""

from __future__ import annotations

from farshore.engine.copy import RunningCopy
from farshore.engine.heartbeat import keep_alive
from farshore.engine.reactor import Reactor
from farshore.systemd.notify import Notifier


def attend(notifier: Notifier, reactor: Reactor, copy: RunningCopy) -> None:
    """From the loop's first turn on; call it after the copy's own start was put in line."""
    config = copy.config
    head = f"{config.role.value} of group {config.group_name}"
    states: dict[str, str] = {}

    def line() -> str:
        links = ", ".join(f"{name} {state}" for name, state in sorted(states.items()))
        return f"{head}: {links}" if links else head

    def heard(kind: str, fields: dict[str, object]) -> None:
        if kind == "link-state":
            states[str(fields["link"])] = str(fields["state"])
            notifier.status(line())

    copy.journal.listeners.append(heard)
    copy.on_stop.append(lambda: notifier.stopping(f"{head}: stops"))
    reactor.soon(lambda: notifier.ready(line()))
    keep_alive(notifier, reactor)
