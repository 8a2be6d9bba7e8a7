"""A command line to type into, and an API that answers it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farshore.cli.main import run
from tests.replay import Replay


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as one JSON document."""
        import json

        return json.loads(self.out)


@pytest.fixture
def api(socket_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """The node that commands speak to, by FARSHORE_API."""
    monkeypatch.delenv("FARSHORE_STATE", raising=False)
    monkeypatch.delenv("FARSHORE_TOKEN", raising=False)
    with Replay(socket_directory / "api.sock") as node:
        monkeypatch.setenv("FARSHORE_API", node.address)
        yield node


@pytest.fixture
def farshore(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command line in this process: `farshore("wait", "orders")`."""

    def run_it(*words: str) -> Outcome:
        capsys.readouterr()
        code = run(words)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_it
