"""What a service tells systemd of itself: ready, stopping, alive, and one line of status (sd_notify(3)).

Datagrams to the socket that NOTIFY_SOCKET names; without one every call does nothing. A call never blocks
and never fails: a service manager that does not listen is no reason to stop moving data.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Final

_MOST_STATUS: Final = 200


class Notifier:
    """See the module. `take` makes the one of this process."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Notifier:
        """The one that the environment means; takes it out of there, so that no child speaks for us."""
        address = environ.pop("NOTIFY_SOCKET", "")
        limit, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        ours = limit.isdigit() and int(limit) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(limit) / 1e6 if ours and address else None)

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    @property
    def beat(self) -> float | None:
        """Seconds after which `alive` is due again, a third of the limit; None where nobody waits for it."""
        return None if self._watchdog is None else self._watchdog / 3

    def ready(self, status: str) -> None:
        """It serves."""
        self._tell("READY=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """What it does, for people."""
        self._tell(f"STATUS={_line(status)}")

    def stopping(self, status: str) -> None:
        """It has begun to end."""
        self._tell("STOPPING=1", f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Its loop turns. To be called from that loop and from nowhere else, or it would prove nothing."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # As the module says: systemd may be gone, or be slow, and we go on.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.setblocking(False)
            door.sendto("\n".join(lines).encode(), self._address)


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_STATUS]
