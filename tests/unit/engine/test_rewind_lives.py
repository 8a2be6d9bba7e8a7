"""Rewinds on a simulated disk that die at any step: the header names a layer that shows the present, or the
copy stands where it was wished to, with its history cut there (rules D1, E3, H)."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from farshore.core import rewinding
from farshore.engine import applied_frames
from farshore.engine.rewinding import Rewind, take_back
from farshore.errors import FarshoreError
from farshore.model.copy_config import TurnIntent
from farshore.model.header import Header
from farshore.model.layers import LayerKind
from farshore.model.options import Role
from farshore.model.positions import Position
from farshore.model.role_change import RewindIntent
from farshore.store.segments import Segments
from farshore.wire import frame
from sim.disk import Died
from tests.long_form import LONG
from tests.unit.engine.rewound import REGION, G, Life


def lived(seed: int) -> Life:
    life = Life(seed)
    life.feed(life.random.randint(5, 60))
    goal = life.random.choice(life.goals())
    turn = life.wish(goal)
    if life.random.random() < 0.3:
        life.disk.steps_left = life.random.randrange(100)
        try:
            life.attempt(turn)
        except Died:
            life.crash()
            life.check(goal)
            if rewinding.open_rewind(life.ground.header.header) is not None:
                _take_back(life)
    if life.ground.header.header.role is Role.SECONDARY:
        life.rewind(turn)
    life.crash()
    life.check(goal)
    assert any(each.kind is LayerKind.RESCUE for each in life.ground.preserve.layers)
    return life


def _take_back(life: Life) -> None:
    """The turn is not wanted any more, under deaths; then it is again."""
    for _ in range(40):
        life.disk.steps_left = life.random.randrange(80)
        try:
            take_back(life.ground)
        except Died:
            life.crash()
            life.check(life.head)
            if rewinding.open_rewind(life.ground.header.header) is None:
                break
        else:
            life.disk.steps_left = None
            break
    life.disk.steps_left = None
    life.check(life.head)
    assert life.present() == life.images[life.head]


SEEDS = 4000 if LONG else 60


def test_whatever_dies_when_the_copy_ends_at_exactly_the_wished_position() -> None:
    behind = 0
    for seed in range(SEEDS):
        life = lived(seed)
        head = life.ground.header.header.history.head
        behind += head is not None and head != life.head
    assert behind > SEEDS // 2


# -- broken on purpose --------------------------------------------------------------------------------


def _past_the_goal(journal: Segments, mark: Position, _goal: Position) -> Iterator[frame.Frame]:
    for each in applied_frames.behind(journal, mark.sequence):
        if each.frame is not None and each.position.sequence > mark.sequence:
            yield each.frame


def _without_a_rescue(self: Rewind) -> None:
    self._require_way(self._layer())


def _uncut(header: Header, position: Position) -> Header:
    return replace(header, links=(), clean=True)


def _unsaid(self: Rewind) -> None:
    """The volumes are overwritten before the header says so."""
    self._restore()
    OPEN(self)


OPEN = Rewind._open
BROKEN: dict[str, tuple[object, str, Callable[..., object]]] = {
    "frames are replayed past the position": (applied_frames, "between", _past_the_goal),
    "what is restored is not kept in the rescue": (Rewind, "_keep", _without_a_rescue),
    "the history is not cut": (rewinding, "rewound", _uncut),
    "the restore begins before the header says so": (Rewind, "_open", _unsaid),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, broken = BROKEN[name]
    monkeypatch.setattr(where, what, broken)
    for seed in range(60):
        try:
            lived(seed)
        except AssertionError:
            return
    pytest.fail(f"none of 60 lives notices that {name}")


# -- the way back from it ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_rewind_is_undone_by_another_one_to_its_rescue(seed: int) -> None:
    life = lived(seed)
    wanted, ground, new = life.images[life.head], life.ground, b"3" * 16
    (rescue,) = [each for each in ground.preserve.layers if each.kind is LayerKind.RESCUE]
    assert rescue.mark == life.head
    header = ground.header.header
    history = header.history.forked(new)
    assert history.head is not None
    ground.header.write(replace(header, role=Role.SECONDARY, history=history, clean=True))
    ground.journal.clear(history.head)
    life.head = history.head
    for _ in range(6):
        life.frame()
    life.sync()
    ground.header.write(
        replace(ground.header.header, history=history.extended_to(life.head.sequence), journaling=True)
    )
    turn = TurnIntent(b"u" * 16, (), RewindIntent(rescue.id, rescue.mark, "again", 6.0))
    life.attempt(turn)
    assert life.present() == wanted
    assert ground.header.header.history.head == rescue.mark
    (again,) = [each for each in ground.preserve.layers if each.name == "again"]
    assert life.shown(again.id) == life.images[life.head]


# -- what stands against it ---------------------------------------------------------------------------


def test_without_room_for_a_rescue_nothing_is_changed() -> None:
    life = Life(3)
    life.snapshot()
    for _ in range(30):
        life.frame()
    life.feed(1)
    goal = next(iter(life.images))
    turn = life.wish(goal)
    life.ground.preserve.limit = life.ground.preserve.used + REGION
    with pytest.raises(FarshoreError) as refused:
        life.attempt(turn)
    assert refused.value.code.name == "store-full"
    assert [each.kind for each in life.ground.preserve.layers] == [LayerKind.SNAPSHOT] * len(life.moments)
    life.check(goal)


def test_a_missing_frame_refuses_the_rewind_before_anything_is_changed() -> None:
    life = Life(4)
    life.feed(60)
    past = life.ground.journal.past
    assert past is not None
    assert len(past.kept) > 2
    goal = life.goals()[-1]
    turn = life.wish(goal)
    assert turn.rewind is not None
    oldest = next(each for each in life.ground.preserve.layers if each.mark is not None)
    wish = replace(turn.rewind, layer=oldest.id)
    past.kept = (past.kept[0], *past.kept[2:])
    with pytest.raises(FarshoreError, match="does not follow"):
        life.attempt(replace(turn, rewind=wish))
    life.check(goal)


def test_a_position_within_a_frame_is_refused() -> None:
    life = Life(5)
    life.snapshot()
    while life.head.sequence < 13:
        life.frame()
    life.feed(3)
    between = [n for n in range(11, life.head.sequence) if Position(G, n) not in life.images]
    turn = life.wish(Position(G, between[0]))
    with pytest.raises(FarshoreError, match="no frame ends"):
        life.attempt(turn)
