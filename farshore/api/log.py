"""Log lines of the node's process: one JSON object each, on stderr."""

from __future__ import annotations

import json
import logging
import sys

from farshore.node.events import rfc3339


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(),
            "level": record.levelname.lower(),
            "from": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def to_stderr() -> None:
    """Everything from `info` on, of ours; `warning` on, of libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("farshore").setLevel(logging.INFO)
