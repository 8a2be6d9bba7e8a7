"""What a node writes down of a copy is read back as it was, also where an older node wrote it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import (
    CopyConfig,
    ExportIntent,
    HopIntent,
    LinkIntent,
    RerouteIntent,
    UpstreamIntent,
    from_json,
    to_json,
)
from farshore.model.options import LinkOptions, LinkSpec, Mode, Role
from farshore.model.positions import Position
from farshore.model.volumes import VolumeSpec

_MIDDLE = CopyConfig(
    group=b"g" * 16,
    group_name="orders",
    copy=b"c" * 16,
    copy_name="b",
    role=Role.SECONDARY,
    volumes=(VolumeSpec(0, "data", "/srv/data.img", 1 << 20),),
    control="/run/c.ctl",
    certificate="/c.pem",
    key="/k.pem",
    upstream=UpstreamIntent(b"l" * 16, 3, "aa" * 32, "a", "plain", ("bb" * 32, "cc" * 32)),
    links=(
        LinkIntent(
            LinkSpec(b"m" * 16, "c", "dd" * 32, LinkOptions(), 2, resting=True), "c", "c:7411", "aa" * 32, "e"
        ),
    ),
    hops=(
        HopIntent(b"n" * 16, "d", "dd" * 32, "c", "c", "ee" * 32, "d", LinkOptions(mode=Mode.SYNC, rpo=7.0)),
    ),
    reroutes=(RerouteIntent(b"m" * 16, "c", "dd" * 32, "c", "b", "e/copy", LinkOptions(mode=Mode.SYNC)),),
)


def _written(config: CopyConfig) -> Any:
    return json.loads(json.dumps(to_json(config)))


def test_a_copy_in_the_middle_of_a_chain_is_read_back() -> None:
    assert from_json(_written(_MIDDLE)) == _MIDDLE


def test_what_a_plan_allows_to_overwrite_and_where_it_is_kept_is_read_back() -> None:
    (link,) = _MIDDLE.links
    allowed = replace(link, consent=Position(b"h" * 16, 9), rescue="split-brain-1")
    config = replace(_MIDDLE, links=(allowed,), closed="it is lent")
    assert from_json(_written(config)) == config
    old = _written(config)
    del old["links"][0]["rescue"], old["closed"]
    assert from_json(old) == replace(config, links=(replace(allowed, rescue=""),), closed="")


def test_a_document_from_before_there_were_chains() -> None:
    old = _written(_MIDDLE)
    del (
        old["hops"],
        old["reroutes"],
        old["upstream"]["above"],
        old["links"][0]["asked_by"],
        old["links"][0]["left_for"],
    )
    found = from_json(old)
    assert (found.hops, found.reroutes) == ((), ())
    assert found.upstream is not None
    assert found.upstream.above == ()
    assert (found.links[0].asked_by, found.links[0].left_for) == ("", "")


def test_a_malformed_hop_is_no_guess() -> None:
    damaged = _written(_MIDDLE)
    damaged["hops"][0]["link"] = 7
    with pytest.raises(FarshoreError) as caught:
        from_json(damaged)
    assert caught.value.code.name == "state-damaged"


def test_an_export_of_a_layer_is_read_back_and_others_look_as_they_did_before_there_were_any() -> None:
    plain = ExportIntent(0, unix="/run/a.nbd", read_only=True)
    layered = replace(plain, layer="ab" * 16)
    document = json.loads(json.dumps(to_json(replace(_MIDDLE, exports=(plain, layered)))))
    assert "layer" not in document["exports"][0]
    assert document["exports"][1]["layer"] == "ab" * 16
    assert from_json(document).exports == (plain, layered)
