"""Work in a child: its result, its refusals, its death, one after the other."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from farshore.device.chores import Chores
from farshore.engine.reactor import Reactor
from farshore.errors import FarshoreError
from tests.unit.engine.turning import turn_until


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def _run(reactor: Reactor, *jobs: Any) -> list[Any]:
    chores = Chores(reactor)
    found: list[Any] = []
    for job in jobs:
        chores.submit(job, found.append)
    turn_until(reactor, lambda: len(found) == len(jobs))
    return found


def _refuse() -> None:
    raise FarshoreError("in-use", "somebody has it open", means="m", next_step="n")


def _fail() -> None:
    raise FileNotFoundError(2, "No such file or directory", "/nowhere")


def _die() -> None:
    os._exit(3)


def test_results_come_back_in_order_from_another_process(reactor: Reactor) -> None:
    (first, second) = _run(reactor, os.getpid, lambda: {"device": "/dev/loop9", "refused": None})
    assert first != os.getpid()
    assert second == {"device": "/dev/loop9", "refused": None}


def test_refusals_and_errors_of_the_system_are_results(reactor: Reactor) -> None:
    refused, failed = _run(reactor, _refuse, _fail)
    assert (refused.code.name, refused.what, refused.next_step) == ("in-use", "somebody has it open", "n")
    assert (failed.code.name, "/nowhere" in failed.what) == ("not-found", True)


def test_a_child_that_dies_is_a_defect_that_is_told(reactor: Reactor) -> None:
    (died,) = _run(reactor, _die)
    assert died.code.name == "internal"


def test_a_child_holds_nothing_of_ours(reactor: Reactor) -> None:
    inner, outer = os.pipe()

    def held() -> bool:
        try:
            os.fstat(outer)
        except OSError:
            return False
        return True

    assert held()
    assert _run(reactor, held) == [False]
    os.close(inner)
    os.close(outer)
