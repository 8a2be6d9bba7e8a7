"""A turn that is killed before any of its steps: one role or the other, and in the end as if it was not."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from farshore.model.layers import LayerKind
from farshore.model.options import Apply, LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Load
from tests.integration.keeping import plant
from tests.integration.turning import Turners, killed_at_steps, make_turners
from tests.long_form import LONG
from tests.requires import requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZES = {"data": 8 * MIB}
_COARSER = 1 if LONG else 2
"""Of the steps at which a turn is killed, one in so many more is taken."""
LOAD = Load(longest="16k", flush_every=50)

pytestmark = requires("fio")


def _killed_under_load(sites: Sites, apply: Apply) -> Turners:
    turners = make_turners(sites, SIZES, LinkOptions(mode=Mode.SYNC, apply=apply))
    a, b = turners.a, turners.b
    for engine in (a, b):
        engine.start()
        assert engine.terminate() == 0
        plant(engine.config, engine.directory, LayerKind.RESCUE, "before")
    b.start()
    a.start()
    a.wait_until_clean()
    load = a.load(60.0, LOAD)
    wait_until(lambda: a.status()["sequence"] > 300)
    a.kill()
    b.kill()
    load.kill()
    load.wait()
    return turners


def _told(lives: list[dict[str, Any]], before: str, after: str) -> None:
    """Every life ends as the one that nobody disturbed, and was of one role all the time."""
    *killed, whole = lives
    assert whole["role"] == after
    assert {each["between"] for each in killed} == {before, after}
    firsts = [each["between"] for each in lives]
    assert firsts == sorted(firsts, key=lambda role: role == after), "no step goes back"
    assert whole["kept"] == [["rescue", "before", {"1": sha256(bytes(SIZES["data"])).hexdigest()}]]
    for each in killed:
        assert {**each, "step": 0, "between": ""} == {**whole, "step": 0, "between": ""}, each["step"]


def test_a_demotion_after_an_unclean_stop(sites: Sites, tmp_path: Path) -> None:
    turners = _killed_under_load(sites, Apply.DIRECT)
    turners.demote(turners.a)
    lives = killed_at_steps(turners.a, tmp_path / "scratch", 4)
    _told(lives, "primary", "secondary")
    ((retired, _, residue),) = lives[-1]["marks"].values()
    assert retired
    assert residue[1], "what was hot is in the residue"
    assert lives[-1]["stretches"] == 3, "of its two runs, and a head that no other copy has"


@pytest.mark.parametrize(("apply", "stride"), [(Apply.DIRECT, 8 * _COARSER), (Apply.JOURNAL, 15 * _COARSER)])
def test_a_promotion_after_the_death_of_the_process(
    sites: Sites, tmp_path: Path, apply: Apply, stride: int
) -> None:
    turners = _killed_under_load(sites, apply)
    turners.promote(turners.b)
    lives = killed_at_steps(turners.b, tmp_path / "scratch", stride)
    _told(lives, "secondary", "primary")
    ((retired, unmet, residue),) = lives[-1]["marks"].values()
    assert (retired, unmet) == (False, True)
    exact = [lives[-1]["sequence"], []] if apply is Apply.JOURNAL else None
    assert residue == exact, "complete from the position of the promotion, where that is exactly known"
