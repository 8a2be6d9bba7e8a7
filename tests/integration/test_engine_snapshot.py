"""Snapshots that engines take at a cut, while writes go on: what they show, across deaths and chains."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.core.geometry import Geometry
from farshore.demo.nbd_client import NbdClient
from farshore.errors import FarshoreError
from farshore.model.options import Apply, LinkOptions, Mode
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.waiting import wait_until

MIB = 1 << 20
SIZE = 8 * MIB
DIRECT = LinkOptions(mode=Mode.SYNC, apply=Apply.DIRECT)
JOURNAL = LinkOptions(mode=Mode.ASYNC, apply=Apply.JOURNAL, queue_disk=1024 * MIB)
BOTH = pytest.mark.parametrize("options", [DIRECT, JOURNAL], ids=["direct", "journal"])


def layers(engine: Engine, kind: str = "snapshot") -> list[dict[str, Any]]:
    return [each for each in engine.ask("layers")["layers"] if each["kind"] == kind]


def roomy(engine: Engine) -> None:
    """Room for several snapshots of everything."""
    engine.write_intent(replace(engine.config, preserve=16 * SIZE))


def has(engine: Engine, name: str) -> bool:
    return any(each["name"] == name for each in layers(engine))


def shown(engine: Engine, image: Path, name: str) -> bytes:
    """What a snapshot of a stopped engine's copy shows."""
    geometry = Geometry({1: SIZE}, engine.config.region, engine.config.extent)
    store = PreserveStore.open(RealFiles(), f"{engine.directory}/preserve", geometry, 1 << 40)
    data = image.read_bytes()
    (layer,) = [each for each in store.layers if each.name == name]
    try:
        regions = range(geometry.regions(1))
        return b"".join(
            [store.read(layer.id, 1, n, lambda _, at, size: data[at : at + size]) for n in regions]
        )
    finally:
        store.close()


