"""A secondary relays to the hops behind it (rules A1, A2, B6, D4)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import Apply, LinkOptions, LinkState, Mode, Reason
from tests.unit.core.chain import HOP, Chain
from tests.unit.core.pair import KIB, REGION

SYNC = LinkOptions(mode=Mode.SYNC, apply=Apply.JOURNAL)


@pytest.fixture
def chain() -> Chain:
    made = Chain(SYNC)
    made.write(0)
    made.in_order()
    return made


def fills(chain: Chain) -> int:
    """Fills that the hop has sent so far."""
    return sum(
        isinstance(each.message, m.Fill)
        for each in chain.middle.carried(a.Send)
        if each.channel == chain.hop_id
    )


def test_what_the_primary_writes_arrives_behind_the_middle(chain: Chain) -> None:
    before = fills(chain)
    chain.write(512, 8 * KIB, 20 * KIB)
    chain.flush()
    chain.turn(30)
    assert chain.all_equal()
    assert fills(chain) == before  # in order, not by a resync


def test_b6_nothing_is_relayed_before_it_is_durable_in_the_journal(chain: Chain) -> None:
    chain.middle.hold.add(a.SyncJournal)
    chain.write(512)
    chain.turn(30)
    assert chain.middle.core.applied == 2
    assert chain.last.core.applied == 1
    chain.middle.let_all()
    chain.turn(30)
    assert chain.last.core.applied == 2


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_d4_a_hop_that_lost_its_peer_goes_on_in_order_from_the_journal(chain: Chain, boot: str) -> None:
    before = fills(chain)
    chain.cut_hop()
    for place in range(0, 16 * KIB, 512):
        chain.write(place)
        chain.turn(2)
    assert chain.hop_feeder.state is LinkState.QUEUING
    chain.turn(30)
    chain.restart_middle(boot)
    chain.turn(30)
    assert chain.hop_feeder.state is LinkState.QUEUING
    chain.mend_hop()
    chain.in_order()
    assert fills(chain) == before


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_without_a_queue_the_journal_tells_a_start_what_is_marked(boot: str) -> None:
    chain = Chain(SYNC, replace(HOP, queue_disk=0))
    chain.in_order()
    chain.cut_hop()
    chain.write(0, 8 * KIB)
    chain.turn(30)
    assert chain.hop_feeder.state is LinkState.LOGGING
    chain.restart_middle(boot)
    chain.turn(5)
    assert chain.hop_feeder.board.dirty.count() == 2
    chain.mend_hop()
    chain.in_order()


def test_a_queue_that_is_full_becomes_marks_and_the_journal_is_trimmed_behind_them() -> None:
    chain = Chain(SYNC, replace(HOP, queue_disk=8 * KIB))
    chain.in_order()
    chain.cut_hop()
    for place in range(0, 32 * KIB, 512):
        chain.write(place)
        chain.turn()
    assert chain.hop_feeder.state is LinkState.LOGGING
    assert any(each["reason"] == Reason.QUEUE_FULL.value for each in chain.middle.noted("link-state"))
    chain.turn(700)  # beyond `mark_every`
    assert chain.middle.journal_start is not None
    assert chain.middle.journal_start.sequence == chain.near.core.sequence
    chain.restart_middle("boot-2")
    chain.turn(5)
    assert chain.hop_feeder.board.dirty.count() == 8
    chain.mend_hop()
    chain.in_order()


def test_b6_while_the_middle_is_resynced_the_hop_logs_and_updates_afterwards(chain: Chain) -> None:
    chain.cut()
    chain.write(*range(0, 32 * KIB, REGION))
    chain.turn(10)
    chain.line.room = 1
    chain.mend()
    chain.until(lambda: chain.middle.header.resync is not None)
    chain.turn(3)
    standing = chain.hop_feeder.standing
    assert (standing.state, standing.reason) == (LinkState.LOGGING, Reason.UPSTREAM_RESYNCING)
    chain.line.room = None
    chain.in_order()
    assert chain.last.core.consistent


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_b6_a_middle_that_dies_while_it_is_resynced_compares_everything_with_its_hop(
    chain: Chain, boot: str
) -> None:
    chain.cut()
    chain.write(*range(0, 64 * KIB, 2 * REGION))
    chain.turn(10)
    chain.line.room = 1
    chain.mend()
    chain.until(lambda: chain.middle.core.session is not None and chain.middle.core.session.fills_applied > 2)
    chain.restart_middle(boot)
    assert chain.hop_feeder.board.suspect.bits[1].all()
    chain.line.room = None
    chain.in_order()


def test_a_new_generation_of_the_primary_reaches_the_last_copy_without_a_resync(chain: Chain) -> None:
    before = fills(chain)
    chain.stop_near()
    chain.start_near("boot-1")
    chain.write(512)
    chain.in_order()
    assert fills(chain) == before
    assert chain.last.core.generation == chain.near.core.generation


def test_a_damaged_journal_tells_nothing_about_a_hop(chain: Chain) -> None:
    chain.cut_hop()
    chain.write(512)
    chain.turn(30)
    chain.middle.journal_damaged = "a byte changed"
    chain.restart_middle("boot-1")
    chain.turn(2)
    assert chain.hop_feeder.board.suspect.bits[1].all()
    chain.mend_hop()
    chain.in_order()


def test_a_copy_that_is_upstream_of_itself_is_refused(chain: Chain) -> None:
    chain.cut_hop()
    chain.middle.core.relay.chain = (chain.last.header.copy,)
    chain.mend_hop()
    chain.until(lambda: chain.hop_feeder.standing.reason is Reason.REFUSED)
    assert "upstream" in chain.hop_feeder.why
