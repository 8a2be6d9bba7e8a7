"""A copy's layers outlive its roles: what a primary overwrites is saved, through kills and damage (D7)."""

import secrets
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from farshore.model.layers import LayerKind
from farshore.model.options import Apply, LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Engine, Load
from tests.integration.keeping import kept, plant, shown
from tests.integration.turning import Turners, head_of, make_turners
from tests.long_form import LONG
from tests.requires import requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZES = {"data": 8 * MIB}
LOAD = Load(longest="64k", flush_every=30)

pytestmark = [requires("fio"), requires("qemu-io")]


def _filled(sites: Sites, options: LinkOptions) -> Turners:
    """Both copies hold the same bytes, and have stopped."""
    turners = make_turners(sites, SIZES, options)
    sites.image("a", "data").write_bytes(secrets.token_bytes(SIZES["data"]))
    turners.b.start()
    turners.a.start()
    turners.a.wait_until_clean()
    assert turners.a.terminate() == 0
    assert turners.b.terminate() == 0
    return turners


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _under_load(engine: Engine, writes: int) -> None:
    """Kills it under load."""
    before = engine.status()["sequence"]
    load = engine.load(60.0, LOAD)
    wait_until(lambda: engine.status()["sequence"] > before + writes)
    engine.kill()
    load.kill()
    load.wait()


def _layers(engine: Engine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.ask("layers")["layers"]
    return found


@pytest.mark.parametrize("apply", Apply if LONG else [Apply.JOURNAL])
def test_d7_a_rescue_shows_the_same_through_promotion_kills_demotion_and_a_resync(
    sites: Sites, apply: Apply
) -> None:
    turners = _filled(sites, LinkOptions(mode=Mode.SYNC, apply=apply))
    a, b = turners.a, turners.b
    before = _digest(sites.image("b", "data"))
    rescue = plant(b.config, b.directory, LayerKind.RESCUE, "the-loser")
    turners.promote(b)
    for _ in range(2):
        b.start()
        _under_load(b, 150)
        assert shown(b.config, b.directory, rescue) == {1: before}
    assert _digest(sites.image("b", "data")) != before
    turners.demote(a)
    a.start()
    b.write_intent(replace(b.config, links=(replace(b.config.links[0], consent=head_of(a)),)))
    b.start()
    b.wait_until_clean(30)
    assert [(each["name"], each["broken"]) for each in _layers(b)] == [("the-loser", False)]
    turners.switch(b, a)
    a.wait_until_clean(30)
    _under_load(a, 100)
    assert b.terminate() == 0
    assert [each.kind for each in kept(b.config, b.directory)] == [LayerKind.RESCUE]
    assert shown(b.config, b.directory, rescue) == {1: before}


def test_e2_a_full_store_breaks_the_rescue_and_never_the_writes(sites: Sites) -> None:
    turners = _filled(sites, LinkOptions(mode=Mode.SYNC))
    b = turners.b
    rescue = plant(b.config, b.directory, LayerKind.RESCUE, "r")
    turners.promote(b)
    b.write_intent(replace(b.config, preserve=2 * MIB))
    b.start()
    b.qemu_io("write -P 1 0 1M", "flush")
    assert [each["broken"] for each in _layers(b)] == [False]
    b.qemu_io("write -P 2 1M 6M", "flush", "read -P 2 1M 6M")
    assert [each["broken"] for each in _layers(b)] == [True]
    b.kill()
    b.start()
    assert [each["broken"] for each in _layers(b)] == [True]
    b.ask("layer-drop", id=rescue.hex())
    assert _layers(b) == []
    assert b.terminate() == 0
    assert kept(b.config, b.directory) == []


def test_c3_a_damaged_layer_keeps_no_copy_from_starting_in_either_role(sites: Sites) -> None:
    turners = _filled(sites, LinkOptions(mode=Mode.SYNC))
    b = turners.b
    rescue = plant(b.config, b.directory, LayerKind.RESCUE, "r")
    turners.promote(b)
    b.start()
    b.qemu_io("write -P 1 0 1M", "flush")
    b.kill()
    path = b.directory / "preserve" / f"{rescue.hex()}.layer"
    whole = path.read_bytes()
    path.write_bytes(whole[:1024] + bytes(100) + whole[1124:])
    b.start()
    b.qemu_io("write -P 2 0 2M", "flush", "read -P 2 0 2M")
    assert _layers(b) == []
    assert "cannot be read" in b.log()
    b.kill()
    turners.demote(b)
    b.start()
    wait_until(lambda: b.status()["role"] == "secondary")
    said = b.ask("layers")
    assert (said["layers"], said["used_bytes"]) == ([], None)
    assert path.name in said["unusable"]
    assert b.terminate() == 0
    path.write_bytes(whole)
    b.start()
    assert [(each["name"], each["broken"]) for each in _layers(b)] == [("r", True)]
