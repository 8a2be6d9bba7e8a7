"""Why a link sends no more, where neither its peer nor its line says so (rules C3, D2, D3, D6).

Histories that forbid it, another primary, a local disk, a link that was removed. How a link stops, at which
position and with which marks, is `Feeder.stop` for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core.handshake import Course
from farshore.core.link import LinkEvent
from farshore.model.options import LinkState

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder


def diverge(feeder: Feeder, course: Course, why: str) -> None:
    """The histories forbid to send anything (rules D2, D3, D6)."""
    if course is Course.NEWER and feeder.shared.relaying:
        # It was fed by another copy meanwhile: what it has comes here in time, by our own feeder.
        feeder.close("", "the far copy is ahead of this one")
        feeder.stop(LinkEvent.LOST, "the far copy is ahead of this one, which has to catch up first")
        feeder.session.retry.slow(feeder.shared.outbox.now)
        return
    changed = course is Course.CHANGED
    feeder.close("identity-changed" if changed else "diverged", why)
    feeder.stop(LinkEvent.IDENTITY if changed else LinkEvent.DIVERGE, why)
    feeder.shared.outbox.note("diverged", link=feeder.spec.name, course=course.value, why=why)
    if feeder.record.unmet:
        return  # a plan has left behind what the peer has beyond us when it made this copy the primary
    if course is Course.NEWER or (course is Course.CONFLICT and feeder.shared.opening()):
        feeder.shared.fence(why, course is Course.NEWER, None)


def part(feeder: Feeder, why: str) -> None:
    """Somebody else is the primary (rule D6): nothing more is sent before a plan says so."""
    if feeder.state not in (LinkState.DIVERGED, LinkState.FAILED):
        feeder.close("", why)
        feeder.stop(LinkEvent.DIVERGE, why)


def fail(feeder: Feeder, why: str, event: LinkEvent = LinkEvent.FAULT) -> None:
    """A local disk failed: stop at the present sequence (rule C3)."""
    if feeder.state not in (LinkState.DIVERGED, LinkState.FAILED):
        feeder.close("", why)
        feeder.stop(event, why)
        feeder.session.retry.slow(feeder.shared.outbox.now)


def retire(feeder: Feeder) -> None:
    """The link was removed: nothing of it goes on."""
    feeder.close("", "the link was removed")
    if feeder.filling is not None:
        feeder.filling.abandon()
    feeder.filling, feeder.pause, feeder.streaming = None, None, False
    feeder.verify.retire()
    feeder.disk.retire()
    feeder.session.ended()
    feeder.retired = True
