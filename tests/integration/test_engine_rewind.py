"""A rewind at real engines: each of the times at which an image was recorded leads to exactly that image,
what was there before is a rescue, and the former primary follows from there (rules D1, E3, H)."""

import contextlib
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from farshore.core.geometry import Geometry
from farshore.demo.nbd_client import NbdClient
from farshore.errors import FarshoreError
from farshore.model.layers import Layer, LayerKind
from farshore.model.options import Apply, LinkOptions, Mode
from farshore.model.role_change import RewindIntent, position_from_json
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFiles
from farshore.store.preserve import PreserveStore
from tests.integration.conftest import Sites
from tests.integration.dying import UNWANTED
from tests.integration.engines import Engine
from tests.integration.turning import Turners, killed_at_steps, make_turners
from tests.long_form import LONG
from tests.waiting import wait_until

MIB, KIB = 1 << 20, 1 << 10
SIZE = 8 * MIB
OPTIONS = LinkOptions(mode=Mode.ASYNC, apply=Apply.JOURNAL, compress="none")
TIMES = 10
LONGEST = 3000.0
"""Seconds that all lives of one turn may take in the long form."""
CHOSEN = range(TIMES) if LONG else (1, 7)
GAP = 0.05
"""Seconds without a write around a recorded time: frames of one turn of the loop share one time."""


def _header(engine: Engine) -> Any:
    opened = HeaderFile.open(RealFiles(), f"{engine.directory}/header")
    opened.close()
    return opened.header


@contextlib.contextmanager
def _store(engine: Engine) -> Iterator[PreserveStore]:
    """Of an engine that does not run."""
    geometry = Geometry(
        {each.id: each.size for each in engine.config.volumes}, engine.config.region, engine.config.extent
    )
    store = PreserveStore.open(RealFiles(), f"{engine.directory}/preserve", geometry, 1 << 30)
    try:
        yield store
    finally:
        store.close()


def up(engine: Engine) -> None:
    """Starts it, with patience for a turn that has much to write."""
    process = engine.launch()
    wait_until(lambda: process.poll() is not None or engine.listening(), 60.0, what="the engine answers")
    assert process.poll() is None, engine.log()


def snapshot(engine: Engine, name: str) -> None:
    """Of where the copy has stopped cleanly."""
    assert engine.terminate() == 0
    sizes = tuple((each.id, each.size) for each in engine.config.volumes)
    with _store(engine) as store:
        mark = _header(engine).history.head
        layer = Layer(os.urandom(16), LayerKind.SNAPSHOT, sizes, name, mark, time.time())
        store.begin(layer, 0)
    up(engine)


@dataclass
class Recorded:
    """What the volume held at some times, by the writes that were answered; and at snapshots, by name."""

    images: list[tuple[float, bytes]]
    named: dict[str, bytes]
    last: bytes


