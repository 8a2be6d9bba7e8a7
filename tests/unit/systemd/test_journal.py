"""Entries of systemd's journal: their fields, their form, and when they are written at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.systemd import journal
from farshore.systemd.journal import JournalSocket, encode, open_journal
from tests.unit.systemd.entries import Listening, decoded


def test_an_entry_has_its_text_and_fields_that_can_be_searched_for(listening: Listening) -> None:
    sink = JournalSocket("farshore-engine", str(listening.path))
    fields = {"group": "orders", "peer name": "site-b", "sequence": 7, "why": "", "link": None}
    sink.send("the link is lost", journal.WARNING, fields)
    assert listening.entry() == {
        "MESSAGE": "the link is lost",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "farshore-engine",
        "SYSLOG_PID": str(os.getpid()),
        "FARSHORE_GROUP": "orders",
        "FARSHORE_PEER_NAME": "site-b",
        "FARSHORE_SEQUENCE": "7",
    }
    sink.close()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_arrives_as_it_was(text: str) -> None:
    assert decoded(encode({"MESSAGE": text, "LAST": "x"})) == {"MESSAGE": text, "LAST": "x"}


def test_a_field_that_is_too_long_is_cut_rather_than_the_entry_lost(listening: Listening) -> None:
    sink = JournalSocket("x", str(listening.path))
    sink.send("short", journal.INFO, {"traceback": "line\n" * 1_000_000})
    found = listening.entry()
    assert found["MESSAGE"] == "short"
    assert found["FARSHORE_TRACEBACK"].startswith("line\nline\n")
    sink.close()


def test_a_journal_that_takes_nothing_holds_nobody_up(listening: Listening, tmp_path: Path) -> None:
    sink = JournalSocket("x", str(listening.path))
    for number in range(10_000):
        sink.send(f"line {number}", journal.INFO, {})
    assert listening.entry()["MESSAGE"] == "line 0"
    sink.close()
    gone = JournalSocket("x", str(tmp_path / "gone"))
    gone.send("x", journal.INFO, {})
    gone.close()


def test_the_journal_is_taken_only_where_stderr_leads_there(tmp_path: Path) -> None:
    with open(tmp_path / "stderr", "wb") as stream:
        about = os.fstat(stream.fileno())
        mine = {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
        found = open_journal("x", mine, stream.fileno())
        assert found is not None
        found.close()
        assert open_journal("x", {}, stream.fileno()) is None
        # A process that inherited the variable and then sent its stderr elsewhere.
        assert open_journal("x", {"JOURNAL_STREAM": "1:2"}, stream.fileno()) is None
        descriptor = stream.fileno()
    assert open_journal("x", mine, descriptor) is None


@pytest.mark.parametrize("name", ["group", "peer-name", "Ünïcode", "__", "9 lives"])
def test_names_of_fields_are_such_as_the_journal_takes(name: str, listening: Listening) -> None:
    sink = JournalSocket("x", str(listening.path))
    sink.send("t", journal.INFO, {name: "v"})
    names = set(listening.entry())
    assert all(
        set(each) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") and not each[0].isdigit() for each in names
    )
    sink.close()
