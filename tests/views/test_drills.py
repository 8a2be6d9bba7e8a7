"""Drills by the commands that operators have: begun, listed, ended; a script run on one, and its report."""

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.interop.programs import run
from tests.outage.writing import anywhere, writing
from tests.requires import requires
from tests.views.conftest import SIZE, Views
from tests.waiting import wait_until

pytestmark = requires("qemu-io")


def test_a_drill_is_begun_at_either_node_listed_and_ended_and_the_copy_goes_on(views: Views) -> None:
    made = views()
    a, b, group = made.a, made.b, made.group
    with a.client(group) as client, writing(client, anywhere(SIZE, 1)) as load:
        load.go_on(50)
        uri = b.done("drill", "start", group, "--limit", "8MiB").strip()
        assert run("qemu-io", "-f", "raw", "-c", "write -P 9 1M 1M", "-c", "flush", uri)
        load.go_on(50)
        assert run("qemu-io", "-f", "raw", "-c", "read -P 9 1M 1M", uri)
        (shown,) = b.done("drill", "list", "--json")["drills"]
        assert (shown["state"], shown["written_bytes"], shown["limit_bytes"]) == ("running", 1 << 20, 8 << 20)
        assert uri in b.done("drill", "list", group)
        again = b.farshore("drill", "start", group)
        assert again.returncode == 4
        assert "farshore drill stop" in again.stderr
        b.done("drill", "stop", group)
        b.done("snapshot", "create", group, "noon", "--everywhere")
        load.go_on(50)
        moment = datetime.now(UTC).isoformat()
        load.go_on(50)
        begun = a.done("drill", "start", group, "--on", "b", "--at", moment, "--json")["drill"]
        assert (begun["at"][:23], begun["snapshot"]) == (moment[:23], "noon")
        assert begun["data_as_of"] <= begun["at"]
        b.done("drill", "stop", group)
        begun = a.done("drill", "start", group, "--on", "b", "--json")["drill"]
        assert (begun["node"], begun["state"]) == ("b", "running")
        a.done("drill", "stop", group, "--on", "b")
        load.go_on(50)
    made.cluster.equal(group)
    assert b.done("drill", "list", "--json")["drills"] == []
    assert b.farshore("drill", "stop", group).returncode == 3
    kinds = [each["kind"] for each in b.done("events", "--json")["events"]]
    assert {"drill-began", "drill-ended"} <= set(kinds)


_SCRIPT = """#!/bin/sh
set -e
qemu-io -f raw -c 'write -P 5 0 64k' -c flush "$FARSHORE_DRILL_URI_DATA" >/dev/null
echo "on $FARSHORE_DRILL_GROUP at $FARSHORE_DRILL_NODE"
exit ${1:-0}
"""


def test_a_script_is_run_on_a_drill_and_what_came_of_it_is_reported(views: Views, tmp_path: Path) -> None:
    made = views()
    b, group = made.b, made.group
    wait_until(lambda: b.json(group)["usable_as_of"])
    script, report = tmp_path / "script", tmp_path / "report.json"
    script.write_text(_SCRIPT)
    ran = b.farshore("drill", "run", group, "--script", str(script), "--report", str(report))
    assert ran.returncode == 0, ran.stderr
    assert f"on {group} at b" in ran.stdout
    assert "passed" in ran.stdout
    told = json.loads(report.read_text())
    assert (told["passed"], told["exit_code"], told["written_bytes"]) == (True, 0, 64 << 10)
    assert 0 < told["ready_seconds"] <= told["first_write_seconds"] <= told["seconds"]
    assert told["data_age_seconds"] is not None
    script.write_text(_SCRIPT.replace("exit ${1:-0}", "exit 3"))
    failed = b.farshore("drill", "run", group, "--script", str(script), "--json")
    assert failed.returncode == 1
    told = json.loads(failed.stdout.splitlines()[-1])
    assert (told["passed"], told["exit_code"]) == (False, 3)
    assert b.done("drill", "list", "--json")["drills"] == []


def test_what_cannot_be_drilled_is_refused_and_nothing_is_begun(views: Views, tmp_path: Path) -> None:
    made = views()
    a, b, group = made.a, made.b, made.group
    script = tmp_path / "script"
    script.write_text("exit 0")
    for host, words, code in (
        (a, ("start", group), 4),
        (b, ("start", group, "--at", "monday"), 3),
        (b, ("start", group, "--limit", "1KiB"), 4),
        (b, ("start", group, "--at", "2026-01-01t00-00-00z"), 3),
        (b, ("start", group, "--at", "2026-01-01T00:00:00"), 2),
        (b, ("start", group, "--at", "2026-01-01T00:00:00Z"), 4),
        (a, ("start", group, "--at", "2026-01-01T00:00:00Z"), 4),
        (a, ("start", group, "--at", "2026-01-01T00:00:00Z", "--on", "b"), 4),
        (b, ("start", group, "--on", "nobody"), 3),
        (b, ("start", "nothing"), 3),
        (b, ("run", group, "--script", str(tmp_path / "none")), 3),
        (b, ("run", group, "--script", str(script), "--report", str(tmp_path / "no" / "r")), 3),
        (b, ("run", group, "--script", str(script), "--on", "a"), 4),
        (b, ("stop", group), 3),
    ):
        ran = host.farshore("drill", *words)
        assert ran.returncode == code, (words, ran.stderr)
    assert b.done("drill", "list", "--json")["drills"] == []
    made.cluster.equal(group)
