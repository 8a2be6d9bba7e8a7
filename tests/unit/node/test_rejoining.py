"""Rule D6: which former primaries follow a promoted copy by themselves."""

from dataclasses import replace

import pytest

from farshore.node.rejoining import may_rejoin
from farshore.node.standings import Standing
from tests.unit.node.standing import change, link, primary, scene, secondary

FORMER = primary(fenced="the copy at the peer is the primary")
PROMOTED = primary("b", "", fed_by=secondary().fed_by, whole=True, change=change("failover", "b", "a"))


def test_one_that_can_have_lost_nothing_does() -> None:
    assert may_rejoin(scene(FORMER, PROMOTED), FORMER) == PROMOTED
    committed = replace(PROMOTED, change=None)
    assert may_rejoin(scene(FORMER, committed), FORMER) == committed


@pytest.mark.parametrize(
    ("former", "promoted"),
    [
        (replace(FORMER, links=(link("b", mode="async"),)), PROMOTED),
        (replace(FORMER, links=(link("b", ack="received"),)), PROMOTED),
        (replace(FORMER, links=(link("b", alone_since={"generation": "", "sequence": 7}),)), PROMOTED),
        (replace(FORMER, links=()), PROMOTED),
        (replace(FORMER, fenced=None), PROMOTED),
        (replace(FORMER, change=change("failback", "a", "b")), PROMOTED),
        (FORMER, replace(PROMOTED, whole=False)),
        (FORMER, replace(PROMOTED, fenced="by yet another")),
        (FORMER, replace(PROMOTED, fed_by=None)),
        (FORMER, replace(PROMOTED, change=change("failover-revert", "b", "a"))),
        (FORMER, replace(secondary(), whole=True)),
    ],
)
def test_all_others_wait_for_a_plan(former: Standing, promoted: Standing) -> None:
    assert may_rejoin(scene(former, promoted), former) is None


def test_one_of_three_primaries_waits() -> None:
    assert may_rejoin(scene(FORMER, PROMOTED, primary("c", "")), FORMER) is None
