"""The bookkeeping that tests rely on: what they started is gone afterwards, and waiting ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Processes
from tests.waiting import wait_until

_FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]


def test_what_a_test_started_does_not_outlive_it() -> None:
    processes = Processes()
    child = processes.start(_FOREVER)
    processes.close()
    assert child.returncode == -9


def test_a_process_that_left_its_parent_is_ended_too(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = (
        "import os, signal, pathlib, sys\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "note = pathlib.Path(sys.argv[1])\n"
        "note.with_suffix('.new').write_text(str(os.getpid()))\n"
        "note.with_suffix('.new').rename(note)\n"
        "signal.pause()\n"
    )
    processes = Processes()
    parent = processes.start([sys.executable, "-c", script, note])
    wait_until(note.exists, what="the daemon has noted its number")
    daemon = int(note.read_text())
    processes.adopt(daemon)
    assert parent.wait(10) == 0
    assert processes.alive(daemon)
    processes.kill(daemon)
    assert not processes.alive(daemon)
    processes.close()


def test_a_wait_that_is_not_met_names_its_condition() -> None:
    with pytest.raises(AssertionError, match="pigs fly"):
        wait_until(lambda: False, 0.05, what="pigs fly")


def test_output_of_a_process_can_be_kept(tmp_path: Path, processes: Processes) -> None:
    log = tmp_path / "log"
    child = processes.start([sys.executable, "-c", "print('hello')"], output=log)
    assert child.wait(10) == 0
    assert log.read_text() == "hello\n"


def test_socket_paths_fit_into_an_address(socket_directory: Path) -> None:
    assert len(os.fsencode(socket_directory)) < 107 - 64


def test_processes_have_no_terminal_to_ask(processes: Processes) -> None:
    child = processes.start([sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"])
    assert isinstance(child, subprocess.Popen)
    assert child.wait(10) == 0
