"""The journal: ids only grow, nothing is told twice, and a damaged file costs little."""

import asyncio
import errno
import json
from pathlib import Path

import pytest

from farshore.node import events
from farshore.node.events import Journal


def test_events_survive_a_restart_and_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events")
    journal.add("one", "first", group="g")
    journal.add("two", "second")
    journal.close()
    with (tmp_path / "events").open("ab") as file:
        file.write(b'not json\n{"id":3,"ti')
    again = Journal(tmp_path / "events")
    again.add("three", "third")
    assert [(e["id"], e["kind"]) for e in again.after(0)] == [(1, "one"), (2, "two"), (3, "three")]
    assert again.after(2)[0]["text"] == "third"
    again.close()
    last = Journal(tmp_path / "events")
    assert last.last == 3
    last.close()


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_BYTES", 2000)
    journal = Journal(tmp_path / "events")
    for number in range(200):
        journal.add("k", f"event {number}")
    journal.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000
    again = Journal(tmp_path / "events")
    assert again.last == 200
    again.close()


def test_an_engines_events_are_taken_once(tmp_path: Path) -> None:
    event = {"id": 5, "time": "2026-01-01T00:00:00Z", "kind": "k", "text": "t", "fields": {"a": 1}}
    journal = Journal(tmp_path / "events")
    for _ in range(2):
        journal.merge("c1", 10, event)
    journal.merge("c2", 11, event)
    assert journal.taken("c1", 10) == 5
    assert journal.taken("c1", 12) == 0, "a new engine of the copy counts from the start"
    journal.merge("c1", 12, {**event, "id": 1})
    journal.close()
    again = Journal(tmp_path / "events")
    assert (again.taken("c1", 12), again.taken("c2", 11), len(again.after(0))) == (1, 5, 3)
    again.close()


def test_waiting_ends_with_the_first_event(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path / "events")
        assert await journal.wait(0, 0.01) == []
        waiting = asyncio.create_task(journal.wait(0, 20))
        asyncio.get_running_loop().call_soon(journal.add, "k", "t")
        assert [event["kind"] for event in await waiting] == ["k"]
        journal.close()

    asyncio.run(scenario())


def test_lines_are_json_with_a_time_and_a_zone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events")
    journal.add("k", "t", path=tmp_path)
    journal.close()
    line = json.loads((tmp_path / "events").read_text())
    assert line["time"].endswith("Z")
    assert line["fields"] == {"path": str(tmp_path)}


def test_a_file_that_could_not_be_turned_over_is_made_when_that_is_possible_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_BYTES", 1000)
    journal = Journal(tmp_path / "events")
    private = events._private

    def full(path: str, flags: int) -> int:
        raise OSError(errno.ENFILE, "no more files")

    for number in range(30):
        monkeypatch.setattr(events, "_private", full if 5 < number < 25 else private)
        journal.add("k", f"event {number}")
    journal.close()
    assert len(journal.after(0)) == 30
    assert "event 29" in (tmp_path / "events").read_text()
