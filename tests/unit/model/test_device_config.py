"""What a node writes down for a device process is read back as it was, or refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.device_config import DeviceConfig, from_json, identity_of, to_json

_ATTACHED = DeviceConfig(
    id="0123456789abcdef",
    group="orders",
    volume="data",
    socket="/run/farshore/x/orders.nbd",
    export="data",
    size=1 << 30,
    identity=identity_of(bytes(range(16)), 3),
    mount="/run/farshore/x/d/0123456789abcdef",
    control="/run/farshore/x/d/0123456789abcdef.ctl",
    way="loop",
    at="/dev/orders",
    hold=30.0,
    read_only=True,
)


def _again(config: DeviceConfig) -> DeviceConfig:
    return from_json(json.loads(json.dumps(to_json(config))))


def test_a_document_is_read_back_as_it_was_written() -> None:
    assert _again(_ATTACHED) == _ATTACHED
    assert _again(replace(_ATTACHED, at=None, identity="", way="auto")) == replace(
        _ATTACHED, at=None, identity="", way="auto"
    )


def test_what_need_not_be_said_has_a_value() -> None:
    document = to_json(_ATTACHED)
    for name in ("way", "at", "hold", "read_only"):
        del document[name]
    config = from_json(document)
    assert (config.way, config.at, config.hold, config.read_only) == ("auto", None, 600.0, False)


def test_an_identity_names_group_and_volume() -> None:
    assert identity_of(bytes(15) + b"\xff", 26) == "farshore 000000000000000000000000000000ff 1a"
    assert identity_of(bytes(16), 1, b"\x07" * 16) == f"farshore {'00' * 16} 1 {'07' * 16}"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0123"},
        {"id": "../../../../etc/"},
        {"way": "floppy"},
        {"size": 0},
        {"size": "many"},
        {"hold": -1},
        {"mount": "relative"},
        {"at": "relative"},
        {"version": None},
    ],
)
def test_a_malformed_document_is_damaged_state(change: dict[str, Any]) -> None:
    with pytest.raises(FarshoreError) as refused:
        from_json(to_json(_ATTACHED) | change)
    assert refused.value.code.name == "state-damaged"


def test_a_document_without_a_word_is_damaged_state() -> None:
    document = to_json(_ATTACHED)
    del document["socket"]
    with pytest.raises(FarshoreError) as refused:
        from_json(document)
    assert refused.value.code.name == "state-damaged"


def test_a_later_version_is_refused_as_such() -> None:
    with pytest.raises(FarshoreError) as refused:
        from_json(to_json(_ATTACHED) | {"version": 2})
    assert refused.value.code.name == "state-newer"
