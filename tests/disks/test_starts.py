"""Records that cannot be read, and volumes that cannot be synced, when an engine starts."""

import json
from dataclasses import dataclass

import pytest

from tests.disks.failing_disk import On, Rule
from tests.disks.pairs import FailingPair
from tests.disks.table import JOURNAL, QUEUED
from tests.integration.engines import Engine
from tests.long_form import LONG
from tests.requires import requires
from tests.waiting import wait_until

pytestmark = requires("gcc")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record of one side."""

    side: str
    path: str


RECORDS = (
    Unreadable("a", "/a/header"),
    Unreadable("a", "/a/activity"),
    Unreadable("a", ".board"),
    Unreadable("b", "/b/header"),
    Unreadable("b", "/b/position"),
    Unreadable("b", "/b/journal/"),
)


def test_a_start_that_cannot_read_a_record_fails_in_order_and_the_next_one_loses_nothing(
    failing: FailingPair,
) -> None:
    failing.start(JOURNAL)
    for record in RECORDS if LONG else RECORDS[::2]:
        engine = failing.a if record.side == "a" else failing.b
        failing.app.write(3, 40, 90)
        failing.app.flush()
        failing.app.close()
        engine.kill()
        failing.disk.fail(Rule(record.path, On.READ))
        _fails(engine, record.path)
        assert failing.disk.hits(), record
        failing.disk.well()
        engine.start()
        failing.in_step()
        failing.app.check(failing.image("b"), lost=False)


def test_a_disk_queue_that_cannot_be_read_at_a_start_is_marked(failing: FailingPair) -> None:
    failing.start(QUEUED)
    failing.door.shut()
    wait_until(lambda: failing.a.link()["state"] == "queuing", what="the link to queue")
    failing.app.write(*range(80))
    failing.app.flush()
    failing.app.close()
    failing.a.terminate()
    failing.disk.fail(Rule(".queue/", On.READ))
    failing.a.launch()
    wait_until(lambda: failing.disk.hits() > 0, what="the queue to be looked at")
    failing.disk.well()
    if failing.a.ended(10.0):
        failing.a.start()
    failing.door.open()
    failing.in_step()
    failing.app.check(failing.image("b"), lost=False)


def _fails(engine: Engine, what: str) -> None:
    process = engine.launch()
    assert process.wait(20) == 1, what
    told = json.loads((engine.directory / "failure.json").read_text())
    assert told["code"] in ("io-error", "state-damaged"), told
    assert told["next"], told
    assert "Traceback" not in engine.log(), what


def test_c3_a_sync_that_fails_at_a_start_leaves_the_primary_up_and_faulted(failing: FailingPair) -> None:
    failing.start(JOURNAL)
    failing.app.write(3)
    failing.app.close()
    failing.a.kill()
    failing.disk.fail(Rule("a-data.img", On.SYNC, times=1))
    failing.a.start()
    shown = failing.a.status()
    assert (shown["health"], shown["writes"]) == ("failed", "refused")
    assert str(failing.image("a")) in shown["fault"]
    failing.app.write(3)
    failing.app.flush()
    assert failing.app.errors[-2:] == [5, 5]
    with pytest.raises(OSError, match="refused"):
        failing.app.read(3)
    assert failing.repair(failing.a)["doubtful"]
    failing.a.ask("resync", link=None, kind="update", once=False)
    failing.in_step()
