"""What a plan says where a node answers, and cannot read a copy that may be the one that is meant."""

from dataclasses import replace

import pytest

from farshore.errors import FarshoreError
from farshore.node import role_plans
from farshore.node.standings import Silent, Standing
from tests.unit.node.standing import link, node_of, primary, scene, secondary


@pytest.mark.parametrize(("kept", "text"), [((), "b"), ((secondary("b"),), "b/second")])
def test_nobody_is_told_to_make_a_copy_anew_that_its_node_merely_cannot_read(
    kept: tuple[Standing, ...], text: str
) -> None:
    seen = scene(primary(links=(link("b"), link("b", name="second"))), *kept)
    damaged = Silent(node_of("b"), "b", "it has a copy that it cannot read", "state-damaged")
    with pytest.raises(FarshoreError, match="a copy that it cannot read") as caught:
        role_plans.goal_of(replace(seen, silent=(damaged,)), text)
    assert caught.value.code.name == "state-damaged"
    assert "delete" not in caught.value.next_step
