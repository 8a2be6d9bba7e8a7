"""Merges the events of each running engine into the node's journal, as they happen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from farshore.errors import FarshoreError
from farshore.node.copies import StoredCopy
from farshore.node.events import Journal

WAIT_SECONDS = 25.0
_LEAST_SECONDS = 0.2
_log = logging.getLogger(__name__)


def _nobody(_kind: str) -> None:
    """Nobody is to be told."""


async def follow(
    journal: Journal, stored: StoredCopy, pid: int, told: Callable[[str], None] = _nobody
) -> None:
    """Takes the events of the engine with this pid until it does not answer any more; `told` of each kind."""
    while True:
        since = journal.taken(stored.key, pid) + 1  # an engine takes it as the first id that is wanted
        asked = monotonic()
        try:
            answer = await stored.engine.ask(
                "events", {"since": since, "wait": WAIT_SECONDS}, seconds=WAIT_SECONDS + 5
            )
            events = answer["events"]
            for event in events:
                journal.merge(stored.key, pid, _of_group(event, stored.config.group_name))
                told(str(event["kind"]))
        except FarshoreError as error:
            _log.debug("the events of %s end: %s", stored.config.group_name, error)
            return
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("the engine of %s sent malformed events: %r", stored.config.group_name, error)
            return
        if not events and monotonic() - asked < _LEAST_SECONDS:
            await asyncio.sleep(_LEAST_SECONDS)  # an engine that does not wait must not keep us spinning


def _of_group(event: Mapping[str, Any], group: str) -> dict[str, Any]:
    """An engine knows one group and does not name it; among the events of a node it has to be named."""
    return {
        **event,
        "text": f"{group}: {event['text']}",
        "fields": {"group": group, **(event.get("fields") or {})},
    }
