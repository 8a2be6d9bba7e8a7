"""A disk queue that is full, gone or damaged: the stated fall to the next tier, never a wrong image (F1)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.badinput.mounting import small_disk
from tests.outage.conftest import MakePair, Pair
from tests.outage.writing import records
from tests.requires import requires_root
from tests.waiting import wait_until

MIB = 1 << 20


def _queue(made: Pair) -> Path:
    """Where the link's disk queue lies at a."""
    name = f"{made.link()['id']}.queue"
    return next(made.a.state.rglob(name))


def _queuing(pair: MakePair) -> Pair:
    """A link whose peer is lost, with four MiB in its queue."""
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="64MiB")
    made.line.cut()
    made.wait("queuing")
    with made.client() as client:
        client.write_all(records(4 * MIB))
    wait_until(lambda: made.link()["queue"]["disk_bytes"] > 4 * MIB, what="four MiB in the queue")
    return made


def _deleted(queue: Path) -> None:
    shutil.rmtree(queue)


def _cut_short(queue: Path) -> None:
    newest = max(queue.glob("*.seg"))
    os.truncate(newest, 4096)


def _damaged(queue: Path) -> None:
    first = min(queue.glob("*.seg"))
    with first.open("r+b") as file:
        file.seek(MIB)
        file.write(b"damage " * 100)


@pytest.mark.parametrize("harm", [_deleted, _cut_short, _damaged])
def test_a_harmed_queue_is_not_believed_by_the_next_process(
    pair: MakePair, harm: Callable[[Path], None]
) -> None:
    made = _queuing(pair)
    queue, engine = _queue(made), made.a.engine(made.group)
    made.a.kill_node()
    made.a.kill(engine)
    harm(queue)
    made.a.start()
    made.line.heal()
    made.wait("protected")
    made.equal()


def test_a_queue_whose_directory_goes_while_it_is_used_falls_to_marks(pair: MakePair) -> None:
    made = _queuing(pair)
    _deleted(_queue(made))
    with made.client() as client:
        client.write_all((8 * MIB + at, data) for at, data in records(8 * MIB))
        client.write_all((at, data) for at, data in records(8 * MIB))
    made.line.heal()
    made.wait("protected")
    made.equal()


def test_a_frame_that_is_damaged_while_the_engine_runs_is_never_sent(pair: MakePair) -> None:
    made = _queuing(pair)
    _damaged(_queue(made))
    made.line.heal()
    made.wait("protected")
    made.equal()
    assert "not whole" in str(made.told("queue-lost"))


@requires_root()
def test_a_full_disk_while_queuing_is_a_full_queue(pair: MakePair) -> None:
    made = pair(16, mode="async", wire="plain", queue_memory="1MiB", queue_disk="64MiB")
    queue = _queue(made)
    aside = queue.with_suffix(".aside")
    queue.rename(aside)
    with small_disk(queue, "1m"):
        made.line.cut()
        made.wait("queuing")
        with made.client() as client:
            client.write_all(records(8 * MIB))
        made.wait("logging")
        assert "ENOSPC" in str(made.told("queue-lost"))
        made.line.heal()
        made.wait("protected")
        made.equal()
        made.farshore("link", "set", made.group, "b", "queue-disk=0")