def _write(client: NbdClient, model: bytearray, dice: random.Random, count: int) -> None:
    for _ in range(count):
        length = dice.choice((4, 256, 256, 256)) * KIB
        offset = dice.randrange((SIZE - length) // (4 * KIB)) * 4 * KIB
        data = dice.randbytes(length)
        client.write(offset, data)
        model[offset : offset + length] = data


def _pause(seconds: float) -> None:
    until = time.time() + seconds
    wait_until(lambda: time.time() > until)


def record(turners: Turners, times: int) -> Recorded:
    """Some times between writes, with a snapshot before the first and before the third."""
    a, b = turners.a, turners.b
    b.write_intent(replace(b.config, preserve=8 * SIZE))
    up(b)
    up(a)
    a.wait_until_clean()
    model, dice = bytearray(SIZE), random.Random(5)
    images, named = list[tuple[float, bytes]](), dict[str, bytes]()
    client = NbdClient(a.uri())
    try:
        _write(client, model, dice, 20)
        for number in range(times):
            if number in (0, 2):
                client.flush()
                wait_until(lambda: b.status()["sequence"] == a.status()["sequence"])
                name = f"snapshot-{number}"
                named[name] = bytes(model)
                snapshot(b, name)
                a.wait_until_clean()
            _write(client, model, dice, 48)
            _pause(GAP)
            images.append((time.time(), bytes(model)))
            _pause(GAP)
        _write(client, model, dice, 30)
        client.flush()
    finally:
        client.close()
    a.wait_until_clean()
    wait_until(lambda: b.status()["durable"] == a.status()["sequence"])
    return Recorded(images, named, bytes(model))


class Saved:
    """What both sites have on their disks, to be had again."""

    def __init__(self, turners: Turners, beside: Path) -> None:
        self._sites, self._beside = turners.sites, beside
        for name in "ab":
            shutil.copytree(self._sites.directory / name, beside / name, ignore=_sockets)
            shutil.copy(self._sites.image(name, "data"), beside / f"{name}.img")

    def back(self) -> None:
        for name in "ab":
            shutil.rmtree(self._sites.directory / name)
            shutil.copytree(self._beside / name, self._sites.directory / name)
            shutil.copy(self._beside / f"{name}.img", self._sites.image(name, "data"))


def _sockets(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if (Path(directory) / name).is_socket()}


def go_back(turners: Turners, found: dict[str, Any]) -> None:
    """B, which has stopped, is the primary from there."""
    wish(turners, found)
    up(turners.b)


def wish(turners: Turners, found: dict[str, Any]) -> None:
    position = position_from_json(found["position"])
    assert position is not None
    intended = RewindIntent(bytes.fromhex(found["layer"]), position, "before", time.time())
    intent = turners.as_primary(turners.b)
    assert intent.turn is not None
    turners.b.write_intent(replace(intent, turn=replace(intent.turn, rewind=intended)))


def test_h_each_recorded_time_leads_to_the_image_of_that_time(sites: Sites, tmp_path: Path) -> None:
    turners = make_turners(sites, {"data": SIZE}, OPTIONS)
    recorded = record(turners, TIMES)
    a, b = turners.a, turners.b
    shown = b.status()["rewindable"]
    assert 0 < shown["bytes"] <= shown["limit"], "what is applied is kept"
    assert shown["from"] < shown["to"]
    _ask_in_vain(turners, recorded.images[0][0])
    looks = [b.ask("rewind-look", time=moment) for moment, _ in recorded.images]
    assert {each["name"] for each in looks} == set(recorded.named)
    undone = [each["undone_bytes"] for each in looks]
    assert undone == sorted(undone, reverse=True)
    named = {name: b.ask("rewind-look", name=name) for name in recorded.named}
    assert a.terminate() == 0
    assert b.terminate() == 0
    up(b)
    wait_until(lambda: b.status()["usable"], what="the journal to be replayed")
    assert b.ask("rewind-look", time=recorded.images[3][0]) == looks[3], "also without its primary"
    assert b.terminate() == 0
    assert sites.image("b", "data").read_bytes() == recorded.last
    saved = Saved(turners, tmp_path / "saved")
    wanted = [(looks[number], recorded.images[number][1]) for number in CHOSEN]
    wanted.append((named["snapshot-2"], recorded.named["snapshot-2"]))
    as_it_was = b.config
    for found, image in wanted:
        go_back(turners, found)
        assert b.status()["role"] == "primary"
        assert b.terminate() == 0
        assert sites.image("b", "data").read_bytes() == image
        history = _header(b).history
        assert history.parent.head == position_from_json(found["position"]), "it goes on from there"
        with _store(b) as store:
            (rescue,) = [each for each in store.layers if each.kind is LayerKind.RESCUE]
            assert rescue.name == "before"
        saved.back()
        b.write_intent(as_it_was)
    _go_back_in_vain(turners, looks[0], recorded.last)


def test_e3_a_rewind_that_is_not_wanted_any_more_is_taken_back(sites: Sites, tmp_path: Path) -> None:
    turners = make_turners(sites, {"data": SIZE}, OPTIONS)
    recorded = record(turners, 1)
    found = turners.b.ask("rewind-look", time=recorded.images[0][0])
    assert turners.a.terminate() == 0
    assert turners.b.terminate() == 0
    (turners.b.directory / UNWANTED).write_text((turners.b.directory / "copy.json").read_text())
    wish(turners, found)
    *killed, whole = killed_at_steps(turners.b, tmp_path / "scratch", 1 if LONG else 80, LONGEST)
    assert (whole["role"], whole["content"]) == ("primary", [sha256(recorded.images[0][1]).hexdigest()])
    last, withdrawn = sha256(recorded.last).hexdigest(), [e for e in killed if e["role"] == "secondary"]
    assert {each["content"][0] for each in withdrawn} == {last}, "the copy is what it was"
    assert any(each["opened"] for each in withdrawn), "some had begun to overwrite"
    assert not any(each["resync"] for each in withdrawn)


def _ask_in_vain(turners: Turners, first: float) -> None:
    for asked, code in (
        ({"time": first - 1000.0}, "not-rewindable"),
        ({"time": time.time()}, "not-rewindable"),
        ({"name": "never"}, "not-found"),
        ({}, "usage"),
        ({"name": "snapshot-0", "time": first}, "usage"),
    ):
        with pytest.raises(FarshoreError) as refused:
            turners.b.ask("rewind-look", **asked)
        assert refused.value.code.name == code, asked
    with pytest.raises(FarshoreError, match="primary"):
        turners.a.ask("rewind-look", time=first)


def _go_back_in_vain(turners: Turners, found: dict[str, Any], image: bytes) -> None:
    """To where no frame leads: refused, and the copy is a secondary as before."""
    a, b, before = turners.a, turners.b, turners.b.config
    generation, sequence = found["position"]
    wish(turners, {**found, "position": [generation, sequence + (1 << 40)]})
    assert b.launch().wait(20) == 1
    assert "not-rewindable" in b.log()
    assert turners.sites.image("b", "data").read_bytes() == image
    b.write_intent(before)
    up(b)
    up(a)
    a.wait_until_clean()
    assert b.terminate() == 0
    assert _header(b).resync is None
    with _store(b) as store:
        assert {each.kind for each in store.layers} == {LayerKind.SNAPSHOT}