@contextmanager
def load(engine: Engine, seed: int) -> Iterator[threading.Event]:
    """An application that writes all over the volume until the block ends; the event: it has begun."""
    drawn, stop, begun = random.Random(seed), threading.Event(), threading.Event()

    def write() -> None:
        client = NbdClient(engine.uri())
        try:
            while not stop.wait(0.003):
                at = drawn.randrange(SIZE // 4096 - 16) * 4096
                client.write(at, drawn.randbytes(4096) * drawn.randint(1, 16))
                begun.set()
        finally:
            client.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield begun
    finally:
        stop.set()
        thread.join(30)


def fill(engine: Engine, seed: int) -> None:
    client = NbdClient(engine.uri())
    try:
        for at in range(0, SIZE, MIB):
            client.write(at, random.Random(seed + at).randbytes(MIB))
        client.flush()
    finally:
        client.close()


@BOTH
def test_a_snapshot_is_what_the_primary_had_at_the_cut_whatever_is_written_later(
    sites: Sites, options: LinkOptions
) -> None:
    a, b, _ = sites.pair({"data": SIZE}, options)
    roomy(a)
    roomy(b)
    b.start()
    a.start()
    a.wait_until_clean(60)
    fill(a, 1)
    expected = sites.image("a", "data").read_bytes()
    cut = a.ask("cut", name="noon", snapshot=True)
    with load(a, 2):
        wait_until(lambda: has(b, "noon"), 60, what="the snapshot")
        wait_until(lambda: b.status()["sequence"] > cut["sequence"] + 200, 60, what="writes behind it")
        a.ask("cut", name="later", snapshot=True)
        wait_until(lambda: has(b, "later"), 60, what="the second one")
    fill(a, 3)
    a.wait_until_clean(60)
    (noon, later) = layers(b)
    assert {name: noon[name] for name in cut} == cut
    assert noon["bytes"] + later["bytes"] > SIZE
    assert b.terminate() == 0
    assert shown(b, sites.image("b", "data"), "noon") == expected
    assert [each["name"] for each in layers(a)] == ["noon", "later"]
    assert a.terminate() == 0
    assert shown(a, sites.image("a", "data"), "noon") == expected
    b.start()
    b.ask("layer-drop", id=later["id"])
    assert [each["name"] for each in layers(b)] == ["noon"]
    assert b.terminate() == 0
    assert shown(b, sites.image("b", "data"), "noon") == expected


def test_a_copy_that_is_killed_around_its_cuts_has_them_all_from_its_journal(sites: Sites) -> None:
    a, b, _ = sites.pair({"data": SIZE}, JOURNAL)
    roomy(b)
    b.start()
    a.start()
    a.wait_until_clean(60)
    expected: dict[str, bytes] = {}
    for n in range(4):
        fill(a, 100 * n)
        expected[f"cut-{n}"] = sites.image("a", "data").read_bytes()
        a.ask("cut", name=f"cut-{n}", snapshot=True)
        with load(a, n) as begun:
            assert begun.wait(10)
            if n % 2:
                b.kill()
                b.start()
                a.ask("peer-back", peer=None)
    a.wait_until_clean(60)  # durable in its journal; the volumes follow
    wait_until(lambda: has(b, max(expected)), 60, what="the last one")
    assert [each["name"] for each in layers(b)] == sorted(expected)
    assert b.terminate() == 0
    for name, image in expected.items():
        assert shown(b, sites.image("b", "data"), name) == image


def test_each_copy_of_a_chain_takes_it(sites: Sites) -> None:
    chain = sites.chain({"data": SIZE}, JOURNAL, JOURNAL)
    for engine in (chain.c, chain.b, chain.a):
        engine.start()
    chain.a.wait_until_clean(60)
    chain.b.wait_until_clean(60)
    fill(chain.a, 1)
    expected = sites.image("a", "data").read_bytes()
    chain.a.ask("cut", name="noon", snapshot=True)
    fill(chain.a, 2)
    for engine in (chain.b, chain.c):
        wait_until(lambda engine=engine: has(engine, "noon"), 60, what="the snapshot")  # type: ignore[misc]
    chain.a.wait_until_clean(60)
    chain.b.wait_until_clean(60)
    for name, engine in (("c", chain.c), ("b", chain.b)):
        assert engine.terminate() == 0
        assert shown(engine, sites.image(name, "data"), "noon") == expected


def test_a_copy_that_is_being_resynced_says_that_it_missed_it_and_what_cannot_be_is_refused(
    sites: Sites,
) -> None:
    a, b, _ = sites.pair({"data": SIZE}, replace(DIRECT, max_rate=MIB))
    sites.image("a", "data").write_bytes(b"this is no hole and takes a while".ljust(64) * (SIZE // 64))
    b.start()
    a.start()
    wait_until(
        lambda: b.status()["sequence"] is not None and a.link()["state"] == "resyncing", what="a resync"
    )
    a.ask("cut", name="noon", snapshot=True)
    wait_until(lambda: bool(b.ask("layers")["missed"]), 60, what="the cut")
    (missed,) = b.ask("layers")["missed"]
    assert (missed["name"], missed["code"]) == ("noon", "wrong-state")
    assert not has(b, "noon")
    _refuses(a, b)


def test_a_store_that_is_full_gives_the_snapshot_up_and_replication_goes_on(sites: Sites) -> None:
    a, b, _ = sites.pair({"data": SIZE}, JOURNAL)
    b.write_intent(replace(b.config, preserve=2 * MIB))
    b.start()
    a.start()
    a.wait_until_clean(60)
    fill(a, 1)
    a.ask("cut", name="noon", snapshot=True)
    wait_until(lambda: has(b, "noon"), 60, what="the snapshot")
    fill(a, 2)
    a.wait_until_clean(60)
    assert not has(b, "noon")
    kept = {"used_bytes": 0, "limit_bytes": 2 * MIB, "layers": [], "unusable": None}
    assert b.status()["preserve"] == kept
    kinds = [each["kind"] for each in b.ask("events")["events"]]
    assert "layer-gave-way" in kinds
    assert a.link()["state"] == "replicating"


def _refuses(a: Engine, b: Engine) -> None:
    with pytest.raises(FarshoreError, match="cannot be the name of a snapshot"):
        a.ask("cut", name="no name", snapshot=True)
    for wrong in ("", "00", "x" * 32):
        with pytest.raises(FarshoreError, match="cannot be"):
            b.ask("layer-drop", id=wrong)
    with pytest.raises(FarshoreError, match="does not keep"):
        b.ask("layer-drop", id="00" * 16)
    assert [each["name"] for each in a.ask("layers")["layers"]] == ["noon"]
    with pytest.raises(FarshoreError, match="under the name"):
        a.ask("cut", name="noon", snapshot=True)
