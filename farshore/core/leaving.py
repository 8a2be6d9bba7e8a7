"""How a secondary ends: with everything that it has in its volumes, durably, and a header that says so.

A start under way is finished first, since the volumes may lack until then what the journal has (rule B2).
Where a disk has failed, or has no room for what is journaled, the stop is not a clean one; the next start, or
whoever would give the copy up, learns that from the header.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary


def begin(copy: Secondary) -> None:
    """The stop is asked for; nobody is met from now on."""
    if copy.stopping:
        return
    copy.end_session("", "the engine stops")
    copy.stopping = True
    if copy.fault:
        copy.fault_record.leave()
    elif copy.started:
        leave(copy)


def leave(copy: Secondary) -> None:
    """What a copy that has started does to end."""

    def left() -> None:
        copy.left = True

    def rest() -> None:
        copy.preserve.when_idle(left)

    def record() -> None:
        if copy.fault:
            return  # it ends the stop, which is not a clean one
        header = copy.keeper.header
        loose = header.loose_until if copy.applied < header.loose_until else 0
        copy.keeper.put(replace(header, history=copy.history(), clean=True, loose_until=loose), rest)

    def persist() -> None:
        if copy.setup.turning:
            # The journal ends with the role: what only it accounts for becomes marks.
            for feeder in copy.relay.feeders.values():
                feeder.disk.abandon("this copy becomes the primary")
        copy.relay.persist(record, exactly=True)

    copy.relay.close()
    if copy.journal.active:
        copy.journal.drain(persist)
    else:
        copy.standing.make_durable(persist)
