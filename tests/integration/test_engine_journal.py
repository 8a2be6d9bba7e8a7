"""A secondary with an apply journal, in real engines: order, kills, clean stops, full and damaged journals.

What B's volumes hold is looked at only when B has said that it holds everything, or was stopped cleanly.
"""

import filecmp
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from farshore.core.journaling import JournalLimits
from farshore.model.options import Apply, LinkOptions, Mode
from tests.integration.conftest import Sites
from tests.integration.engines import Door, Engine, Load
from tests.requires import requires
from tests.waiting import wait_until

MIB = 1 << 20
SIZES = {"data": 32 * MIB, "log": 8 * MIB}
ASYNC = LinkOptions(apply=Apply.JOURNAL)
SYNC = LinkOptions(apply=Apply.JOURNAL, mode=Mode.SYNC)
LOAD = Load(longest="256k", flush_every=200)

pytestmark = requires("qemu-io", "fio")


def _equal(sites: Sites, volume: str = "data") -> bool:
    filecmp.clear_cache()
    return filecmp.cmp(sites.image("a", volume), sites.image("b", volume), shallow=False)


def _behind_a_door(sites: Sites, options: LinkOptions) -> tuple[Engine, Engine, Door]:
    a, b, door = sites.pair(SIZES, options)
    b.start()
    a.start()
    a.wait_for_link("replicating")
    return a, b, door


def _replicating(sites: Sites, options: LinkOptions) -> tuple[Engine, Engine]:
    a, b, _ = _behind_a_door(sites, options)
    return a, b


def _kinds(engine: Engine) -> list[str]:
    return [each["kind"] for each in engine.ask("events", since=0, wait=0)["events"]]


@pytest.mark.parametrize("options", [ASYNC, SYNC], ids=["async", "sync"])
def test_writes_zeroes_and_trims_come_through_the_journal(sites: Sites, options: LinkOptions) -> None:
    a, b = _replicating(sites, options)
    a.qemu_io("write -P 1 0 24M", "write -P 2 512 512", "write -z 1M 1M", "discard 2M 1M", "flush")
    a.qemu_io("write -P 3 0 8M", "write -P 4 4M 64k", volume="log")
    a.wait_until_clean()
    wait_until(lambda: _equal(sites), what="what is durable in the journal reaches the volumes")
    assert _equal(sites, "log")
    assert b.status()["engine"]["journal_bytes"] >= 24 * MIB
    assert b.terminate() == 0
    assert _equal(sites)


def test_a_clean_stop_under_load_leaves_a_whole_image_and_resumes_behind_it(sites: Sites) -> None:
    a, b, door = _behind_a_door(sites, ASYNC)
    load = a.load(30.0, LOAD)
    wait_until(lambda: a.status()["sequence"] > 500)
    assert b.terminate() == 0
    load.kill()
    load.wait()
    door.shut()  # A would come at once, and the copy not be usable while A copies what it lacks
    whole = sites.image("b", "data").read_bytes()
    b.start()
    wait_until(lambda: b.status()["usable"], what="its journal was looked through")
    assert b.status()["sequence"] > 0
    assert "journal-damaged" not in _kinds(b)
    assert sites.image("b", "data").read_bytes() == whole
    door.open()
    a.ask("peer-back", peer=None)
    a.wait_for_link("replicating")
    a.wait_until_clean()
    wait_until(lambda: _equal(sites))


@pytest.mark.parametrize("options", [ASYNC, SYNC], ids=["async", "sync"])
def test_after_kill_9_under_load_the_journal_is_replayed_and_both_converge(
    sites: Sites, options: LinkOptions
) -> None:
    a, b = _replicating(sites, options)
    for _ in range(3):
        before = a.status()["sequence"]
        load = a.load(30.0, LOAD)
        wait_until(lambda least=before + 300: a.status()["sequence"] > least)  # type: ignore[misc]
        known = a.link()["sequence"]["durable"]
        b.kill()
        load.kill()
        load.wait()
        b.start()
        wait_until(lambda: b.status()["usable"], what="the journal was replayed")
        assert b.status()["sequence"] >= known
        assert "journal-damaged" not in _kinds(b)
        a.ask("peer-back", peer=None)
        a.wait_for_link("replicating")
        a.wait_until_clean()
        wait_until(lambda: _equal(sites))


def test_the_mark_moves_and_segments_are_given_back(sites: Sites) -> None:
    a, b = _replicating(sites, ASYNC)
    most = JournalLimits().size
    rounds = most // (32 * MIB) + 2
    for number in range(rounds):
        a.qemu_io(f"write -P {number + 1} 0 32M")
    a.wait_until_clean()
    assert b.status()["engine"]["journal_bytes"] < most * 1.1
    wait_until(lambda: _equal(sites))


@pytest.mark.parametrize("how", ["deleted", "cut short", "overwritten"])
def test_a_damaged_journal_is_told_and_mended_by_a_resync(sites: Sites, how: str) -> None:
    a, b = _replicating(sites, ASYNC)
    load = a.load(30.0, LOAD)
    wait_until(lambda: b.status()["engine"]["journal_bytes"] > 40 * MIB, what="B has several segments")
    b.kill()
    load.kill()
    load.wait()
    journal: Path = b.directory / "journal"
    first = min(journal.glob("*.seg"))
    if how == "deleted":
        shutil.rmtree(journal)
    elif how == "cut short":
        with first.open("r+b") as file:
            file.truncate(5000)
    else:
        with first.open("r+b") as file:
            file.seek(100_000)
            file.write(Random(1).randbytes(100_000))
    b.start()
    wait_until(lambda: "journal-damaged" in _kinds(b))
    assert not b.status()["usable"]
    a.ask("peer-back", peer=None)
    wait_until(lambda: a.link()["state"] in ("replicating", "diverged"))
    if a.link()["state"] == "replicating":
        a.wait_until_clean()
        wait_until(lambda: _equal(sites))
        assert b.status()["usable"]


def test_how_frames_are_applied_may_be_changed_and_holds_from_the_next_session_on(sites: Sites) -> None:
    a, b = _replicating(sites, LinkOptions())
    intent = a.config.links[0]
    for apply in (Apply.JOURNAL, Apply.DIRECT, Apply.JOURNAL):
        options = replace(intent.spec.options, apply=apply)
        a.write_intent(
            replace(a.config, links=(replace(intent, spec=replace(intent.spec, options=options)),))
        )
        a.ask("reload")
        b.kill()
        b.start()
        a.ask("peer-back", peer=None)
        a.wait_for_link("replicating")
        before = b.status()["engine"]["journal_bytes"]
        a.qemu_io("write -P 9 1M 1M")
        a.wait_until_clean()
        wait_until(lambda: _equal(sites))
        grown = b.status()["engine"]["journal_bytes"] - before
        assert (grown >= MIB) is (apply is Apply.JOURNAL)
