"""The report shows what was measured, where and when, and says so where nothing was."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, report
from bench.fio import Job, Measure
from bench.machine import Machine
from bench.report import Session
from bench.rounds import Effort, Entry, Result, compare
from bench.scenarios import Comparison, Scenario

HERE = Machine(
    processor="Some CPU",
    cores=2,
    memory_bytes=24 << 30,
    kernel="6.1.0",
    python="3.11.2",
    programs={"fio": "fio-3.33"},
    load=0.1,
    commit="abc1234",
    started=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
)
FAST = Measure(50_000, 204_800_000, 600, 550, 900, 1500)
SLOW = Measure(5_000, 20_480_000, 6000, 5500, 9000, 15000)


def session() -> Session:
    judged = (Comparison("us", "them", "iops", least=10), Comparison("us", "absent", "iops", least=0.6))
    scenario = Scenario("S1", "small writes", Job(4096, 32), ("us", "them", "absent"), judged)
    entries = (
        Entry("us", "Ours", [FAST, FAST]),
        Entry("them", "Theirs", [SLOW, SLOW]),
        Entry("absent", "Absent", [], reason="it is not installed (Debian package absent)"),
    )
    verdicts = tuple(compare(each, list(entries)) for each in judged)
    return Session(HERE, Effort(2, 3.0, 256 << 20), (Result(scenario, entries, verdicts),))


def test_the_page_shows_ratio_target_and_verdict() -> None:
    page = report.page(session())
    assert "| us / them | IOPS | ≥ 10 | 10.00 | 10.0–10.0 | yes |" in page
    assert "| Ours | 50,000 | 50,000–50,000 | 205 | 600.0 | 550.0 | 900.0 | 1,500 |" in page.replace(
        "204.8", "205"
    )


def test_what_was_not_measured_is_said_with_its_reason_and_has_no_figure() -> None:
    page = report.page(session())
    assert "| Absent | not measured |  |  |  |  |  |  |" in page
    assert "it is not installed (Debian package absent)" in page
    assert "| us / absent | IOPS | ≥ 0.6 | not measured |  |  |" in page
    kept = report.document(session())["scenarios"][0]
    assert kept["comparisons"][1]["median"] is None
    assert kept["comparisons"][1]["met"] is None


def test_machine_kernel_python_date_and_commit_are_on_the_page() -> None:
    page = report.page(session())
    for word in ("Some CPU", "2 cores", "6.1.0", "3.11.2", "2026-03-04 05:06", "abc1234", "fio-3.33"):
        assert word in page


def test_a_machine_that_was_busy_is_called_so() -> None:
    calm, busy = session(), replace(session(), machine=replace(HERE, load=1.5))
    assert "busy with other work" not in report.page(calm)
    assert "busy with other work" in report.page(busy)


def test_both_files_are_written_under_date_and_commit(tmp_path: Path) -> None:
    kept, shown = report.write(session(), tmp_path / "results")
    assert kept.name == "2026-03-04-0506-abc1234.json"
    assert json.loads(kept.read_text())["machine"]["commit"] == "abc1234"
    assert shown.read_text() == report.page(session())


def test_this_machine_can_be_described() -> None:
    here = machine.look()
    assert here.processor
    assert here.cores >= 1
    assert here.commit
