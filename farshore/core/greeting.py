"""What a secondary answers a feeder that it has accepted: who it is, what it holds, what else it may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.core import undoing
from farshore.core.turning import residue_for
from farshore.model import messages as m

if TYPE_CHECKING:
    from farshore.core.secondary import Secondary
    from farshore.core.stream import Stream


def greet(copy: Secondary, session: Stream, settled: bool) -> None:
    """Welcome the feeder. Unless the header is `settled`, it is made durable first: a crash must not take
    back what is said now, and an earlier session's header, or a new size, may be on its way."""

    def durable() -> None:
        if copy.session is session:
            _welcome(copy, session)

    if settled:
        _welcome(copy, session)
    else:
        copy.keeper.put(copy.keeper.header, durable)


def _welcome(copy: Secondary, session: Stream) -> None:
    header = copy.keeper.header
    welcome = m.Welcome(
        session.nonce,
        header.copy,
        copy.setup.instance,
        copy.history(),
        header.resync,
        copy.standing.doubtful,
        copy.setup.empty,
        residue_for(header, copy.setup.residues, session.feeder),
        undoing.whole(copy),
    )
    session.send(welcome)
