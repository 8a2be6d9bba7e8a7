"""Copies that were written apart come together: a plan names what is overwritten, and only that is moved."""

import filecmp
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.model.options import Apply, LinkOptions, Mode
from farshore.model.positions import Position
from tests.integration.conftest import Sites
from tests.integration.engines import LINK, Load
from tests.integration.turning import Turners, head_of, make_turners
from tests.requires import requires
from tests.waiting import wait_until

MIB, REGION = 1 << 20, 32 << 10
SIZES = {"data": 64 * MIB}
LOAD = Load(longest="64k", flush_every=50)
SYNC = LinkOptions(mode=Mode.SYNC)

pytestmark = requires("qemu-io", "fio")


def _differing(turners: Turners) -> int:
    """Bytes of the regions in which both images differ."""
    a, b = (turners.sites.image(site, "data").read_bytes() for site in ("a", "b"))
    return sum(REGION for at in range(0, len(a), REGION) if a[at : at + REGION] != b[at : at + REGION])


def _equal(turners: Turners) -> bool:
    return filecmp.cmp(turners.sites.image("a", "data"), turners.sites.image("b", "data"), shallow=False)


def _written_apart(sites: Sites, options: LinkOptions, back: LinkOptions | None = None) -> Turners:
    """A dies without a word under load and after writes of its own; B becomes primary, and is written. Its
    link to A has the options `back`, or the same ones."""
    turners = make_turners(sites, SIZES, options)
    a, b = turners.a, turners.b
    b.start()
    a.start()
    a.wait_until_clean()
    a.qemu_io("write -P 1 0 32M", "flush")
    a.wait_until_clean()
    load = a.load(60.0, LOAD)
    wait_until(lambda: a.status()["sequence"] > 700)
    turners.to_b.shut()
    before = a.status()["sequence"]
    wait_until(lambda: a.status()["sequence"] > before + 100)
    a.kill()
    load.kill()
    load.wait()
    assert b.terminate() == 0
    turners.options = back or options
    turners.promote(b)
    b.start()
    wait_until(lambda: b.status()["writes"] == "flowing")
    b.qemu_io("write -P 2 8M 1M", "write -P 3 40M 2M", "flush")
    return turners


def _meets_again(turners: Turners) -> dict[str, Any]:
    """A comes back as secondary; what B says of the link."""
    turners.demote(turners.a)
    turners.a.start()
    return turners.b.wait_for_link("diverged")


def _consent(turners: Turners, head: Position) -> None:
    """As a plan that was accepted: the intent, and the word to go on."""
    b = turners.b
    (link,) = b.config.links
    b.write_intent(replace(b.config, links=(replace(link, consent=head),)))
    b.ask("reload")
    b.ask("resync")


@pytest.mark.parametrize(
    "options",
    [SYNC, LinkOptions(apply=Apply.JOURNAL)],
    ids=["sync, direct", "async, journal"],
)
def test_a5_a_former_primary_is_brought_back_by_what_differs(sites: Sites, options: LinkOptions) -> None:
    turners = _written_apart(sites, options)
    a, b = turners.a, turners.b
    entry = _meets_again(turners)
    parted, head = entry["diverged_from"], head_of(a)
    assert Position(bytes.fromhex(parted["peer_head"]["generation"]), parted["peer_head"]["sequence"]) == head
    assert parted["own_bytes"] >= 3 * MIB
    assert b.status()["writes"] == "flowing"
    differs = _differing(turners)
    _consent(turners, Position(head.generation, head.sequence - 1))
    assert b.wait_for_link("diverged")["resent_bytes_total"] == 0
    _consent(turners, head)
    b.wait_until_clean()
    moved = b.link()["resent_bytes_total"]
    assert 0 < moved <= 1.1 * differs
    assert _equal(turners)
    assert a.status()["retired"] == []
    b.qemu_io("write -P 4 1M 1M", "flush")
    b.wait_until_clean()
    assert _equal(turners)


def test_a5_where_a_scoreboard_is_damaged_all_is_compared(sites: Sites) -> None:
    turners = _written_apart(sites, SYNC)
    a, b = turners.a, turners.b
    turners.demote(a)
    a.start()
    head = head_of(a)
    b.wait_for_link("diverged")
    assert a.terminate() == 0
    _damage(a.directory / "links" / f"{LINK.hex()}.board")
    a.start()
    differs = _differing(turners)
    b.wait_for_link("diverged")
    _consent(turners, head)
    b.wait_until_clean(40.0)
    assert _equal(turners)
    assert b.link()["resent_bytes_total"] <= 1.1 * differs


def _damage(board: Path) -> None:
    board.write_bytes(b"\xff" * board.stat().st_size)


def test_a5_a_rejoining_that_is_interrupted_anywhere_goes_on(sites: Sites) -> None:
    turners = _written_apart(sites, SYNC, replace(SYNC, max_rate=2 * MIB))
    a, b = turners.a, turners.b
    _meets_again(turners)
    _consent(turners, head_of(a))
    for stop in ("line", "a", "b"):
        b.wait_for_link("resyncing")
        before = b.link()["resent_bytes_total"]
        wait_until(lambda before=before: b.link()["resent_bytes_total"] > before)  # type: ignore[misc]
        assert a.status()["undo"] is not None, "it could go back"
        if stop == "line":
            turners.to_a.shut()
            turners.to_a.open()
        else:
            engine = a if stop == "a" else b
            engine.kill()
            engine.start()
    (link,) = b.config.links
    spec = replace(link.spec, options=SYNC)
    b.write_intent(replace(b.config, links=(replace(link, spec=spec),)))
    b.ask("reload")
    b.wait_until_clean(40.0)
    assert _equal(turners)
