"""What tests of snapshots begin with: layers that are asked for at a secondary, and what it keeps."""

from dataclasses import replace

import pytest

from farshore.core import cutting
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import Apply, LinkOptions, Mode
from tests.unit.core.pair import Pair

DIRECT = LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT)
JOURNAL = replace(DIRECT, apply=Apply.JOURNAL)
BOTH = pytest.mark.parametrize("options", [DIRECT, JOURNAL], ids=["direct", "journal"])
Told = list[Layer | FarshoreError]


def take(pair: Pair, name: str = "one", kind: LayerKind = LayerKind.SNAPSHOT) -> Told:
    told: Told = []
    pair.far.run(pair.far.core.take_layer(kind, name, told.append))
    return told


def taken(told: Told) -> Layer:
    (layer,) = told
    assert isinstance(layer, Layer), layer
    return layer


def refusal(told: Told) -> FarshoreError:
    (found,) = told
    assert isinstance(found, FarshoreError), found
    return found


def settle(pair: Pair) -> None:
    pair.turn(20)
    pair.until(pair.equal)
    pair.far.store.check()


def keeps(pair: Pair) -> list[bytes]:
    return [each.id for each in pair.far.store.layers]


def cut(pair: Pair, name: str = "noon") -> int:
    """The sequence of a cut that asks the peer for a snapshot. The primary's own, which is taken with it
    where a `moment` makes the cut, is not asked for here."""
    core = pair.near.core
    cutting.cut(core.path, name, 0, snapshot=True)
    pair.near.run(core.outbox.take())
    return core.sequence


def marks(pair: Pair) -> list[tuple[str, int]]:
    return [(each.name, each.mark.sequence) for each in pair.far.core.preserve.layers if each.mark]
