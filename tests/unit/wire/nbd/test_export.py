"""An export that the protocol could not carry is refused where it is made."""

from __future__ import annotations

from typing import Any

import pytest

from farshore.wire.nbd import constants as nbd
from farshore.wire.nbd.constants import transmission_flags
from farshore.wire.nbd.export import ExportInfo


def export(**changed: Any) -> ExportInfo:
    values: dict[str, Any] = {
        "name": "data",
        "size": 1 << 20,
        "transmission_flags": transmission_flags(read_only=False),
    }
    return ExportInfo(**{**values, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "ü" * 2049},
        {"name": "a\0b"},
        {"description": "x" * 4097},
        {"contexts": ("base:allocation", "x" * 4097)},
        {"size": -1},
        {"size": 1 << 63},
        {"transmission_flags": nbd.NBD_FLAG_SEND_FLUSH},
        {"min_block": 0},
        {"min_block": 3},
        {"min_block": 1 << 17},
        {"preferred_block": 256},
        {"preferred_block": 6000},
        {"min_block": 8192, "preferred_block": 4096},
        {"min_block": 512, "max_block": 4096 + 256},
        {"max_block": 2048},
        {"max_block": 33 << 20},
    ],
)
def test_an_export_outside_of_the_protocol_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        export(**changed)


def test_the_defaults_are_what_we_promise() -> None:
    info = export()
    assert (info.min_block, info.preferred_block, info.max_block) == (1, 4096, 32 << 20)
    assert not info.read_only
    assert export(transmission_flags=transmission_flags(read_only=True)).read_only


def test_the_flags_of_writable_and_read_only_exports() -> None:
    assert transmission_flags(read_only=False) == 0b1101_1110_1101
    assert transmission_flags(read_only=True) == 0b0101_1000_1111
