"""Why a secondary refuses a feeder that has said hello (rules B8, D5, D6): whom it follows, what ails it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import growing
from farshore.model import messages as m
from farshore.model.header import Upstream

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary


def to(copy: Secondary, hello: m.Hello) -> tuple[str, str] | None:
    """Why this feeder is refused: a code of the catalogue and words; None where it is welcome."""
    header = copy.keeper.header
    upstream: Upstream | None = header.upstream
    if hello.protocol != m.PROTOCOL:
        return "protocol", f"protocol {hello.protocol} is not known here, {m.PROTOCOL} is"
    if copy.pointing is not None and not copy.fault:
        return "session-live", "the copy is being pointed at another feeder"
    # Whom it follows is said before what ails it: rules D5 and D6 hang on that.
    if hello.group != header.group or upstream is None or upstream.link != hello.link:
        return "wrong-feeder", "this copy follows another link"
    if hello.epoch != upstream.epoch or upstream.copy not in (None, hello.copy):
        return "wrong-feeder", "this copy was pointed at another feeder"
    if hello.peer_copy not in (None, header.copy):
        return "identity-changed", "the feeder expects another copy than this one"
    if header.copy in (hello.copy, *hello.chain):
        return "ring", "this copy is upstream of the one that would feed it"
    if copy.fault:
        return "faulted", copy.fault
    if copy.journal.stuck:
        return "disk-full", "no space is left for the copy's volumes"
    if not copy.started or copy.stopping:
        return "session-live", "the copy is starting or stopping"
    if misfit := growing.misfit(copy, hello.volumes):
        return "size-mismatch", misfit
    other = copy.session
    live = other is not None and not other.liveness.silent(copy.outbox.now)
    if other is not None and live and other.instance != hello.instance:
        copy.outbox.note("second-feeder-refused", instance=hello.instance.hex())
        return "session-live", "another instance of the feeder holds the session"
    return None
