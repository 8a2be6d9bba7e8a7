"""Where an engine's log lines go."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.engine import log
from farshore.engine.journal import Journal
from farshore.errors import FarshoreError
from farshore.systemd import journal
from tests.unit.systemd.entries import Listening

_WHO = {"group": "orders", "copy": "site-a"}


def test_a_log_that_cannot_be_written_does_not_end_the_engine() -> None:
    code = "from farshore.engine.log import to_stderr; [to_stderr('x' * 9000) for _ in range(3)]"
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([sys.executable, "-c", code], stderr=full, timeout=60, check=False)
    assert ended.returncode == 0


def test_what_keeps_an_engine_from_running_is_its_last_line_on_stderr() -> None:
    code = (
        "from farshore.engine import log; from farshore.errors import FarshoreError;"
        "log.last_words('x', FarshoreError('faulted', 'the disk is broken'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert FarshoreError.from_dict(json.loads(ended.stderr)).what == "the disk is broken"


def test_an_event_becomes_an_entry_of_the_journal_with_its_group(socket_directory: Path) -> None:
    listening = Listening(socket_directory / "socket")
    sink = journal.JournalSocket("farshore-engine", str(listening.path))
    events = Journal(lambda: 0.0, log.to_journal(sink, _WHO))
    events.note("link-state", {"link": "b", "state": "logging", "reason": "peer-lost", "why": ""})
    entry = listening.entry()
    assert entry["MESSAGE"] == "link state: link b, state logging, reason peer-lost"
    assert entry["FARSHORE_KIND"] == "link-state"
    assert (entry["FARSHORE_GROUP"], entry["FARSHORE_COPY"]) == ("orders", "site-a")
    assert (entry["FARSHORE_LINK"], entry["FARSHORE_STATE"]) == ("b", "logging")
    sink.close()
    listening.close()


@pytest.mark.parametrize(
    ("kind", "priority"),
    [("faulted", journal.ERROR), ("feeder-lost", journal.WARNING), ("link-state", journal.NOTICE)],
)
def test_what_is_worse_is_more_urgent(kind: str, priority: int) -> None:
    assert log.priority(kind) == priority


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["faulted", "feeder-lost", "link-state"]),
        ("info", ["faulted", "feeder-lost", "link-state"]),
        ("warning", ["faulted", "feeder-lost"]),
        ("error", ["faulted"]),
    ],
)
def test_the_level_says_what_is_written_down_and_not_what_has_happened(level: str, told: list[str]) -> None:
    written: list[str] = []
    sink = log.EventLog(lambda event: written.append(event["kind"]), "info")
    sink.level = level
    events = Journal(lambda: 0.0, sink)
    for kind in ("faulted", "feeder-lost", "link-state"):
        events.note(kind, {})
    assert written == told
    assert len(events.since(1)) == 3
