"""Section G: every state and event is listed here; what is not, is an error that names both."""

from itertools import product

import pytest

from farshore.core.link import TABLE, LinkEvent, Standing, step
from farshore.errors import IllegalEvent
from farshore.model.options import LinkState, Reason

LOGGING, QUEUING, RESYNCING, REPLICATING, DIVERGED, FAILED = (
    LinkState.LOGGING,
    LinkState.QUEUING,
    LinkState.RESYNCING,
    LinkState.REPLICATING,
    LinkState.DIVERGED,
    LinkState.FAILED,
)

STOPS = {
    LinkEvent.LOST: (LOGGING, Reason.PEER_LOST),
    LinkEvent.STOP: (LOGGING, Reason.OPERATOR),
    LinkEvent.OVERFLOW: (LOGGING, Reason.QUEUE_FULL),
    LinkEvent.PEER_ERROR: (LOGGING, Reason.PEER_ERROR),
    LinkEvent.STORE_FULL: (LOGGING, Reason.STORE_FULL),
    LinkEvent.LOCAL_ERROR: (LOGGING, Reason.LOCAL_ERROR),
    LinkEvent.FAULT: (FAILED, Reason.LOCAL_ERROR),
    LinkEvent.REFUSED: (LOGGING, Reason.REFUSED),
    LinkEvent.UPSTREAM: (LOGGING, Reason.UPSTREAM_RESYNCING),
    LinkEvent.HALT: (LOGGING, Reason.VERIFY),
    LinkEvent.LEAVE: (LOGGING, Reason.REROUTED),
    LinkEvent.DIVERGE: (DIVERGED, Reason.HISTORIES_CONFLICT),
    LinkEvent.IDENTITY: (DIVERGED, Reason.IDENTITY_CHANGED),
}
LEGAL = {
    **{
        (state, event): to
        for state in (LOGGING, QUEUING, RESYNCING, REPLICATING)
        for event, to in STOPS.items()
    },
    (REPLICATING, LinkEvent.QUEUE): (QUEUING, Reason.PEER_LOST),
    (QUEUING, LinkEvent.QUEUE): (QUEUING, Reason.PEER_LOST),
    (QUEUING, LinkEvent.RESUME): (REPLICATING, Reason.IN_ORDER),
    (LOGGING, LinkEvent.RESUME): (REPLICATING, Reason.IN_ORDER),
    (LOGGING, LinkEvent.BEGIN): (RESYNCING, Reason.UPDATE),
    (RESYNCING, LinkEvent.BEGIN): (RESYNCING, Reason.UPDATE),
    (RESYNCING, LinkEvent.COMPLETE): (REPLICATING, Reason.IN_ORDER),
    (DIVERGED, LinkEvent.RETRY): (LOGGING, Reason.RESTARTED),
    (FAILED, LinkEvent.RETRY): (LOGGING, Reason.RESTARTED),
}


@pytest.mark.parametrize(("state", "event"), list(product(LinkState, LinkEvent)))
def test_every_state_and_event(state: LinkState, event: LinkEvent) -> None:
    if (state, event) in LEGAL:
        assert step(state, event) == Standing(*LEGAL[state, event])
    else:
        with pytest.raises(IllegalEvent) as caught:
            step(state, event)
        assert state in caught.value.what
        assert event in caught.value.what


def test_the_table_has_nothing_that_is_not_stated_here() -> None:
    assert set(TABLE) == set(LEGAL)


def test_only_an_operator_leads_out_of_diverged_and_failed() -> None:
    for (state, event), after in TABLE.items():
        if state in (DIVERGED, FAILED) and after.state is not state:
            assert event is LinkEvent.RETRY


def test_replicating_begins_only_with_a_ready_peer_that_lacks_nothing_or_a_completed_resync() -> None:
    into = {(state, event) for (state, event), after in TABLE.items() if after.state is REPLICATING}
    assert into == {
        (LOGGING, LinkEvent.RESUME),
        (QUEUING, LinkEvent.RESUME),
        (RESYNCING, LinkEvent.COMPLETE),
    }
