"""What a link's peer answered when it was asked last, where that was a refusal; and whether waiting mends it.

Of a peer that is away nothing is known, and it may come back: that is no refusal. One that answers and will
not have us may change its mind by itself (it starts, it has not heard of a promotion, its disk is looked for
again), or only when somebody gives a command: then whoever waits for the link is told. Nothing of the data
hangs on any of this, since a refusal of the peer's node is not proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from farshore.core.moments import moment

if TYPE_CHECKING:
    from farshore.core.feeder import Feeder

FOLLOWING: Final = 360.0
"""Seconds for which a fenced copy may still come to follow us by itself (rule D6): its node tries that for
300 s of pauses once it has heard of the promotion. It goes by the mode that its own link to us had, which is
not known here. After that only a command ends it, or a node that comes back."""
CHANGING: Final = 10.0
"""Seconds for which a copy may refuse in the midst of a change that nodes carry out one after the other."""
POINTING: Final = 120.0
"""Seconds for which a copy may still know its former feeder alone, while a promotion tells one sibling after
another whom to follow; each may take a while to answer."""
LASTING: Final[Mapping[str, float]] = MappingProxyType(
    {
        "not-found": 0.0,
        "unknown-peer": POINTING,
        "state-damaged": 0.0,
        "faulted": 0.0,
        "store-full": 0.0,
        "wrong-feeder": CHANGING,
        "ring": CHANGING,
        "size-mismatch": CHANGING,
        "protocol": CHANGING,
        "fenced": FOLLOWING,
    }
)
"""Codes that only a command ends, and for how many seconds one has to have been heard until that is sure.
Not here: an engine that its node starts again and again until its volume is there; a disk that is full, on
which room may be made."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the peer would not have us, a code of the catalogue; wall-clock seconds of the first and of the
    last time that it said just that."""

    code: str
    since: float
    heard: float

    @property
    def lasting(self) -> bool:
        """Whether only a command ends it."""
        settles = LASTING.get(self.code)
        return settles is not None and self.heard - self.since >= settles


def note(feeder: Feeder, code: str) -> None:
    """The peer, or its node, has refused; an empty `code`: it is away. A link that rests only asks what its
    peer is: then nobody waits for the answer."""
    if feeder.session.only_asks:
        return
    before, now = feeder.session.refused, feeder.shared.outbox.wall
    if not code:
        feeder.session.refused = None
    elif before is not None and before.code == code:
        feeder.session.refused = Refused(code, before.since, now)
    else:
        feeder.session.refused = Refused(code, now, now)


def report(refused: Refused | None) -> dict[str, Any] | None:
    """For status."""
    if refused is None:
        return None
    return {
        "code": refused.code,
        "lasting": refused.lasting,
        "since": moment(refused.since),
        "heard": moment(refused.heard),
    }
