"""What operators may ask for, checked before anything is touched."""

import pytest

from farshore.errors import FarshoreError
from farshore.model.copy_config import least_hot_extents
from farshore.model.options import Apply, Mode, ResyncKind
from farshore.node import intent, names, placement


def test_a_link_is_named_after_its_peer_and_numbered() -> None:
    assert intent.link_name(None, "b", []) == "b"
    assert intent.link_name(None, "b", ["b"]) == "b-2"
    assert intent.link_name(None, "b", ["b", "b-2"]) == "b-3"
    assert len(intent.link_name(None, "b" * 63, ["b" * 63])) <= 63
    for wished, code in (("b", "exists"), ("B", "usage")):
        with pytest.raises(FarshoreError) as caught:
            intent.link_name(wished, "b", ["b"])
        assert caught.value.code.name == code


def test_an_async_links_peer_keeps_a_journal_unless_told_otherwise() -> None:
    assert intent.link_options({}).apply is Apply.JOURNAL
    assert intent.link_options({"mode": "async"}).apply is Apply.JOURNAL
    assert intent.link_options({"mode": "sync"}).apply is Apply.DIRECT
    assert intent.link_options({"apply": "direct"}).apply is Apply.DIRECT
    changed = intent.link_options({"mode": "sync"}, intent.link_options({}))
    assert changed.apply is Apply.JOURNAL  # what was chosen once stays
    with pytest.raises(FarshoreError):
        intent.link_options({"apply": "later"})


def test_options_keep_what_was_not_said() -> None:
    base = intent.link_options({"mode": "sync", "rpo": 5.0})
    changed = intent.link_options({"first": "digest"}, base)
    assert (changed.mode, changed.rpo, changed.first) == (Mode.SYNC, 5.0, ResyncKind.DIGEST)


@pytest.mark.parametrize(
    "given",
    [
        {"queue_memory": 1},
        {"queue_memory": "64"},
        {"wire": "smoke"},
        {"max_rate": -1},
        {"rpo": float("nan")},
        {"first": "update"},
        {"autosync": "no"},
        {"queue_memory": float("inf")},
        {"max_rate": 0.5},
        {"compress": "lz4"},
        {"dscp": 64},
        {"max_rate": 511},
        {"dscp": -1},
        {"queue_memory": True},
    ],
)
def test_options_out_of_range(given: dict[str, object]) -> None:
    with pytest.raises(FarshoreError) as caught:
        intent.link_options(given)
    assert caught.value.code.name == "usage"


@pytest.mark.parametrize(
    ("host", "name"), [("Web-1.example.org", "web-1"), ("ÄÖ", "node"), ("_x", "x"), ("", "node")]
)
def test_a_nodes_name_from_its_host(host: str, name: str) -> None:
    assert names.from_host(host) == name
    assert names.check("node", name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "A", "a/b", "a@b", "a b", "a\n", "a" * 64, "é"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(FarshoreError):
        names.check("group", name)


def test_a_hop_has_no_application_to_hold() -> None:
    for mode in Mode:
        intent.check_hop(intent.link_options({"mode": mode.value, "ack": "durable", "queue_disk": 1 << 20}))
    for given in ({"on_outage": "freeze"}, {"on_full": "block"}):
        with pytest.raises(FarshoreError) as caught:
            intent.check_hop(intent.link_options(given))
        assert caught.value.code.name == "usage"
        assert "no application" in caught.value.what
        assert caught.value.next_step.startswith("use on-")


def wish() -> placement.Placement:
    volumes = (placement.VolumeShape(0, "v", 512),)
    return placement.Placement(
        group=b"g" * 16,
        group_name="g",
        copy_name="b",
        link=b"l" * 16,
        epoch=1,
        feeder="ab" * 32,
        volumes=volumes,
        region=32768,
        extent=4 << 20,
        hot_extents=16,
        wire="tls",
        first=ResyncKind.FULL,
        places={"v": "/x"},
        above=("cd" * 32, "ef" * 32),
    )


def test_a_wish_for_a_copy_crosses_the_wire() -> None:
    assert placement.from_json(wish().to_json()) == wish()


def test_a_node_that_knows_of_no_chains_has_nobody_above_it() -> None:
    said = wish().to_json()
    del said["above"]
    assert placement.from_json(said).above == ()


@pytest.mark.parametrize(
    "change",
    [
        {"group": "00"},
        {"group_name": "../x"},
        {"copy_name": "a/b"},
        {"epoch": 0},
        {"epoch": float("inf")},
        {"region": 3},
        {"extent": 1},
        {"hot_extents": 0},
        {"hot_extents": least_hot_extents(4 << 20) - 1},
        {"hot_extents": 1 << 30},
        {"extent": 0},
        {"extent": 48 << 10},
        {"wire": "x"},
        {"first": "later"},
        {"volumes": []},
        {"volumes": [{"id": 0, "name": "v", "size": 0}]},
        {"volumes": [{"id": 0, "name": "v", "size": 513}]},
        {"volumes": [{"id": 1 << 16, "name": "v", "size": 512}]},
        {"volumes": [{"id": 0, "name": "../v", "size": 512}]},
        {"volumes": [{"id": 0, "name": "v", "size": 512}, {"id": 0, "name": "w", "size": 512}]},
        {"volumes": [{"id": 0, "name": "v", "size": 512}, {"id": 1, "name": "v", "size": 512}]},
        {"volumes": 7},
        {"places": {"w": "/x"}},
        {"places": 7},
        {"above": "cd" * 32},
        {"above": ["../x"]},
        {"above": [7]},
        {"above": ["cd" * 32] * (placement.MOST_ABOVE + 1)},
    ],
)
def test_a_malformed_wish_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FarshoreError):
        placement.from_json(wish().to_json() | change)
