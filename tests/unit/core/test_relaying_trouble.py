"""A middle in trouble: what its hop may not do then (rules A1, B6, B8, F1)."""

import errno
from dataclasses import replace

from farshore.core import actions as a
from farshore.core import report
from farshore.core.moments import moment
from farshore.model import messages as m
from farshore.model.options import Apply, LinkOptions, LinkState, Mode, ResyncKind
from farshore.model.positions import Position
from tests.unit.core.chain import HOP, Chain
from tests.unit.core.pair import KIB, REGION
from tests.unit.core.shells import new_id

SYNC = LinkOptions(mode=Mode.SYNC, apply=Apply.JOURNAL)


def running(upstream: LinkOptions = SYNC, hop: LinkOptions = HOP) -> Chain:
    chain = Chain(upstream, hop)
    chain.write(0)
    chain.in_order()
    return chain


def test_b6_from_the_announcement_of_a_resync_on_the_hop_meets_nobody() -> None:
    """Its header says so only once the journal has been applied, which may take long."""
    chain = running(hop=replace(HOP, queue_disk=0))
    chain.cut_hop()
    chain.write(512 * 9, 512 * 20, 512 * 40)
    chain.turn(10)
    chain.cut()
    chain.write(*range(0, 64 * KIB, REGION))
    chain.turn(10)
    chain.middle.hold.add(a.SyncVolumes)
    chain.line.room = 1
    chain.mend()
    chain.until(lambda: chain.middle.core.session is not None and chain.middle.core.session.resyncing)
    assert chain.middle.header.resync is None
    chain.mend_hop()
    chain.turn(200)
    assert not chain.hop.open
    chain.middle.let_all()
    chain.line.room = None
    chain.in_order()


def test_b8_a_far_copy_that_another_feeder_left_in_a_resync_is_compared_as_a_whole() -> None:
    chain = running()
    chain.checked = False  # it is written by somebody whom this chain does not know
    chain.cut_hop()
    chain.cut()
    chain.write(*range(0, 32 * KIB, REGION))
    chain.turn(20)
    core, near = chain.last.core, chain.near.core
    chain.last.run(core.point_at(chain.hop_id, 2))
    sizes = tuple(sorted(chain.geometry.sizes.items()))
    copy, group = near.keeper.header.copy, chain.last.header.group
    hello = m.Hello(
        m.PROTOCOL, group, chain.hop_id, 2, copy, new_id(), near.history(), REGION, sizes, None, journal=True
    )
    chain.last.run(core.accepted(b"other", hello))
    assert core.session is not None
    nonce, here = core.session.nonce, Position(near.generation, near.sequence)
    begin = m.ResyncBegin(nonce, new_id(), ResyncKind.DIGEST, near.history(), here)
    chain.last.run(core.received(b"other", begin))
    data = bytes(chain.near.disk.seen[1][4 * REGION : 5 * REGION])
    chain.last.run(core.received(b"other", m.Fill(nonce, 1, here.sequence, 1, 4 * REGION, REGION, data)))
    chain.last.run(core.disconnected(b"other", "gone"))
    chain.last.run(core.point_at(chain.hop_id, 3))
    chain.hop.spec = replace(chain.hop.spec, epoch=3)
    chain.middle.run(chain.middle.core.relay.change_link(chain.hop.spec))
    chain.mend_hop()
    chain.until(lambda: chain.hop_feeder.replicating)
    assert chain.last.disk.seen == chain.middle.disk.seen  # the middle is still behind, and so is the last
    chain.mend()
    chain.in_order()


def test_f1_a_full_disk_of_the_middle_takes_from_the_hop_that_is_behind_and_not_from_the_feeder() -> None:
    chain = running(replace(SYNC, queue_disk=1 << 30), replace(HOP, queue_disk=1 << 30))
    chain.cut_hop()
    room = 40

    def failing(kind: type) -> int:
        return errno.ENOSPC if kind is a.AppendFrame and len(chain.middle.journal) >= room else 0

    chain.middle._failing = failing  # type: ignore[method-assign]
    for number in range(80):
        chain.write(512 * (number % 64))
        chain.turn(5)
    assert chain.hop_feeder.state is LinkState.LOGGING
    chain.until(lambda: chain.feeder.replicating and chain.equal(), 1500)
    chain.mend_hop()
    chain.in_order()


def test_f1_a_disk_too_full_to_go_on_with_a_journal_takes_from_the_hop_as_well() -> None:
    chain = running(replace(SYNC, queue_disk=1 << 30), replace(HOP, queue_disk=1 << 30))
    chain.cut_hop()
    for number in range(20):
        chain.write(512 * number)
        chain.turn(5)
    assert chain.hop_feeder.state is LinkState.QUEUING
    chain.restart_middle("boot-1")
    chain.middle.errors[a.ContinueJournal] = [errno.ENOSPC]
    chain.until(lambda: chain.feeder.replicating and chain.equal(), 1500)
    assert not chain.middle.errors[a.ContinueJournal]
    assert chain.hop_feeder.state is LinkState.LOGGING
    assert len(chain.middle.journal) < 20
    chain.mend_hop()
    chain.in_order()


def test_a_stop_is_not_held_up_by_a_region_that_a_resync_was_about_to_read() -> None:
    chain = running(hop=replace(HOP, queue_disk=0))
    chain.cut_hop()
    chain.write(*range(0, 16 * KIB, REGION))
    chain.turn(20)
    chain.mend_hop()
    relay, middle = chain.middle.core.relay, chain.middle
    middle.hold.add(a.ApplyFrames)
    for number in range(100):
        chain.write(0)
        chain.flush()
        chain.turn()
        if relay.path.barriers:
            break
        if number % 2 and middle.held(a.ApplyFrames):
            middle.let(a.ApplyFrames)
    assert relay.path.barriers
    middle.hold.clear()
    middle.let_all()
    middle.run(middle.core.stop())
    for _ in range(50):
        middle.settle()
        middle.run(middle.core.tick())
    assert middle.core.stopped


def test_a_far_copy_is_no_newer_than_the_middle_that_nobody_feeds() -> None:
    chain = running()
    chain.turn(20)
    chain.cut()
    cut_at = moment(chain.now)
    assert cut_at is not None
    chain.turn(300)
    assert chain.hop_feeder.replicating
    entry = report.of_feeder(chain.middle.core.relay, chain.hop_feeder)
    assert entry["peer_usable_as_of"] <= cut_at


def test_a_hop_that_is_made_while_nobody_feeds_a_copy_without_a_journal_gets_what_there_is() -> None:
    chain = Chain(replace(SYNC, apply=Apply.DIRECT), start_hop=False)
    chain.until(lambda: chain.feeder.replicating)
    chain.write(0, 512 * 9)
    chain.turn(20)
    chain.cut()
    chain.turn(50)
    chain.make_hop()
    chain.until(lambda: chain.hop_feeder.replicating)
    assert chain.last.disk.seen == chain.middle.disk.seen
    chain.mend()
    chain.in_order()


def test_b8_nothing_is_kept_for_a_far_copy_that_another_feeder_has() -> None:
    chain = running(hop=replace(HOP, queue_disk=1 << 30))
    chain.turn(100)
    chain.checked = False
    chain.cut_hop()
    chain.last.run(chain.last.core.point_at(chain.hop_id, 2))
    chain.mend_hop()
    chain.turn(50)
    for number in range(60):
        chain.write(512 * number)
        chain.turn(5)
    chain.turn(300)
    assert chain.hop_feeder.state is LinkState.LOGGING
    assert not chain.middle.journal
