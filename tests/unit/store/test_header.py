"""The header on disk: canonical, complete, and refused in any other form."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.errors import FarshoreError
from farshore.model.header import (
    HEADER_FORMAT,
    Fault,
    FaultKind,
    Header,
    LinkRecord,
    OpenResync,
    Successor,
    Upstream,
    VerifyRecord,
    VerifyState,
    VolumeIdentity,
    VolumeRoom,
)
from farshore.model.options import ResyncKind, Role
from farshore.model.positions import History, Position, Stretch
from farshore.store import header as header_file
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles

LAYER = RealFiles()
ids = st.binary(min_size=16, max_size=16)
u64 = st.integers(0, (1 << 64) - 1)
positions = st.builds(Position, ids, u64)
resyncs = st.builds(OpenResync, ids, st.sampled_from(ResyncKind), positions)
verifies = st.builds(
    VerifyRecord,
    state=st.sampled_from(VerifyState),
    begun=st.floats(0, 1e12),
    volume=u64,
    region=u64,
    halt=st.booleans(),
    rate=u64,
    ended=st.none() | st.floats(0, 1e12),
    at=st.none() | positions,
    found=u64,
    why=st.text(max_size=40),
)
links = st.builds(
    LinkRecord,
    link=ids,
    epoch=u64,
    peer_copy=st.none() | ids,
    open_resync=st.none() | resyncs,
    alone_since=st.none() | positions,
    ever_replicated=st.booleans(),
    paused=st.booleans(),
    paused_for=st.text(max_size=40),
    stopped_at=st.none() | positions,
    stopped_time=st.none() | st.floats(0, 1e12),
    once=st.booleans(),
    queue_whole=st.booleans(),
    unmet=st.booleans(),
    retired=st.booleans(),
    verify=st.none() | verifies,
)
headers = st.builds(
    Header,
    group=ids,
    copy=ids,
    role=st.sampled_from(Role),
    history=st.lists(st.builds(Stretch, ids, u64), max_size=4).map(lambda each: History(tuple(each))),
    ceiling=u64,
    clean=st.booleans(),
    boot=st.text(max_size=40),
    links=st.lists(links, max_size=3).map(tuple),
    upstream=st.none() | st.builds(Upstream, ids, u64, st.none() | ids),
    resync=st.none() | resyncs,
    doubtful_until=u64,
    highest_seen=u64,
    journaling=st.booleans(),
    fault=st.none()
    | st.builds(Fault, st.text(min_size=1, max_size=40), st.none() | st.sampled_from(FaultKind)),
    loose_until=u64,
    turn=st.just(b"") | ids,
    fenced=st.text(max_size=40),
    rooms=st.lists(st.builds(VolumeRoom, u64, u64, u64), max_size=2).map(tuple),
    broken_layers=st.lists(ids, max_size=3).map(tuple),
    successor=st.none() | st.builds(Successor, ids, ids),
    identities=st.lists(st.builds(VolumeIdentity, u64, st.text(max_size=40)), max_size=2).map(tuple),
)


def id_of(number: int) -> bytes:
    return bytes([number]) * 16


FULL = Header(
    group=id_of(1),
    copy=id_of(2),
    role=Role.SECONDARY,
    history=History((Stretch(id_of(3), 7),)),
    ceiling=8,
    clean=False,
    boot="b",
    links=(
        LinkRecord(
            id_of(4),
            2,
            id_of(5),
            OpenResync(id_of(6), ResyncKind.FULL, Position(id_of(3), 5)),
            Position(id_of(3), 6),
            ever_replicated=True,
            paused=True,
            paused_for="EIO",
            stopped_at=Position(id_of(3), 7),
            stopped_time=1.5,
            queue_whole=True,
            unmet=True,
            retired=True,
            verify=VerifyRecord(
                VerifyState.HALTED, 2.5, 3, 4, True, 5, 6.5, Position(id_of(3), 7), 4096, "why"
            ),
        ),
    ),
    upstream=Upstream(id_of(7), 3, id_of(8)),
    resync=OpenResync(id_of(9), ResyncKind.DIGEST, Position(id_of(3), 4)),
    doubtful_until=9,
    highest_seen=10,
    journaling=True,
    fault=Fault("io-error", FaultKind.RECORDS),
    loose_until=11,
    turn=id_of(10),
    fenced="promoted",
    undo=id_of(11),
    rooms=(VolumeRoom(1, 2, 3),),
    broken_layers=(id_of(12), id_of(13)),
    successor=Successor(id_of(14), id_of(15)),
    identities=(VolumeIdentity(1, "mark:00"),),
)


def h(number: int) -> str:
    return f'"{id_of(number).hex()}"'


GOLDEN = (
    f'{{"boot":"b","broken_layers":[{h(12)},{h(13)}],"ceiling":8,"clean":false,"copy":{h(2)},'
    f'"doubtful_until":9,"fault":{{"kind":"records","text":"io-error"}},"fenced":"promoted","format":2,'
    f'"group":{h(1)},"highest_seen":10,"history":[[{h(3)},7]],"identities":[[1,"mark:00"]],"journaling":true,'
    f'"links":[{{"alone_since":[{h(3)},6],"epoch":2,'
    f'"ever_replicated":true,"link":{h(4)},"once":false,"open_resync":{{"id":{h(6)},"kind":"full","start":[{h(3)},5]}},'
    f'"paused":true,"paused_for":"EIO","peer_copy":{h(5)},"queue_whole":true,"retired":true,"stopped_at":[{h(3)},7],'
    f'"stopped_time":1.5,"unmet":true,"verify":{{"at":[{h(3)},7],"begun":2.5,"ended":6.5,"found":4096,'
    f'"halt":true,"rate":5,"region":4,"state":"halted","volume":3,"why":"why"}}}}],"loose_until":11,'
    f'"resync":{{"id":{h(9)},"kind":"digest","start":[{h(3)},4]}},"role":"secondary","rooms":[[1,2,3]],'
    f'"successor":{{"link":{h(14)},"turn":{h(15)}}},"turn":{h(10)},"undo":{h(11)},'
    f'"upstream":{{"copy":{h(8)},"epoch":3,"link":{h(7)}}}}}'
)


FIRST_FORMAT = (
    f'{{"boot":"b","ceiling":8,"clean":false,"copy":{h(2)},"doubtful_until":9,"fault":"io-error","format":1,'
    f'"group":{h(1)},"highest_seen":10,"history":[[{h(3)},7]],"journaling":true,'
    f'"links":[{{"alone_since":[{h(3)},6],"epoch":2,'
    f'"ever_replicated":true,"link":{h(4)},"once":false,"open_resync":{{"id":{h(6)},"kind":"full","start":[{h(3)},5]}},'
    f'"paused":true,"paused_for":"EIO","peer_copy":{h(5)},"queue_whole":true,"stopped_at":[{h(3)},7],'
    f'"stopped_time":1.5}}],'
    f'"resync":{{"id":{h(9)},"kind":"digest","start":[{h(3)},4]}},"role":"secondary",'
    f'"upstream":{{"copy":{h(8)},"epoch":3,"link":{h(7)}}}}}'
)
"""What was written before roles could change."""


def test_a_link_that_was_never_verified_is_written_as_before_there_was_a_verify() -> None:
    never = dataclasses.replace(FULL, links=(dataclasses.replace(FULL.links[0], verify=None),))
    assert b"verify" not in header_file.encode(never)
    assert header_file.decode(header_file.encode(never), "x") == never


def test_a_header_of_volumes_that_never_grew_is_written_as_before_they_could() -> None:
    never = dataclasses.replace(FULL, rooms=())
    assert b"rooms" not in header_file.encode(never)
    assert header_file.decode(header_file.encode(never), "x") == never


def test_a_copy_without_broken_layers_is_written_as_before_there_could_be_any() -> None:
    whole = dataclasses.replace(FULL, broken_layers=())
    assert b"broken_layers" not in header_file.encode(whole)
    assert header_file.decode(header_file.encode(whole), "x") == whole
    with pytest.raises(FarshoreError, match="cannot be read"):
        header_file.decode(GOLDEN.replace(f"[{h(12)},{h(13)}]", "[]").encode(), "x")


def test_a_fence_of_nobody_in_particular_is_written_as_before_it_could_be_told_whose_it_is() -> None:
    nobody = dataclasses.replace(FULL, successor=None)
    assert b"successor" not in header_file.encode(nobody)
    assert header_file.decode(header_file.encode(nobody), "x") == nobody


def test_a_fault_that_was_recorded_without_its_kind_is_read_and_written_as_it_was() -> None:
    before = GOLDEN.replace('{"kind":"records","text":"io-error"}', '"io-error"')
    found = header_file.decode(before.encode(), "x")
    assert found == dataclasses.replace(FULL, fault=Fault("io-error", None))
    assert header_file.encode(found).decode() == before
    well = dataclasses.replace(FULL, fault=None)
    assert b'"fault":""' in header_file.encode(well)
    assert header_file.decode(header_file.encode(well), "x") == well
    with pytest.raises(FarshoreError, match="cannot be read"):
        header_file.decode(GOLDEN.replace('"records"', '"weather"').encode(), "x")


def test_a_copy_whose_volumes_say_nothing_is_written_as_before_they_were_asked() -> None:
    silent = dataclasses.replace(FULL, identities=())
    assert b"identities" not in header_file.encode(silent)
    assert header_file.decode(header_file.encode(silent), "x") == silent


def test_a_header_has_the_documented_bytes() -> None:
    assert header_file.encode(FULL).decode() == GOLDEN
    assert header_file.decode(GOLDEN.encode(), "x") == FULL


def test_a_header_of_the_first_format_is_read_as_one_before_any_turn() -> None:
    earlier = dataclasses.replace(FULL.links[0], unmet=False, retired=False, verify=None)
    assert header_file.decode(FIRST_FORMAT.encode(), "x") == dataclasses.replace(
        FULL,
        turn=b"",
        fenced="",
        undo=b"",
        loose_until=0,
        rooms=(),
        broken_layers=(),
        successor=None,
        identities=(),
        links=(earlier,),
        fault=Fault("io-error", None),
    )


def test_a_header_of_the_first_format_has_no_other_form() -> None:
    with pytest.raises(FarshoreError, match="not in the one form"):
        header_file.decode(FIRST_FORMAT.replace('"once"', ' "once"').encode(), "x")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Header, json.loads(GOLDEN)),
        (LinkRecord, json.loads(GOLDEN)["links"][0]),
        (Upstream, json.loads(GOLDEN)["upstream"]),
        (OpenResync, json.loads(GOLDEN)["resync"]),
        (VerifyRecord, json.loads(GOLDEN)["links"][0]["verify"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_of_the_model_is_kept(kind: Any, value: dict[str, object]) -> None:
    assert {field.name for field in dataclasses.fields(kind)} == set(value)


@given(headers)
def test_what_is_encoded_is_decoded(header: Header) -> None:
    assert header_file.decode(header_file.encode(header), "x") == header


def code_of(data: bytes) -> str:
    with pytest.raises(FarshoreError) as refused:
        header_file.decode(data, "the path")
    assert "the path" in refused.value.what
    return refused.value.code.name


def refused_or_exact(data: bytes) -> str:
    """How these bytes are taken: the code of the refusal, or `exact` where they are some header's own."""
    try:
        header = header_file.decode(data, "x")
    except FarshoreError as reason:
        return reason.code.name
    return "exact" if header_file.encode(header) == data else "inexact"


