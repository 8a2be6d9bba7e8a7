"""Lines of a log as entries of systemd's journal, with fields that can be searched for.

`journalctl FARSHORE_GROUP=orders` shows what any process of ours said of that group. Used where stderr is
the journal already, as systemd says in JOURNAL_STREAM (systemd.exec(5)); elsewhere `open_journal` gives
nothing and lines go to stderr as before. An entry is one datagram in the journal's native protocol, sent
without waiting: one that the journal does not take at once is lost, as a line on a full disk is.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Mapping
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"
ERROR: Final = 3
WARNING: Final = 4
NOTICE: Final = 5
INFO: Final = 6
DEBUG: Final = 7
"""Priorities as of syslog(3)."""

_LONGEST: Final = 48 << 10
"""Bytes of one field. A datagram that does not fit into the socket's buffer would be lost as a whole."""
_MOST_FIELDS: Final = 64
_NOT_IN_NAMES: Final = re.compile(r"[^A-Z0-9]+")


class JournalSocket:
    """See the module; `identifier` is what the journal shows in front of each line."""

    def __init__(self, identifier: str, address: str = SOCKET) -> None:
        self._identifier = identifier
        self._address = address
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._door.setblocking(False)

    def send(self, text: str, priority: int, fields: Mapping[str, object]) -> None:
        """One entry: `text` for people, `fields` as FARSHORE_NAME=value. Never blocks, never fails."""
        entry = {
            "MESSAGE": text,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": self._identifier,
            "SYSLOG_PID": str(os.getpid()),
        }
        for name, value in list(fields.items())[:_MOST_FIELDS]:
            if value not in (None, ""):
                entry.setdefault(_field_name(name), str(value))
        with contextlib.suppress(OSError):  # as the module says
            self._door.sendto(encode(entry), self._address)

    def close(self) -> None:
        """Nothing can be sent afterwards."""
        self._door.close()


def open_journal(identifier: str, environ: Mapping[str, str], descriptor: int = 2) -> JournalSocket | None:
    """The journal, where `descriptor` (stderr) is connected to it; None elsewhere."""
    said = environ.get("JOURNAL_STREAM", "")
    if not said:
        return None
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None  # stderr is closed
    return JournalSocket(identifier) if said == f"{found.st_dev}:{found.st_ino}" else None


def encode(entry: Mapping[str, str]) -> bytes:
    """An entry in the native protocol: NAME=value, or for a value of several lines its length in front."""
    parts: list[bytes] = []
    for name, value in entry.items():
        data = value.encode("utf-8", "replace")[:_LONGEST]
        if b"\n" in data:
            parts.append(name.encode("ascii") + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode("ascii") + b"=" + data + b"\n")
    return b"".join(parts)


def _field_name(name: str) -> str:
    return f"FARSHORE_{_NOT_IN_NAMES.sub('_', name.upper()).strip('_')}"[:64]
