"""Short lives of two copies that change roles, drawn from a seed: switchovers under load, failovers after a
process or a machine died, copies that come back as secondary or as what they were. Rule A1 holds, no former
primary takes a write, nothing is overwritten unasked, and in the end both are equal (A5, D1, D6, D7, F2)."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from farshore.core import handshake, turning
from farshore.core.follower import Follower
from farshore.core.geometry import Geometry
from farshore.core.handshake import Decision, Terms
from farshore.core.preserve import Preserving, Range
from farshore.core.scoreboard import BoardImage, Scoreboard
from farshore.core.turning import Undo
from farshore.errors import FarshoreError
from farshore.model import messages as m
from farshore.model.copy_config import DOUBTFUL, TurnIntent
from farshore.model.header import Header, LinkRecord
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import LinkOptions, LinkState, ResyncKind
from farshore.model.positions import History
from tests.long_form import LONG
from tests.unit.core.pair import ASYNC, REGION, SYNC, Pair
from tests.unit.core.turners import Turners

PLACES = 128
KINDS = (
    *("write",) * 10, *("turn",) * 3, "flush", "cut", "mend", "kill near", "power near", "kill far",
    "power far", "switch", "switch", "fail over", "fail over", "power fail over", "as primary", "bring back",
    "bring back", "consent", "clean fail over",
)  # fmt: skip


def without(image: dict[int, bytes], regions: set[tuple[int, int]]) -> dict[int, bytearray]:
    """An image but for what no disk has shown."""
    found = {volume: bytearray(data) for volume, data in image.items()}
    for volume, region in regions:
        found[volume][region * REGION : (region + 1) * REGION] = bytes(REGION)
    return found


class Life:
    """One life; `overwritten` is what consent was given for."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        options: LinkOptions = self.random.choice([SYNC, ASYNC])
        if self.random.random() < 0.4:
            options = replace(options, apply=options.apply.JOURNAL)
        self.turners = Turners(options, self.random.choice([2, 4, 16]))
        self.sectors = random.Random(-seed - 1)
        self.log: list[str] = []
        self.issued: dict[int, dict[int, tuple[int, int | None]]] = {}
        """place -> token -> (step of the write, step at whose end it was acknowledged)."""
        self.untouched: dict[int, bytearray] | None = None
        """What a copy holds that differs from the primary's history, until a plan gives it up."""
        self.losers: list[dict[int, bytes]] = []
        """What copies held when a plan allowed to overwrite them, since the roles have changed last."""
        self.ahead = False
        """The old primary had given out sequences that the promoted copy never saw."""
        self.switched = self.failed_over = self.rejoined = 0

    def run(self) -> None:
        for _ in range(self.random.randint(10, 40)):
            self.step(self.random.choice(KINDS))
        self.calm()

    @property
    def pair(self) -> Pair:
        """The present one."""
        return self.turners.pair

    def step(self, kind: str) -> None:
        self.log.append(kind)
        turners, pair = self.turners, self.turners.pair
        if self.sectors.random() < 0.1:
            pair.far.store.bad.add((1, self.sectors.randrange(PLACES * 512 // REGION)))
        match kind:
            case "write":
                self._write(self.random.randint(1, 4))
            case "turn":
                pair.turn(self.random.randint(1, 20))
            case "flush":
                pair.flush()
            case "cut":
                pair.cut()
            case "mend" if turners.away is None:
                pair.mend()
            case "kill near" | "power near":
                self._restart_near(kind == "power near")
            case "kill far" | "power far" if turners.away is None:
                turners.boots[turners.other] += kind == "power far"
                pair.restart_far(turners.boot(turners.other))
                if self.losers and not pair.far.store.layers:
                    self.losers[-1] = {volume: bytes(data) for volume, data in pair.far.disk.seen.items()}
                if self.untouched is not None:
                    self.untouched = {volume: bytearray(data) for volume, data in pair.far.disk.seen.items()}
            case "switch" if turners.away is None:
                self._switch()
            case "fail over" | "power fail over" | "clean fail over" if turners.away is None:
                self._fail_over(kind)
            case "as primary" if turners.away is not None:
                turners.return_as_primary()
            case "bring back" if turners.away is not None:
                self._bring_back()
            case "consent":
                self._consent()
        self.turners.pair.turn()
        self._note_answers()
        if self.untouched is not None:
            assert self.pair.far.disk.seen == self.untouched, "what nobody gave up was overwritten"
        if self.pair is not pair:
            self.losers.clear()
        self._look_for_losers()

    def _look_for_losers(self) -> None:
        """Rule D7: what a plan gave up is what the copy still holds, or is kept as a rescue."""
        far = self.pair.far
        rescues = [each for each in far.store.layers if each.kind is LayerKind.RESCUE]
        shown = [(far.store.view(each.id, far.disk.seen), far.store.lacking(each.id)) for each in rescues]
        shown.append(({volume: bytes(data) for volume, data in far.disk.seen.items()}, set()))
        for loser in self.losers:
            found = [without(loser, lost) == without(view, lost) for view, lost in shown]
            assert any(found), "what a plan gave up is not kept"
        assert len({each.name for each in far.store.layers}) == len(far.store.layers)

    def _bring_back(self) -> None:
        """A copy with writes that the other one lacks is not touched before a plan says so."""
        self.turners.bring_back()
        far, mine = self.pair.far, self.pair.near.core.history()
        head = far.header.history.head
        if head is not None and (self.ahead or not mine.holds(head)):
            self.untouched = {volume: bytearray(data) for volume, data in far.disk.seen.items()}

    def _write(self, count: int) -> None:
        places = [self.random.randrange(PLACES) * 512 for _ in range(count)]
        for place, token in zip(places, self.pair.write(*places), strict=True):
            self.issued.setdefault(place, {})[token] = (len(self.log), None)

    def _note_answers(self) -> None:
        replies = self.pair.near.replies
        for tokens in self.issued.values():
            for token, (began, ended) in tokens.items():
                if ended is None and replies.get(token) == 0:
                    tokens[token] = (began, len(self.log))

    def _look_for_lost_writes(self) -> None:
        """A place shows a write that no acknowledged one came after."""
        content = self.pair.near.disk.seen[1]
        for place, tokens in self.issued.items():
            newest = max((began for began, ended in tokens.values() if ended is not None), default=-1)
            held = int.from_bytes(content[place : place + 4], "big")
            _, ended = tokens.get(held, (0, 0 if newest >= 0 else None))
            assert ended is None or ended >= newest, "an acknowledged write is lost"

    def _restart_near(self, lose: bool) -> None:
        turners = self.turners
        turners.pair.kill_near(lose_cache=lose)
        if lose:
            self.issued.clear()  # what was not flushed is lost here, and the primary is the truth (rule D2)
        turners.boots[turners.primary] += lose
        turners.pair.start_near(turners.boot(turners.primary), "alone")

    def _switch(self) -> None:
        """Drain, demote, promote: only where the drain finds the peer, and then nothing may differ."""
        turners, pair = self.turners, self.turners.pair
        near = pair.near
        self._write(1)
        near.run(near.core.drain(3.0))
        pair.turn(40)
        told = near.noted("standstill")
        reached = bool(told) and near.core.standstill.reached
        durable = pair.feeder.acked.durable if told else None
        if not reached or durable != near.core.sequence or not pair.feeder.replicating:
            near.run(near.core.resume())
            return
        pair.stop_near()
        image = {volume: bytes(data) for volume, data in near.disk.seen.items()}
        self.issued.clear()
        self.ahead = False
        turners.promote()
        assert self.pair.near.disk.seen == image, "a planned change of roles has lost something"
        turners.bring_back()
        self.pair.until(lambda: self.pair.feeder.replicating)
        assert not self.pair.line.fills(), "a planned change of roles has copied something"
        self.switched += 1

    def _fail_over(self, kind: str) -> None:
        turners, pair = self.turners, self.turners.pair
        header = pair.far.core.keeper.header
        if (header.resync is not None and not header.undo) or header.history.blank:
            with pytest.raises(FarshoreError, match="cannot become the primary"):
                turning.check_promotable(header, TurnIntent(b"t" * 16), Undo.NONE)
            return
        kept = pair.feeder.replicating and pair.feeder.sync and pair.feeder.gate.closed
        if kind == "clean fail over":
            kept = False
            pair.cut()
            self._write(2)
            pair.turn()
            pair.stop_near()
        else:
            pair.kill_near(lose_cache=kind.startswith("power"))
            turners.boots[turners.primary] += kind.startswith("power")
        self.untouched, self.ahead = None, pair.near.core.sequence > pair.far.core.applied
        self._note_answers()
        turners.promote((DOUBTFUL,), clean=self.random.random() < 0.7)
        if kept:
            self._look_for_lost_writes()
        self.issued.clear()
        self.failed_over += 1

    def _consent(self) -> None:
        turners, pair = self.turners, self.turners.pair
        if turners.away is None and pair.far.core.started and pair.feeder.state is LinkState.DIVERGED:
            self.untouched = None
            self.losers.append({volume: bytes(data) for volume, data in pair.far.disk.seen.items()})
            turners.consent("split-brain")
            pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
            self.rejoined += 1

    def calm(self) -> None:
        """Faults stop, the operator decides, and both copies become equal."""
        turners = self.turners
        if turners.away is not None:
            self._bring_back()
        self.pair.mend()
        for _ in range(3):
            self.pair.turn(100)
            self._consent()
        pair = self.pair
        pair.near.run(pair.near.core.resync(None, ResyncKind.UPDATE, False))
        pair.replicating()
        last = [*pair.write(0, 40 * 1024), pair.flush()]
        pair.turn(40)
        assert pair.answered(*last), self.log
        assert pair.equal(), self.log
        assert not any(each.retired for each in pair.far.header.links)


SEEDS = 20_000 if LONG else 80


def test_roles_change_and_both_copies_end_equal() -> None:
    switched = failed_over = rejoined = 0
    for seed in range(SEEDS):
        life = Life(seed)
        life.run()
        switched += life.switched
        failed_over += life.failed_over
        rejoined += life.rejoined
    assert min(switched, failed_over, rejoined) > 20


def _uncut(header: Header, turn: TurnIntent, links: object) -> turning.Promoted:
    made = PROMOTED(header, turn, links)  # type: ignore[arg-type]
    head = made.header.history.head
    assert head is not None
    return replace(made, header=replace(made.header, history=header.history.extended_to(head.sequence + 50)))


def _unasked(record: LinkRecord, board: Scoreboard, mine: History, peer: m.Welcome, terms: Terms) -> Decision:
    return handshake.decide(record, board, mine, peer, replace(terms, consent=peer.history.head))


def _unsuspected(geometry: Geometry, image: BoardImage, record: LinkRecord, _: object) -> Scoreboard:
    return SUSPECTED(geometry, image, record, ())


def _forgetful(copy: Follower, undo: bytes) -> None:
    if undo:
        copy.preserve.drop(undo)


def _too_late(self: Preserving, layer: Layer, reserve: int, then: Callable[[int], None]) -> None:
    """The resync is open, a fill is written, and before the next one the layer begins."""
    let_through = self.spare
    fills = 0

    def spare(ranges: Iterable[Range]) -> bool:
        nonlocal fills
        fills += 1
        if fills == 2:
            BEGIN(self, layer, reserve, lambda errno: None)
        return fills < 2 or let_through(ranges)

    self.spare = spare  # type: ignore[method-assign]
    then(0)


BEGIN = Preserving.begin
PROMOTED, SUSPECTED = turning.promoted, turning.suspected
BROKEN = {
    "a promotion does not end the history where the copy stands": ("turning.promoted", _uncut),
    "what was hot at the death of a primary is not suspect": ("turning.suspected", _unsuspected),
    "the residue is forgotten": ("scoreboard.Scoreboard.suspect_ranges", lambda board, ranges: None),
    "consent is not asked for": ("feeder_session.decide", _unasked),
    "a rescue goes with its resync": ("undoing.release", _forgetful),
    "a rescue is begun when something was overwritten": ("preserve.Preserving.begin", _too_late),
    "a former primary is not fenced": ("primary.Primary._fence", lambda core, why, for_good, told: None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, broken = BROKEN[name]
    monkeypatch.setattr(f"farshore.core.{where}", broken)
    for seed in range(SEEDS):
        try:
            Life(seed).run()
        except AssertionError:
            return
    pytest.fail(f"none of {SEEDS} lives notices that {name}")
