"""A link whose far copy was pointed at another feeder logs, knocks nowhere and holds nothing (B8, C4, D5)."""

from dataclasses import replace

import pytest

from farshore.core import actions as a
from farshore.core import report
from farshore.model.options import LinkState, OnOutage, ResyncKind
from tests.unit.core.pair import SYNC, Pair, Wish


def rest(pair: Pair, *, resting: bool = True) -> None:
    pair.near.links = (replace(pair.feeder.spec, resting=resting),)
    pair.near.run(pair.near.core.change_link(pair.near.links[0]))


@pytest.mark.parametrize("outage", list(OnOutage))
def test_writes_flow_without_it_once_it_is_recorded_that_the_copy_is_alone(outage: OnOutage) -> None:
    pair = Pair(Wish(links=(replace(SYNC, on_outage=outage),)))
    pair.replicating()
    pair.line.stops = lambda unit: isinstance(unit, a.Issue)
    (token,) = pair.write(0)
    pair.turn(3)
    pair.near.hold.add(a.WriteHeader)
    rest(pair)
    pair.turn(3)
    assert not pair.answered(token)
    pair.near.let_all()
    pair.turn(3)
    assert pair.answered(token)
    assert pair.near.header.links[0].alone_since is not None
    assert pair.feeder.state is LinkState.LOGGING


def test_it_knocks_nowhere_and_nothing_waits_for_it_at_a_start() -> None:
    pair = Pair()
    pair.replicating()
    rest(pair)
    pair.turn(300)
    connects = len(pair.near.carried(a.Connect))
    pair.stop_near()
    pair.start_near("boot-2")
    pair.turn(100)
    assert len(pair.near.carried(a.Connect)) == connects
    (token,) = pair.write(0)
    pair.turn(3)
    assert pair.answered(token)
    assert "logs" not in str(report.of_primary(pair.near.core, "g")["why"])


def test_pointed_here_again_it_goes_on_with_what_it_has_marked() -> None:
    pair = Pair()
    pair.replicating()
    rest(pair)
    pair.write(0)
    pair.turn(20)
    rest(pair, resting=False)
    pair.replicating()
    assert pair.equal()
    pair.until(lambda: pair.near.header.links[0].alone_since is None)
    (reason,) = [each["reason"] for each in pair.near.noted("link-state") if each["state"] == "resyncing"][
        -1:
    ]
    assert reason == ResyncKind.UPDATE.value
