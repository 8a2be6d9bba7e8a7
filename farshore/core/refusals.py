"""What a peer's refusal means to its feeder (rules B8, D5, D6): who has it now, and what can be done.

It ends the session whatever it says. Where writes do not flow yet it may also be the sign of a newer primary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import refused
from farshore.core.fences import FENCED
from farshore.core.link import LinkEvent
from farshore.model.header import Successor
from farshore.model.messages import Refusal
from farshore.model.options import Apply

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder

_NOT_PROMOTED = ("faulted", "io-error", "disk-full", "store-full", "size-mismatch")
"""Refusals by a peer that still follows us: it has answered, as far as rule D5 is concerned."""
_LEFT_US = ("wrong-feeder", "wrong-role")
"""Refusals by a copy that was pointed at another feeder (rule B8), or has become a primary."""

STRANGE = "protocol"
"""Said to a hello by a peer of another build. It has answered, and what it is nobody knows (rule D5)."""

_REMEDIES = {
    "io-error": "see to the disk at the peer, then farshore repair the group there",
    "faulted": "see to the disk at the peer, then farshore repair the group there",
    "disk-full": "free space at the peer; the link then goes on by itself",
    "store-full": "make room for the preserve store at the peer, then farshore resync; with --unprotected the"
    " resync cannot be taken back",
    "size-mismatch": "give the peer's volumes the size of ours, or farshore link delete and create",
    "wrong-feeder": "farshore status at the peer shows which link that copy follows",
    "promoted": "farshore split-brain show GROUP, then decide which copy to keep",
    "fenced": "farshore failback GROUP, with the peer's node, makes that copy the primary again;"
    " farshore split-brain resolve GROUP --keep, with this one, makes it follow",
    "ring": "farshore topology shows who follows whom; farshore link reroute or delete",
    STRANGE: "run the same version of Farshore on both nodes",
}
"""What an operator can do about a refusal; the link tries again all the while."""


def take(feeder: Feeder, refusal: Refusal) -> None:
    """The peer has refused the session, or ended it, with a code of the catalogue."""
    code, text = refusal.code, refusal.text
    greeting, strange = feeder.session.greeting, feeder.session.strange
    feeder.close("", "")
    refused.note(feeder, code)
    before = feeder.standing
    feeder.session.strange = code == STRANGE and greeting
    if feeder.session.strange and not strange:
        feeder.shared.outbox.note("peer-not-understood", link=feeder.spec.name, why=text)
    feeder.session.met = feeder.session.met or code in _NOT_PROMOTED or _knows_our_turn(feeder, refusal)
    known, held = feeder.record.peer_copy is not None, feeder.shared.opening()
    if code == "promoted":
        # Rule D6, whoever asked whom, and whether writes flow or not: there is another primary.
        feeder.shared.outbox.note("peer-promoted", link=feeder.spec.name, why=text)
        feeder.stop(LinkEvent.DIVERGE, text)
        told = Successor(feeder.id, refusal.turn) if refusal.turn else None
        feeder.shared.fence(text, True, told)
    elif code in ("identity-changed", "diverged") or (code in _LEFT_US and known and held):
        # Rules D5, D6: where writes do not flow yet, a peer that follows somebody else by now, or
        # nobody, may have a promoted copy beside it or be one: nothing is written next to that.
        if held:
            feeder.shared.fence(text, False, None)
        feeder.stop(LinkEvent.IDENTITY if code == "identity-changed" else LinkEvent.DIVERGE, text)
    elif code in _LEFT_US:
        feeder.disk.abandon(text)  # whoever feeds it now has what lies in our queue
        feeder.stop(LinkEvent.REFUSED, text)
    elif code in ("io-error", "faulted", "disk-full"):
        if code != "disk-full":
            feeder.session.faulted = text
        elif feeder.spec.options.apply is Apply.DIRECT:
            feeder.session.doubtful = True  # the frame for which there was no room may be there in part
        feeder.stop(LinkEvent.PEER_ERROR, text)
        feeder.session.retry.slow(feeder.shared.outbox.now)
    elif code == "store-full":
        feeder.stop(LinkEvent.STORE_FULL, text)
    else:
        feeder.stop(LinkEvent.LOST if code == "session-live" else LinkEvent.REFUSED, text)
    if not feeder.session.only_asks or feeder.standing != before:
        feeder.next_step = _REMEDIES.get(code, "")


def _knows_our_turn(feeder: Feeder, refusal: Refusal) -> bool:
    """Rule D5: a former primary has answered that has durably taken notice of the very turn by which this
    copy is the primary. One that names another turn may know of a promotion of which this copy does not."""
    turn = feeder.shared.keeper.header.turn
    return refusal.code == FENCED and bool(turn) and refusal.turn == turn
