"""A copy is rewound to layers that show all of their moment, and to no others (rules E2, H)."""

from dataclasses import replace

import pytest

from farshore.engine import rewindable
from farshore.errors import FarshoreError
from farshore.model.layers import EVERY_LAYER, LayerKind
from tests.unit.core.pair import REGION
from tests.unit.core.scenes import running
from tests.unit.core.snapshot_scenes import JOURNAL, settle, take, taken


@pytest.mark.parametrize("every", [False, True])
def test_e2_nobody_goes_back_to_what_is_broken_and_is_told_why(every: bool) -> None:
    pair = running(JOURNAL)
    pair.write(0)
    settle(pair)
    layer = taken(take(pair, "mine", LayerKind.RESCUE))
    pair.write(0, 2 * REGION)
    settle(pair)
    core = pair.far.core
    assert rewindable.named(core, "mine") == layer
    core.keeper.header = replace(core.keeper.header, broken_layers=(EVERY_LAYER if every else layer.id,))
    for name in ("mine", layer.id.hex()):
        with pytest.raises(FarshoreError, match="lacks what was overwritten") as refused:
            rewindable.named(core, name)
        assert refused.value.code.name == "not-rewindable"
    with pytest.raises(FarshoreError) as unknown:
        rewindable.named(core, "other")
    assert unknown.value.code.name == "not-found"
    with pytest.raises(FarshoreError) as dated:
        rewindable.named(core, "2026-01-31")
    assert "2026-01-31T12:00:00Z" in dated.value.next_step


def test_nobody_goes_back_to_what_lacks_a_region_and_is_told_why() -> None:
    pair = running(JOURNAL)
    pair.write(0)
    settle(pair)
    layer = taken(take(pair, "mine", LayerKind.RESCUE))
    pair.far.store.bad.add((1, 2))
    pair.write(0, 2 * REGION)
    settle(pair)
    assert pair.far.store.lacking(layer.id) == {(1, 2)}
    with pytest.raises(FarshoreError, match="could not be read") as refused:
        rewindable.named(pair.far.core, "mine")
    assert refused.value.code.name == "not-rewindable"
