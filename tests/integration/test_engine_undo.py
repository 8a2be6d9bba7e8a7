"""Two engines and a resync that is cut off: the copy goes back to what it was, or keeps waiting for room."""

import filecmp
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Engine
from tests.integration.turning import Turners, head_of, make_turners
from tests.requires import requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZE = 16 * MIB
SIZES = {"data": SIZE}
PACED = LinkOptions(mode=Mode.SYNC, max_rate=8 * MIB, compress="none")
REGION = 32 << 10

pytestmark = requires("qemu-io")


def _apart(turners: Turners) -> None:
    """B holds what A had; A has written to every other 128 KiB since, and to some twice."""
    a, b = turners.a, turners.b
    b.start()
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 1 0 16M", "write -z 3M 1M", "flush")
    a.wait_until_clean()
    turners.to_b.shut()
    a.wait_for_link("logging")
    a.qemu_io(*[f"write -P 2 {place * 256}k 128k" for place in range(64)], "write -P 3 3M 64k")


def _received(engine: Engine, size: int) -> bool:
    return bool(engine.status()["received_bytes_total"] >= size)


def _kept(engine: Engine) -> list[str]:
    return sorted(path.name for path in (engine.directory / "preserve").glob("*.layer"))


class _Saved:
    """What both sites have on their disks, to be had again."""

    def __init__(self, turners: Turners, beside: Path) -> None:
        self._turners = turners
        self._beside = beside
        for name in ("a", "b"):
            shutil.copytree(turners.sites.directory / name, beside / name, ignore=_sockets)
            shutil.copy(turners.sites.image(name, "data"), beside / f"{name}.img")

    def image(self, name: str) -> Path:
        return self._beside / f"{name}.img"

    def back(self) -> None:
        for engine in (self._turners.a, self._turners.b):
            name = engine.directory.name
            shutil.rmtree(engine.directory)
            shutil.copytree(self._beside / name, engine.directory)
            shutil.copy(self.image(name), self._turners.sites.image(name, "data"))


def _sockets(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if (Path(directory) / name).is_socket()}


def test_e3_an_update_cut_at_every_tenth_with_its_primary_gone_leads_back_to_exactly_before(
    sites: Sites, tmp_path: Path
) -> None:
    turners = make_turners(sites, SIZES, PACED)
    a, b = turners.a, turners.b
    _apart(turners)
    assert a.terminate() == 0
    assert b.terminate() == 0
    saved = _Saved(turners, tmp_path / "saved")
    configs = a.config, b.config
    turners.to_b.open()
    for tenth in range(1, 10):
        saved.back()
        a.write_intent(configs[0])
        b.write_intent(configs[1])
        b.start()
        a.start()
        wait_until(partial(_received, b, tenth * 8 * MIB // 10), interval=0.002)
        a.kill()
        assert b.status()["promotable"], b.status()["promotable_why"]
        assert b.status()["undo"]["kind"] == "undo"
        (undo,) = b.ask("layers")["layers"]
        assert (undo["kind"], undo["bytes"] > MIB // 8) == ("undo", True)
        with pytest.raises(FarshoreError, match="what takes the open resync back"):
            b.ask("layer-drop", id=undo["id"])
        b.kill()
        assert not filecmp.cmp(saved.image("b"), sites.image("b", "data"), shallow=False)
        turners.promote(b)
        b.start()
        assert filecmp.cmp(saved.image("b"), sites.image("b", "data"), shallow=False)
        assert b.status()["role"] == "primary"
        if tenth in (3, 8):
            _rejoin(turners)
        else:
            b.terminate()


def _rejoin(turners: Turners) -> None:
    """The old primary is back: it gets what B has written since its promotion, and all else that differs."""
    a, b = turners.a, turners.b
    b.qemu_io("write -P 9 9M 256k", "flush")
    turners.demote(a)
    a.start()
    intent = replace(b.config.links[0], consent=head_of(a))
    assert b.terminate() == 0
    b.write_intent(replace(b.config, links=(intent,)))
    b.start()
    b.wait_until_clean(30)
    assert filecmp.cmp(turners.sites.image("a", "data"), turners.sites.image("b", "data"), shallow=False)
    assert b.terminate() == 0
    assert a.terminate() == 0


def test_a_resync_that_ends_leaves_nothing_in_the_store(sites: Sites) -> None:
    turners = make_turners(sites, SIZES, LinkOptions(mode=Mode.SYNC))
    _apart(turners)
    turners.to_b.open()
    turners.a.ask("peer-back", peer=None)
    turners.a.wait_until_clean()
    wait_until(lambda: not _kept(turners.b))
    assert turners.b.status()["undo"] is None
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


@pytest.mark.parametrize("unprotected", [False, True])
def test_e1_without_room_for_an_undo_nothing_is_overwritten_unless_the_operator_says_so(
    sites: Sites, tmp_path: Path, unprotected: bool
) -> None:
    turners = make_turners(sites, SIZES, LinkOptions(mode=Mode.SYNC))
    a, b = turners.a, turners.b
    _apart(turners)
    assert b.terminate() == 0
    before = shutil.copy(sites.image("b", "data"), tmp_path / "before.img")
    b.write_intent(replace(b.config, preserve=4 * MIB))
    b.start()
    turners.to_b.open()
    a.ask("peer-back", peer=None)
    wait_until(lambda: a.link()["reason"] == "store-full", what=str(a.link()))
    assert a.link()["state"] == "logging"
    assert "--unprotected" in a.link()["next"]
    assert filecmp.cmp(before, sites.image("b", "data"), shallow=False)
    assert b.status()["promotable"]
    if unprotected:
        a.ask("resync", link="b", unprotected=True)
    else:
        assert b.terminate() == 0
        b.write_intent(replace(b.config, preserve=0))
        b.start()
        a.ask("resync", link="b")
    a.wait_until_clean()
    assert filecmp.cmp(sites.image("a", "data"), sites.image("b", "data"), shallow=False)


def test_e2_a_store_that_runs_full_in_a_resync_keeps_the_way_back(sites: Sites, tmp_path: Path) -> None:
    turners = make_turners(sites, SIZES, PACED)
    a, b = turners.a, turners.b
    _apart(turners)
    before = shutil.copy(sites.image("b", "data"), tmp_path / "before.img")
    assert b.terminate() == 0
    b.write_intent(replace(b.config, preserve=9 * MIB))
    b.start()
    turners.to_b.open()
    a.ask("peer-back", peer=None)
    a.wait_for_link("resyncing")
    a.qemu_io("write -P 5 128k 4M", "flush")
    wait_until(lambda: a.link()["reason"] == "store-full", what=str(a.link()))
    assert a.link()["peer_usable"] is True
    a.kill()
    assert b.terminate() == 0
    assert not filecmp.cmp(before, sites.image("b", "data"), shallow=False)
    turners.promote(b)
    b.start()
    assert filecmp.cmp(before, sites.image("b", "data"), shallow=False)
    assert not _kept(b)
