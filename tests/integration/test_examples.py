"""The examples do what they say, at real nodes."""

import os
import subprocess
import sys

from tests.cluster import Host, MakeCluster
from tests.command_line import ROOT


def _wait_protected(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "wait_protected.py"), *words],
        env={**os.environ, "FARSHORE_STATE": str(host.state), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_script_waits_for_a_group_to_be_protected(cluster: MakeCluster) -> None:
    made = cluster()
    made.group("g", {"v": "4MiB"})
    alone = _wait_protected(made.a, "g", "0")
    assert alone.returncode == 7
    assert "farshore link create g NODE" in alone.stderr
    made.link("g", mode="sync")
    waited = _wait_protected(made.a, "g")
    assert (waited.returncode, waited.stdout) == (0, "g is protected\n"), waited.stderr
    assert made.a.link("g").dirty_bytes == 0
    made.line.cut()
    made.wait("g", "unprotected")
    lost = _wait_protected(made.a, "g", "0.5")
    assert lost.returncode == 7
    assert "unprotected" in lost.stderr
    unknown = _wait_protected(made.a, "none")
    assert unknown.returncode == 3
    assert "farshore group list" in unknown.stderr


def test_a_script_runs_a_drill_and_says_how_long_it_took(cluster: MakeCluster) -> None:
    made = cluster()
    made.group("g", {"v": "4MiB"})
    made.link("g")
    made.wait("g")
    with made.a.client("g") as client:
        client.write(0, b"payroll")
        client.flush()
    made.equal("g")
    environment = {**os.environ, "FARSHORE_STATE": str(made.b.state), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(ROOT / "examples" / "run_drill.py"), "g", "grep -q payroll"]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "passed" in ran.stdout
    assert made.b.node.drills("g").drills == ()
    words[-1] = "grep -q nobody"
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert made.b.node.drills("g").drills == ()
