"""A word that is begun in bash, zsh or fish is ended by the tabulator, names of groups too."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, clusters
from tests.requires import program, requires

_FARSHORE = Path(sys.executable).with_name("farshore")
_LIMIT_S = 30.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A node with a group whose name no command has."""
    with clusters(tmp_path_factory.mktemp("site")) as make:
        made = make(("a",), through_line=False)
        made.group("warehouse", {"data": "1MiB", "log": "1MiB"})
        yield made


@pytest.fixture
def environment(site: Cluster, tmp_path: Path) -> dict[str, str]:
    return {
        "FARSHORE_STATE": str(site.a.state),
        "HOME": str(tmp_path),
        "PATH": f"{_FARSHORE.parent}:/usr/bin:/bin",
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }


def _script(shell: str, where: Path) -> Path:
    path = where / f"completion.{shell}"
    said = subprocess.run([_FARSHORE, "completion", shell], capture_output=True, timeout=30, check=True)
    path.write_bytes(said.stdout)
    return path


class Terminal:
    """A shell that believes somebody to sit before it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._end, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._said = ""

    def type(self, text: str) -> None:
        """As fast as nobody can."""
        os.write(self._end, text.encode())

    def until(self, text: str) -> None:
        """Until the terminal shows `text`; what it has shown by then is forgotten."""
        deadline = time.monotonic() + _LIMIT_S
        while text not in self._said:
            ready, _, _ = select.select([self._end], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} within {_LIMIT_S} s in {self._said!r}"
            self._said += os.read(self._end, 4096).decode("utf-8", "replace")
        self._said = ""

    def complete_all(self) -> None:
        """Types every word, has it ended, and takes the line back."""
        self.until("set-up-is-42")
        for begun, rest in _CASES:
            self.type(begun + "\t")
            self.until(begun + rest)
            self.type(_TAKE_BACK)

    def close(self) -> None:
        """As if the window were closed."""
        os.close(self._end)
        self._process.kill()
        self._process.wait(10)


_TAKE_BACK = "\x15"
_CASES = [
    ("farshore topol", "ogy"),
    ("farshore export crea", "te"),
    ("farshore link create x y --comp", "ress"),
    ("farshore link create x y --mode asy", "nc"),
    ("farshore status ware", "house"),
    ("farshore export ware", "house"),
    ("farshore export warehouse/l", "og"),
    ("farshore group show ware", "house"),
]


@requires("bash")
def test_bash(environment: dict[str, str], tmp_path: Path) -> None:
    script = _script("bash", tmp_path)
    terminal = Terminal([program("bash"), "--norc", "--noprofile", "-i"], environment)
    try:
        terminal.type(f"source {script}; echo set-up-is-$((40 + 2))\n")
        terminal.complete_all()
    finally:
        terminal.close()


@requires("zsh")
def test_zsh(environment: dict[str, str], tmp_path: Path) -> None:
    script = _script("zsh", tmp_path)
    terminal = Terminal([program("zsh"), "-f", "-i"], environment)
    try:
        terminal.type("autoload -Uz compinit; compinit -u -D\n")
        terminal.type(f"source {script}; echo set-up-is-$((40 + 2))\n")
        terminal.complete_all()
    finally:
        terminal.close()


@requires("fish")
def test_fish(environment: dict[str, str], tmp_path: Path) -> None:
    script = _script("fish", tmp_path)
    asked = "; ".join(f"complete -C '{begun}'; echo ---" for begun, _ in _CASES)
    said = subprocess.run(
        [program("fish"), "--no-config", "-c", f"source {script}; {asked}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=True,
    )
    for (begun, rest), shown in zip(_CASES, said.stdout.split("---"), strict=False):
        assert begun.split()[-1] + rest in shown.split()


def test_without_a_node_words_are_completed_all_the_same_and_nothing_is_said(tmp_path: Path) -> None:
    asked = {"_FARSHORE_COMPLETE": "bash_complete", "COMP_WORDS": "farshore status ", "COMP_CWORD": "2"}
    environment = {**asked, "FARSHORE_STATE": str(tmp_path), "PATH": os.environ["PATH"]}
    said = subprocess.run([_FARSHORE], env=environment, capture_output=True, timeout=30, check=True)
    assert (said.stdout.strip(), said.stderr) == (b"", b"")
