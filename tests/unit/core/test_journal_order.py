"""A frame that is handed over while an fdatasync of the journal ends (rules B2, B4)."""

from dataclasses import replace

from farshore.core import actions as a
from farshore.model import messages as m
from farshore.model.positions import Position
from tests.unit.core.test_journaling import journaled


def test_b4_a_frame_that_is_being_appended_when_an_fdatasync_ends_becomes_durable_too() -> None:
    pair = journaled()
    pair.far.hold.add(a.SyncJournal)
    for n in range(2):
        pair.write(n * 512)
        pair.turn(15)
    assert pair.far.held(a.SyncJournal) == 1  # it covers the first frame only
    far, second = pair.far, pair.far.carried(a.AppendFrame)[-1].frame
    generation = second.follows.generation
    third = replace(second, first=3, follows=Position(generation, 2))
    head = m.FrameHead(pair.group, generation, 3, 1, third.follows, 0, False, 608)
    handed_over = far.core.frame(pair.line.key, head, third)
    far.let(a.SyncJournal)  # the next one begins, for what is appended by now
    far.run(handed_over)
    assert far.core.applied == 3
    far.let_all()
    for _ in range(15):
        pair.now += 0.01
        far.core.clock(pair.now, pair.now)
        far.run(far.core.tick())
    assert far.core.durable == 3
