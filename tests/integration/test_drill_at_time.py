"""A drill at a time between two snapshots, at real engines: exactly what the volume held then, while the copy
goes on following; and nothing at all where that cannot be had (rules E2, F1, H)."""

import contextlib
import filecmp
import random
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farshore.demo.nbd_client import NbdClient
from farshore.errors import FarshoreError
from farshore.model.options import Apply, LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Engine, Load
from tests.integration.test_engine_rewind import KIB, MIB, SIZE, _pause, _write
from tests.requires import requires
from tests.waiting import wait_until

pytestmark = requires("qemu-io", "fio")
SIZES = {"data": SIZE}
JOURNAL = LinkOptions(mode=Mode.ASYNC, apply=Apply.JOURNAL, compress="none")
GAP = 0.02
"""Seconds without a write around a time: frames of one turn of the loop share one time."""


def _start(engine: Engine, moment: float, limit: int = 0) -> dict[str, Any]:
    socket = engine.config.control.removesuffix(".ctl") + "-drill.nbd"
    found = engine.ask("drill-start-at", unix=socket, limit=limit, time=moment)["drill"]
    assert isinstance(found, dict)
    return found


def _opened(drill: dict[str, Any]) -> NbdClient:
    (export,) = drill["exports"]
    return NbdClient(export["uri"])


def _refused(engine: Engine, moment: float, limit: int = 0) -> FarshoreError:
    """And nothing is left behind."""
    with pytest.raises(FarshoreError) as refused:
        _start(engine, moment, limit)
    assert engine.status()["drill"] is None
    assert {each["kind"] for each in engine.ask("layers")["layers"]} <= {"snapshot"}
    return refused.value


def _unnamed(engine: Engine) -> list[str]:
    """Files without a name that it has open."""
    descriptors, found = Path(f"/proc/{engine.ask('hello')['pid']}/fd"), list[str]()
    for each in descriptors.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed just now
            found.append(str(each.readlink()))
    return [each for each in found if "/#" in each and each.endswith("(deleted)")]


def _keeps(engine: Engine, count: int) -> bool:
    return len(engine.ask("layers")["layers"]) == count


@dataclass
class Fed:
    """Two copies, and what the volume held at some times."""

    a: Engine
    b: Engine
    before: float
    """No snapshot is as old."""
    images: list[tuple[float, bytes]]


def _fed(sites: Sites, options: LinkOptions = JOURNAL) -> Fed:
    """A snapshot before the first time and one before the third; zeroes and trims among the writes."""
    a, b, _ = sites.pair(SIZES, options)
    b.write_intent(replace(b.config, preserve=8 * SIZE))
    b.start()
    a.start()
    a.wait_until_clean()
    before, images, model, dice = time.time(), list[tuple[float, bytes]](), bytearray(SIZE), random.Random(7)
    for number in range(3):
        if number != 1:
            a.ask("cut", name=f"snapshot-{number}", snapshot=True)
            wait_until(partial(_keeps, b, 1 if number == 0 else 2))
        client = NbdClient(a.uri())
        _write(client, model, dice, 40)
        client.close()
        zeroes, trim = 600 * KIB + number * MIB + 512, 3 * MIB + number * MIB + 1024
        a.qemu_io(f"write -z {zeroes} 300k", f"discard {trim} 517k", f"write -P {number} {trim} 1k", "flush")
        model[zeroes : zeroes + 300 * KIB] = bytes(300 * KIB)
        model[trim : trim + 517 * KIB] = bytes(517 * KIB)
        model[trim : trim + KIB] = bytes([number]) * KIB
        _pause(GAP)
        images.append((time.time(), bytes(model)))
        _pause(GAP)
    a.qemu_io("write -P 3 0 64k", "flush")
    a.wait_until_clean()
    wait_until(lambda: b.status()["sequence"] == a.status()["sequence"])
    return Fed(a, b, before, images)


