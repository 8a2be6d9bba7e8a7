"""Log lines of the node's process: one JSON object each on stderr, or entries of systemd's journal.

The journal is taken where stderr leads there. A record's `fields` (what an event of the node names: its kind,
its group) go along, as fields of the entry or as `fields` of the object.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Final

from farshore.errors import FarshoreError
from farshore.node.events import rfc3339
from farshore.systemd import journal

IDENTIFIER: Final = "farshore-node"
_PRIORITIES: Final = {
    logging.DEBUG: journal.DEBUG,
    logging.INFO: journal.INFO,
    logging.WARNING: journal.WARNING,
}


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(),
            "level": record.levelname.lower(),
            "from": record.name,
            "text": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if fields:
            line["fields"] = fields
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class JournalHandler(logging.Handler):
    """Records as entries of systemd's journal."""

    def __init__(self, sink: journal.JournalSocket) -> None:
        super().__init__()
        self._sink = sink
        self._exceptions = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"from": record.name, **getattr(record, "fields", {})}
        if record.exc_info:
            fields["traceback"] = self._exceptions.formatException(record.exc_info)
        priority = _PRIORITIES.get(record.levelno, journal.ERROR)
        self._sink.send(record.getMessage(), priority, fields)

    def close(self) -> None:
        self._sink.close()
        super().close()


def begin() -> None:
    """Everything from `info` on, of ours; `warning` on, of libraries."""
    sink = journal.open_journal(IDENTIFIER, os.environ)
    handler: logging.Handler
    if sink is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines())
    else:
        handler = JournalHandler(sink)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    set_level("info")


def set_level(level: str) -> None:
    """Of ours from now on: `debug`, `info`, `warning` or `error`."""
    logging.getLogger("farshore").setLevel(level.upper())


def last_words(error: FarshoreError) -> None:
    """Why the node did not start: the last line on stderr, which whoever started it looks for."""
    sink = journal.open_journal(IDENTIFIER, os.environ)
    if sink is not None:
        sink.send(f"{error.what} ({error.code.name})", journal.ERROR, error.as_dict())
        sink.close()
        return
    print(json.dumps(error.as_dict()), file=sys.stderr, flush=True)
