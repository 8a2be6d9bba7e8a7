"""A resync beside the application: what it sends, how fast, and what it holds up (rules A4, E4, E5)."""

from dataclasses import replace

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.options import LinkState, Reason, ResyncKind
from tests.unit.core.pair import ASYNC, KIB, REGION, Pair, Wish
from tests.unit.core.scenes import CONTENT, filled


class TestResync:
    def test_e5_an_operators_digest_sends_only_what_differs(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        pair.turn(20)
        sent = len(pair.line.fills())
        pair.checked = False
        pair.far.disk.seen[1][7 * REGION] ^= 1
        pair.near.run(pair.near.core.resync(None, ResyncKind.DIGEST, False))
        pair.turn(3)
        pair.checked = True
        pair.replicating()
        assert filled(pair.line.fills()[sent:]) == {7}
        assert pair.equal()

    def test_an_operators_full_resync_sends_everything(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        sent = len(pair.line.fills())
        pair.near.run(pair.near.core.resync(None, ResyncKind.FULL, False))
        pair.turn(2)
        pair.replicating()
        assert filled(pair.line.fills()[sent:]) == set(range(16))

    def test_e4_a_region_written_during_each_read_is_read_with_its_writes_held(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.cut()
        pair.turn(2)
        pair.mend()
        pair.near.hold.add(a.ReadRegion)
        held_back: list[int] = []
        for _ in range(12):
            pair.until(lambda: pair.near.held(a.ReadRegion) > 0 or pair.is_in(LinkState.REPLICATING))
            if pair.is_in(LinkState.REPLICATING):
                break
            before = pair.near.core.path.waiting
            tokens = pair.write(0)
            if pair.near.core.path.waiting > before:
                held_back += tokens
            pair.near.let(a.ReadRegion, pair.near.held(a.ReadRegion))
            pair.turn()
        pair.near.let_all()
        pair.replicating()
        assert held_back
        assert pair.answered(*held_back)
        assert pair.equal()
        assert pair.near.core.path.barriers == []

    def test_e4_a_region_with_a_write_always_under_way_is_copied_all_the_same(self) -> None:
        """Its writes overlap: one has always begun and not ended, unless new ones are held."""
        pair = Pair(Wish(content=CONTENT))
        pair.near.hold.add(a.Issue)
        for _ in range(150):
            pair.write(0)
            if pair.near.held(a.Issue) > 1 or pair.near.core.path.waiting:
                pair.near.let(a.Issue, min(1, pair.near.held(a.Issue)))
            pair.turn()
            if pair.feeder.board.dirty.count() == 0:
                break
        assert pair.feeder.board.dirty.count() == 0
        pair.near.let_all()
        pair.replicating()
        assert pair.equal()

    def test_e4_writes_are_held_briefly_however_slow_the_resync_is_allowed_to_be(self) -> None:
        """A read that waits for its rate holds nobody up."""
        pair = Pair(Wish(links=(replace(ASYNC, max_rate=8 * KIB),), sizes={1: REGION}, extent=REGION))
        pair.near.hold.add(a.Issue)
        held = longest = 0
        for _ in range(1500):
            pair.write(0)
            if pair.near.held(a.Issue) > 1 or pair.near.core.path.waiting:
                pair.near.let(a.Issue, min(1, pair.near.held(a.Issue)))
            pair.turn()
            held = held + 1 if pair.near.core.path.waiting else 0
            longest = max(longest, held)
            if pair.feeder.board.dirty.count() == 0:
                break
        assert pair.feeder.board.dirty.count() == 0
        assert longest
        assert longest <= 20

    def test_e4_a_write_that_waited_for_a_read_is_issued_although_its_extent_cooled(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.near.hold.add(a.ReadRegion)
        tokens: list[int] = []
        for _ in range(12):
            pair.until(lambda: pair.near.held(a.ReadRegion) > 0)
            tokens = pair.write(0)
            if pair.near.core.path.waiting:
                break
            pair.near.let(a.ReadRegion)
            pair.turn()
        assert pair.near.core.path.waiting
        pair.near.core.activity.hot.clear()
        pair.near.let_all()
        pair.turn(30)
        assert pair.answered(*tokens)

    def test_max_rate_bounds_the_fills(self) -> None:
        rate = 1024 * KIB
        pair = Pair(
            Wish(
                links=(replace(ASYNC, max_rate=rate),),
                sizes={1: 8192 * KIB},
                region=64 * KIB,
                extent=256 * KIB,
            )
        )
        pair.near.disk.seen[1][:] = bytes([7]) * (8192 * KIB)
        began = pair.now
        for _ in range(20):
            pair.turn(10)
            sent = sum(each.length for each in pair.line.fills())
            assert sent <= (pair.now - began) * rate + 1024 * KIB
        assert sent >= 1024 * KIB

    def test_a_local_read_error_stops_the_link_and_not_the_application(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.near.errors[a.ReadRegion] = [5]
        pair.turn(8)
        assert pair.feeder.standing.reason is Reason.LOCAL_ERROR
        tokens = pair.write(0)
        pair.turn(3)
        assert pair.answered(*tokens)
        pair.replicating()
        assert pair.equal()

    def test_a_peer_that_answers_a_query_wrongly_does_not_hang_the_resync(self) -> None:
        pair = Pair(Wish(content=CONTENT))
        pair.replicating()
        pair.far.hold.add(a.CompareDigests)
        pair.near.run(pair.near.core.resync(None, ResyncKind.DIGEST, False))
        pair.until(lambda: pair.far.held(a.CompareDigests) == 1)
        nonce = pair.feeder.session.nonce
        pair.near.run(pair.near.core.received(pair.link, m.DigestReply(nonce, 1, b"\0")))
        assert pair.feeder.standing.reason is Reason.PEER_ERROR
        pair.far.let_all()
        pair.replicating()