def test_h_a_drill_at_a_time_shows_exactly_that_time_and_the_copy_goes_on(sites: Sites) -> None:
    fed = _fed(sites)
    _goes_on(fed, sites)
    _ends(fed, sites)


def _goes_on(fed: Fed, sites: Sites) -> None:
    a, b = fed.a, fed.b
    assert _refused(b, fed.before).code.name == "not-rewindable"
    later = _refused(b, time.time() + 100.0)
    assert (later.code.name, "without --at" in later.next_step) == ("not-rewindable", True)
    assert "primary" in _refused(a, fed.images[0][0]).what
    full = _refused(b, fed.images[1][0], MIB)
    assert (full.code.name, "--limit" in full.next_step) == ("store-full", True)
    wait_until(lambda: not _unnamed(b))
    load = a.load(1.0, Load("64k", 64))
    for number, (moment, image) in enumerate(fed.images):
        look = b.ask("rewind-look", time=moment)
        drill = _start(b, moment)
        assert (drill["state"], drill["snapshot"]) == ("running", look["name"])
        assert [drill["generation"], drill["sequence"]] == look["position"]
        assert drill["data_as_of"] == look["time"], "of the newest write that it has"
        assert drill["at"] is not None
        assert 0 < drill["data_age_seconds"] < time.time() - moment + 60.0
        client = _opened(drill)
        assert client.size == SIZE
        assert client.read(0, SIZE) == image, number
        client.write(MIB + 100, b"drill" * 1000)
        client.flush()
        expected = image[: MIB + 100] + b"drill" * 1000 + image[MIB + 5100 :]
        assert client.read(0, SIZE) == expected
        client.close()
        assert len(_unnamed(b)) == 1
        told = b.ask("drill-stop")["drill"]
        wait_until(lambda: not _unnamed(b))
        assert (told["written_bytes"], told["why"]) == (5000, "it was stopped")
        assert told["used_bytes"] <= told["limit_bytes"]
    assert load.wait(30) == 0
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)
    assert {each["kind"] for each in b.ask("layers")["layers"]} == {"snapshot"}
    assert len(_begun(b)) == len(fed.images), "what was refused has never begun"


def _begun(engine: Engine) -> list[str]:
    return [line for line in engine.log().splitlines() if "drill-began" in line]


def _ends(fed: Fed, sites: Sites) -> None:
    """With its snapshot, and with its engine."""
    a, b = fed.a, fed.b
    moment, image = fed.images[1]
    client = _opened(_start(b, moment))
    assert client.read(0, SIZE) == image
    (first, _) = b.ask("layers")["layers"]
    b.ask("layer-drop", id=first["id"])
    wait_until(lambda: b.status()["drill"]["state"] == "ended")
    assert "snapshot is gone" in b.status()["drill"]["why"]
    client.close()
    assert _refused_now(b, moment) == "not-rewindable"
    moment, image = fed.images[2]
    _start(b, moment)
    b.kill()
    b.start()
    assert b.status()["drill"] is None
    wait_until(lambda: b.status()["usable"])
    client = _opened(_start(b, moment))
    assert client.read(0, SIZE) == image, "the journal still leads there"
    client.close()
    b.ask("drill-stop")
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


def _refused_now(engine: Engine, moment: float) -> str:
    """Beside one that has ended and was not stopped."""
    with pytest.raises(FarshoreError) as refused:
        _start(engine, moment)
    return refused.value.code.name


def test_h_a_copy_that_keeps_no_journal_has_no_time_to_begin_at(sites: Sites) -> None:
    a, b, _ = sites.pair(SIZES, replace(JOURNAL, apply=Apply.DIRECT))
    b.start()
    a.start()
    a.wait_until_clean()
    a.ask("cut", name="noon", snapshot=True)
    _pause(GAP)
    moment = time.time()
    a.qemu_io("write -P 3 0 64k", "flush")
    a.wait_until_clean()
    assert [each["name"] for each in b.ask("layers")["layers"]] == ["noon"]
    assert _refused(b, moment).code.name == "not-rewindable"