def test_a_newer_format_is_named() -> None:
    newer = json.loads(GOLDEN) | {"format": HEADER_FORMAT + 1, "something": "new"}
    assert code_of(json.dumps(newer).encode()) == "state-newer"


@pytest.mark.parametrize("key", sorted(json.loads(GOLDEN)))
@pytest.mark.parametrize("value", [None, -1, "zz", {}, [1], True, 1e400])
def test_a_field_of_another_type_is_damage_or_means_nothing(key: str, value: object) -> None:
    changed = json.loads(GOLDEN) | {key: value}
    text = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()
    assert refused_or_exact(text) in ("exact", "state-damaged")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff", GOLDEN.encode() + b" ", GOLDEN.replace("aa", "AA").encode()[:-1]],
)
def test_what_is_not_the_one_form_is_damage(data: bytes) -> None:
    assert code_of(data) == "state-damaged"


@given(st.data())
def test_changed_bytes_are_damage_or_another_header(data: st.DataObject) -> None:
    changed = bytearray(GOLDEN.encode())
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert refused_or_exact(bytes(changed)) in ("exact", "state-damaged", "state-newer")


def test_the_file_keeps_the_last_header_however_long_its_history(tmp_path: Path) -> None:
    path = str(tmp_path / "header")
    file = HeaderFile.create(LAYER, path, FULL)
    for length in (1, 100, 5_000):
        history = History(tuple(Stretch(id_of(n % 250), n) for n in range(length)))
        file.write(dataclasses.replace(FULL, history=history))
        assert HeaderFile.open(LAYER, path).header == file.header
    assert len(file.header.history.stretches) == 5_000
