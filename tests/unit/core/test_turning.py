"""What a header says after a turn, and what stands against one (rules A5, B3, D1, D6, D7, E1)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import turning
from farshore.core.fences import answer_to_former
from farshore.core.geometry import Geometry
from farshore.core.handshake import Course, Terms, decide
from farshore.core.history import Relation, compare, fork
from farshore.core.residue import residue_of
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.core.turning import Demotion, Turn, due, promoted
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.copy_config import DOUBTFUL, UNPROTECTED, TurnIntent
from farshore.model.header import Fault, FaultKind, Header, LinkRecord, OpenResync, Upstream
from farshore.model.messages import MAX_RANGES, PROTOCOL, Hello
from farshore.model.options import LinkOptions, LinkSpec, ResyncKind, Role
from farshore.model.positions import History, Position, Stretch
from tests.unit.core.pair import REGION, SYNC
from tests.unit.core.scenes import running

G, H, OWN = b"g" * 16, b"h" * 16, b"o" * 16
TURN = TurnIntent(b"t" * 16)
LINK, OTHER, PEER = b"l" * 16, b"m" * 16, b"p" * 16
SPEC = LinkSpec(LINK, "back", "peer", LinkOptions())
HELD = History((Stretch(G, 90), Stretch(H, 120)))
RESYNC = OpenResync(b"r" * 16, ResyncKind.UPDATE, Position(H, 130))
UPSTREAM = Upstream(b"u" * 16, 1, b"c" * 16)
SECONDARY = Header(
    b"n" * 16, b"s" * 16, Role.SECONDARY, HELD, clean=True, upstream=UPSTREAM, highest_seen=130
)
PRIMARY = Header(
    b"n" * 16, b"s" * 16, Role.PRIMARY, HELD.extended_to(500), ceiling=500, clean=False, boot="1"
)


def demotion(**changes: object) -> Demotion:
    plain = Demotion(TURN.id, UPSTREAM, frozenset(), frozenset([LINK]), True, OWN)
    return replace(plain, **changes)  # type: ignore[arg-type]


class TestDue:
    def test_roles_that_agree_need_nothing(self) -> None:
        assert due(SECONDARY, Role.SECONDARY, None) is None
        assert due(replace(PRIMARY, turn=TURN.id), Role.PRIMARY, TURN) is None

    @pytest.mark.parametrize("turn", [None, TURN])
    def test_a_turn_is_carried_out_once(self, turn: TurnIntent | None) -> None:
        with pytest.raises(FarshoreError) as caught:
            due(replace(SECONDARY, turn=TURN.id), Role.PRIMARY, turn)
        assert caught.value.code.name == "wrong-role"

    def test_a_new_turn_changes_the_role(self) -> None:
        assert due(SECONDARY, Role.PRIMARY, TURN) is Turn.PROMOTION
        assert due(PRIMARY, Role.SECONDARY, TURN) is Turn.DEMOTION

    def test_d6_a_new_turn_without_a_change_lifts_a_fence(self) -> None:
        assert due(replace(PRIMARY, fenced="promoted"), Role.PRIMARY, TURN) is Turn.REINSTATEMENT


class TestPromotion:
    def test_d1_its_history_ends_where_the_copy_stands(self) -> None:
        made = promoted(SECONDARY, TURN, [(SPEC, PEER)]).header
        assert (made.role, made.history, made.ceiling, made.turn) == (Role.PRIMARY, HELD, 120, TURN.id)
        assert made.upstream == UPSTREAM, "who fed it can be answered"

    def test_a5_a_new_link_is_complete_from_there(self) -> None:
        made = promoted(SECONDARY, TURN, [(SPEC, PEER)])
        assert made.boards == {LINK: Position(H, 120)}
        assert made.header.links == (LinkRecord(LINK, 1, PEER, unmet=True),)

    def test_b3_what_may_hold_part_of_a_frame_beyond_its_position_is_complete_from_nowhere(self) -> None:
        made = promoted(replace(SECONDARY, loose_until=121), TURN, [(SPEC, PEER)])
        assert made.boards == {LINK: None}
        assert made.header.loose_until == 0

    def test_a5_a_link_of_an_earlier_life_goes_on_with_its_scoreboard(self) -> None:
        earlier = LinkRecord(LINK, 1, PEER, RESYNC, retired=True, ever_replicated=True)
        made = promoted(replace(SECONDARY, links=(earlier,)), TURN, [(SPEC, PEER)])
        assert made.boards == {}
        (record,) = made.header.links
        assert (record.retired, record.unmet, record.open_resync) == (False, True, None)

    def test_links_that_are_not_wanted_any_more_are_forgotten(self) -> None:
        records = (LinkRecord(LINK, 1, PEER), LinkRecord(OTHER, 1, PEER, retired=True))
        assert promoted(replace(SECONDARY, links=records), TURN, []).header.links == ()

    @pytest.mark.parametrize(
        ("against", "risk"),
        [
            ({"history": History()}, ""),
            ({"fault": Fault("disk error EIO", FaultKind.RECORDS)}, ""),
            ({"resync": RESYNC}, UNPROTECTED),
            ({"doubtful_until": 121}, DOUBTFUL),
        ],
    )
    def test_d7_what_is_no_state_of_the_primary_is_promoted_at_most_by_a_plan_that_says_so(
        self, against: dict[str, object], risk: str
    ) -> None:
        header = replace(SECONDARY, **against)  # type: ignore[arg-type]
        others = tuple({DOUBTFUL, UNPROTECTED} - {risk})
        for accepts in ((), others):
            with pytest.raises(FarshoreError) as caught:
                promoted(header, replace(TURN, accepts=accepts), [(SPEC, PEER)])
            assert caught.value.code.name == "not-promotable"
        if risk:
            made = promoted(header, replace(TURN, accepts=(risk,)), [(SPEC, PEER)])
            assert made.boards == {LINK: None}, "beyond a peer at the same position it may hold anything"
            assert (made.header.resync, made.header.doubtful_until) == (None, 0)


def test_b3_until_a_frame_that_may_be_there_in_part_is_passed_the_header_says_so() -> None:
    pair = running(SYNC)
    here = pair.far.core.applied
    pair.cut(silent=True)
    for _ in range(2):
        pair.restart_far("boot-1")
        assert pair.far.header.loose_until == here + 1
    pair.cut()
    pair.far.run(pair.far.core.stop())
    assert (pair.far.header.clean, pair.far.header.loose_until) == (True, here + 1)
    pair.restart_far("boot-1")
    pair.replicating()
    pair.write(0)
    pair.turn(20)
    pair.far.run(pair.far.core.stop())
    assert (pair.far.header.clean, pair.far.header.loose_until) == (True, 0)


def test_e7_what_a_verify_has_found_outlives_a_switchover() -> None:
    pair = running(SYNC)
    pair.far.disk.seen[1][3 * REGION] ^= 0xFF
    pair.far.disk.sync()(0)
    pair.checked = False
    pair.near.run(pair.near.core.verify(None, False, 0))
    pair.until(pair.feeder.board.found.any)
    pair.turn(30)
    link, copy = pair.link, pair.far.header.copy
    pair.stop_near()
    pair.far.run(pair.far.core.stop())
    turn, back = b"t" * 16, b"k" * 16
    old = turning.demoted(
        pair.near.header,
        Demotion(turn, Upstream(back, 1), frozenset(), frozenset([link]), True, b"o" * 16),
    )
    new = promoted(pair.far.header, TurnIntent(turn), [(replace(pair.feeder.spec, id=back), old.copy)])
    assert old.link(link) is not None
    assert copy == new.header.copy
    image = pair.near.boards[link].image()
    base = new.boards[back]
    assert base is not None
    board = Scoreboard(pair.geometry, BoardImage(base, old.copy, {}))
    residue = residue_of(pair.geometry, image)
    record = new.header.link(back)
    assert record is not None
    welcome = m.Welcome(1, old.copy, b"i" * 16, old.history, None, False, False, residue, False)
    mine = new.header.history.forked(b"g" * 16)
    decision = decide(record, board, mine, welcome, Terms())
    assert decision.course is not Course.RESUME, f"{decision.why}: the two differ, and it was known"


@pytest.mark.parametrize("running_then", [True, False])
def test_b3_a_frame_that_is_there_in_part_is_told_to_the_next_feeder(running_then: bool) -> None:
    """A process dies within a frame; its node points the copy elsewhere once it is back, or before."""
    pair = running(SYNC)
    pair.write(0)
    pair.turn(30)
    pair.cut(silent=True)
    pair.far.disk.seen[1][3 * REGION : 3 * REGION + 512] = b"part of a frame ".ljust(512, b"\1")
    elsewhere = Upstream(b"u" * 16, 2)
    if running_then:
        pair.restart_far("boot-1")
        pair.far.run(pair.far.core.point_at(elsewhere.link, elsewhere.epoch))
    else:
        pair.restart_far("boot-1", upstream=elsewhere)
    assert pair.far.core.standing.doubtful, "a feeder that stands at the same position would resume it"
    assert pair.far.header.doubtful_until > pair.far.core.applied, "and also after one more start"
    assert pair.far.header.upstream == elsewhere


def test_b8_nobody_is_met_before_it_is_durable_that_the_copy_was_pointed_elsewhere_meanwhile() -> None:
    pair = running(SYNC)
    pair.cut()
    far = pair.far
    far.forget()
    far.start("boot-1", upstream=Upstream(b"u" * 16, 2))
    far.hold.add(a.WriteHeader)
    far.core.clock(*pair.clock("far"))
    far.run(far.core.start())
    pair.mend()
    pair.turn(100)
    refusals = {unit.code for unit in pair.line.heard if isinstance(unit, m.Refusal)}
    assert refusals == {"session-live"}
    far.hold.clear()
    far.let_all()
    pair.until(lambda: any(isinstance(u, m.Refusal) and u.code == "wrong-feeder" for u in pair.line.heard))


class TestDemotion:
    def test_a_clean_one_stays_where_it_is(self) -> None:
        made = turning.demoted(replace(PRIMARY, clean=True, history=HELD), demotion())
        assert (made.role, made.history, made.clean, made.turn) == (Role.SECONDARY, HELD, True, TURN.id)
        assert made.doubtful_until == 0

    def test_d1_after_an_unclean_stop_it_has_a_head_that_nobody_else_can_have(self) -> None:
        made = turning.demoted(PRIMARY, demotion())
        peer = replace(PRIMARY, clean=True).history  # one that had used everything that was reserved
        assert made.history.head == Position(OWN, 500)
        assert compare(peer.forked(b"x" * 16), made.history) is Relation.DIVERGED

    @pytest.mark.parametrize(
        ("same_boot", "fault", "doubtful"), [(True, "", 0), (False, "", 501), (True, "EIO", 501)]
    )
    def test_b3_a_loss_of_power_leaves_it_in_doubt(self, same_boot: bool, fault: str, doubtful: int) -> None:
        failed = Fault(fault, FaultKind.VOLUMES) if fault else None
        made = turning.demoted(replace(PRIMARY, fault=failed), demotion(same_boot=same_boot))
        assert made.doubtful_until == doubtful

    def test_a5_scoreboards_are_kept_where_they_tell_anything(self) -> None:
        records = (LinkRecord(LINK, 1, PEER), LinkRecord(OTHER, 1, PEER), LinkRecord(b"x" * 16, 1, None))
        made = turning.demoted(
            replace(PRIMARY, links=records), demotion(complete=frozenset([LINK, b"x" * 16]))
        )
        assert made.links == (LinkRecord(LINK, 1, PEER, retired=True),)

    def test_a_link_that_stays_becomes_a_hop(self) -> None:
        record = LinkRecord(LINK, 1, PEER, queue_whole=True)
        made = turning.demoted(replace(PRIMARY, links=(record,)), demotion(links=frozenset([LINK])))
        assert made.links == (LinkRecord(LINK, 1, PEER),)

    def test_a_feeder_that_it_had_before_is_remembered_by_its_copy(self) -> None:
        again = demotion(upstream=Upstream(UPSTREAM.link, UPSTREAM.epoch))
        assert turning.demoted(replace(PRIMARY, upstream=UPSTREAM), again).upstream == UPSTREAM
        elsewhere = demotion(upstream=Upstream(UPSTREAM.link, 2))
        assert turning.demoted(replace(PRIMARY, upstream=UPSTREAM), elsewhere).upstream == elsewhere.upstream


class TestResidue:
    RECORD = LinkRecord(LINK, 1, PEER, retired=True)
    HOLDER = replace(SECONDARY, links=(RECORD,))
    GEOMETRY = Geometry({1: 1 << 20, 2: 5000}, 4096, 16384)

    def told(self, board: Scoreboard) -> tuple[tuple[int, int, int], ...]:
        pages = {(name, volume): data for name, volume, _, data in board.pages(exact=True)}
        residue = residue_of(self.GEOMETRY, BoardImage(Position(G, 7), PEER, pages))
        assert residue is not None
        assert residue.base == Position(G, 7)
        return residue.ranges

    def test_all_three_maps_count_and_the_last_region_ends_with_its_volume(self) -> None:
        board = Scoreboard(self.GEOMETRY, BoardImage(None, None, {}))
        board.dirty.set(1, 0, 2, 1)
        board.suspect.set(1, 2, 3, 1)
        board.second.set(1, 9, 10, 1)
        board.second.set(2, 1, 2, 1)
        assert self.told(board) == ((1, 0, 12288), (1, 36864, 4096), (2, 4096, 904))

    def test_too_many_ranges_are_joined_and_none_is_left_out(self) -> None:
        geometry = Geometry({1: (2 * MAX_RANGES + 2) * 4096}, 4096, 16384)
        board = Scoreboard(geometry, BoardImage(None, None, {}))
        board.dirty.bits[1][::2] = 1
        pages: dict[tuple[str, int], bytes] = {("dirty", 1): board.dirty.bits[1].tobytes()}
        residue = residue_of(geometry, BoardImage(Position(G, 7), PEER, pages))
        assert residue is not None
        assert len(residue.ranges) <= MAX_RANGES
        other = Scoreboard(geometry, BoardImage(None, None, {}))
        other.suspect_ranges(residue.ranges)
        assert not (board.dirty.bits[1] & ~other.suspect.bits[1]).any()

    @pytest.mark.parametrize(
        "image", [None, BoardImage(None, PEER, {}), BoardImage(Position(G, 1), PEER, {}, True)]
    )
    def test_a_scoreboard_that_is_complete_from_nowhere_tells_nothing(self, image: BoardImage | None) -> None:
        assert residue_of(self.GEOMETRY, image) is None

    def test_it_ends_with_the_first_history_of_somebody_else(self) -> None:
        assert turning.with_history(self.HOLDER, HELD.forked(b"z" * 16)).links == ()

    def test_another_feeder_in_the_middle_of_a_resync_ends_it(self) -> None:
        new = Upstream(b"w" * 16, 1)
        assert turning.pointed(self.HOLDER, new).links == (self.RECORD,)
        assert turning.pointed(replace(self.HOLDER, resync=RESYNC), new).links == ()

    def test_b3_another_feeder_knows_nothing_of_a_frame_that_is_there_in_part(self) -> None:
        new = Upstream(b"w" * 16, 1)
        assert turning.pointed(replace(SECONDARY, loose_until=121), new).doubtful_until == 121
        assert turning.pointed(SECONDARY, new).doubtful_until == 0

    def test_ranges_beyond_our_volumes_mark_nothing(self) -> None:
        board = Scoreboard(self.GEOMETRY, BoardImage(None, None, {}))
        board.suspect_ranges([(2, 4096, 1 << 40), (3, 0, 512), (2, 1 << 40, 512)])
        assert board.regions() == 1


@pytest.mark.parametrize(
    ("mine", "theirs", "at"),
    [
        (HELD, HELD, Position(H, 120)),
        (HELD, HELD.extended_to(110), Position(H, 110)),
        (HELD, HELD.extended_to(130).forked(OWN), Position(H, 120)),
        (HELD, History((Stretch(G, 95), Stretch(OWN, 99))), Position(G, 90)),
        (HELD, History((Stretch(OWN, 95),)), None),
        (HELD, History(), None),
    ],
)
def test_where_two_histories_part(mine: History, theirs: History, at: Position | None) -> None:
    assert fork(mine, theirs) == fork(theirs, mine) == at


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "promoted"),
        ({"link": OTHER}, "wrong-feeder"),
        ({"group": b"x" * 16}, "wrong-feeder"),
        ({"copy": b"x" * 16}, "wrong-feeder"),
    ],
)
def test_d6_who_fed_a_primary_before_hears_of_it(changes: dict[str, bytes], code: str) -> None:
    hello = Hello(PROTOCOL, b"n" * 16, b"u" * 16, 1, b"c" * 16, b"i" * 16, HELD, 4096, (), None)
    primary = replace(PRIMARY, upstream=UPSTREAM)
    assert answer_to_former(primary, replace(hello, **changes)).code == code  # type: ignore[arg-type]
