"""What nodes ask of each other about chains: every form is checked before anything is done."""

from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import LinkOptions, Mode
from farshore.node import chains, hops, pointing, taking
from farshore.node.chains import Feeding
from farshore.node.peers import Peer
from farshore.node.placement import VolumeShape

_POINTING = pointing.Pointing(b"g" * 16, b"l" * 16, 4, "ab" * 32, ("cd" * 32,))
_TAKING = taking.Taking(
    group=b"g" * 16,
    link=b"l" * 16,
    epoch=4,
    name="c",
    far="ab" * 32,
    far_name="c",
    options=LinkOptions(mode=Mode.SYNC, max_rate=4096),
    volumes=(VolumeShape(0, "data", 512), VolumeShape(2, "log", 1024)),
    copy="m1",
    check=True,
)


def test_requests_cross_the_wire() -> None:
    assert pointing.pointing_from_json(_POINTING.to_json()) == _POINTING
    assert taking.from_json(_TAKING.to_json()) == _TAKING


@pytest.mark.parametrize(
    "change",
    [
        {"group": "00"},
        {"link": None},
        {"epoch": 0},
        {"epoch": 1 << 63},
        {"epoch": float("inf")},
        {"feeder": "ab" * 31},
        {"feeder": "../" + "a" * 61},
        {"above": "ab" * 32},
        {"above": ["ab" * 32] * 33},
    ],
)
def test_a_malformed_wish_to_point_a_copy_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FarshoreError) as caught:
        pointing.pointing_from_json(_POINTING.to_json() | change)
    assert caught.value.code.name == "protocol"


@pytest.mark.parametrize(
    "change",
    [
        {"group": 7},
        {"epoch": 0},
        {"epoch": "x"},
        {"name": "../c"},
        {"far": "c"},
        {"options": {"mode": "sometimes"}},
        {"options": {"colour": "red"}},
        {"options": {"rpo": 0}},
        {"options": 7},
        {"volumes": []},
        {"volumes": [{"id": 0, "name": "../v", "size": 512}]},
    ],
)
def test_a_malformed_wish_for_a_link_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FarshoreError) as caught:
        taking.from_json(_TAKING.to_json() | change)
    assert caught.value.code.name in ("protocol", "usage")


def test_a_node_is_named_with_or_without_its_copy() -> None:
    assert hops.split("b") == ("b", None)
    assert hops.split("b/m1") == ("b", "m1")
    for nonsense in ("", "b/", "/m1", "b/m1/x", "B"):
        with pytest.raises(FarshoreError) as caught:
            hops.split(nonsense)
        assert caught.value.code.name == "usage"


def test_a_chain_never_passes_a_node_twice() -> None:
    chain = [Feeding(name * 64, name) for name in "cba"]
    chains.refuse_ring("orders", chain, Peer("d", "d" * 64, "d:1", ""))
    for far, way in (("a", "a -> b -> c"), ("b", "b -> c")):
        with pytest.raises(FarshoreError) as caught:
            chains.refuse_ring("orders", chain, Peer(far, far * 64, "x:1", ""))
        assert caught.value.code.name == "ring"
        assert f"({way})" in caught.value.what
