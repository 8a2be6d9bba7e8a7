"""Whose word lets a promoted copy write after its machine has restarted (rule D5), in meetings of copies that
came there by lives of their own."""

from dataclasses import replace

import pytest

from farshore.core import fences, refusals
from tests.explorer.events import SYNC, Life, Promote
from tests.explorer.meeting import Meeting
from tests.explorer.walk import pair_parted, three_in_step, told
from tests.explorer.world import World


def opens(world: World, number: int) -> bool:
    """Whether that copy lets writes flow after a reboot, with all others in reach."""
    copy = world.of(number)
    copy = replace(copy, boot=copy.boot + 1)
    others = world.others(number)
    meeting = Meeting(copy, others, frozenset(each.number for each in others), SYNC)
    meeting.start_near(copy.boot_id, "wait")
    meeting.settle()
    return meeting.near.core.opened


def fenced() -> World:
    """Copy 1 was promoted in place of copy 0, which has heard of that; both have ended."""
    return told(pair_parted(), SYNC, Life(0, frozenset({1})))


def older(world: World) -> World:
    """Copy 1 says that its last turn was another one than copy 0 has heard of."""
    copy = world.of(1)
    return world.with_copy(replace(copy, header=replace(copy.header, turn=b"another turn, oh")))


def test_d5_a_former_primary_that_knows_of_the_promotion_is_an_answer() -> None:
    assert opens(fenced(), 1)
    assert not opens(fenced(), 0)


def test_d5_one_that_does_not_know_is_none() -> None:
    assert not opens(pair_parted(), 1)


def test_d5_nor_is_one_that_knows_of_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not opens(older(fenced()), 1)
    monkeypatch.setattr(refusals, "_knows_our_turn", lambda feeder, said: said.code == fences.FENCED)
    assert opens(older(fenced()), 1), "the turn is what tells them apart"


def test_d5_nor_one_that_was_reinstated() -> None:
    world = fenced()
    copy = world.of(0)
    header = replace(copy.header, fenced="", successor=None)
    assert not opens(world.with_copy(replace(copy, header=header)), 1)


def test_d5_of_two_promoted_copies_it_answers_the_one_that_it_has_heard_of() -> None:
    away = Life(0, write=0, near="kill")
    world = told(three_in_step(), SYNC, away, Promote(1), Promote(2), Life(0, frozenset({1})))
    assert world.of(0).header.fenced
    assert not opens(world, 2)
