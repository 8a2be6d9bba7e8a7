"""The command line of one state directory, as somebody at a terminal has it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from farshore.errors import CODES

ROOT = Path(__file__).resolve().parents[1]
_LIMIT_S = 60.0


class CommandLine:
    """Runs `farshore` for `state`; nothing of the test's own environment speaks for another one."""

    def __init__(self, state: Path, prefix: Sequence[str] = ()) -> None:
        self.state = state
        self.prefix = tuple(prefix)
        """Words before each command: another user, say, or a namespace."""

    def farshore(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command, however it ends."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FARSHORE_")}
        return subprocess.run(
            [*self.prefix, sys.executable, "-m", "farshore", *words],
            cwd=ROOT,
            env={**clean, "FARSHORE_STATE": str(self.state), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )

    def done(self, *words: str, env: Mapping[str, str] | None = None) -> Any:
        """Runs a command that has to succeed; with `--json` its document, else its output."""
        run = self.farshore(*words, env=env)
        assert run.returncode == 0, f"farshore {' '.join(words)}: {run.returncode}\n{run.stderr}"
        return json.loads(run.stdout) if "--json" in words else run.stdout

    def refused(self, *words: str) -> dict[str, Any]:
        """Runs a command that has to fail, with the exit code of its error; the error."""
        run = self.farshore(*words, "--json")
        assert run.returncode, (words, run.stdout)
        error: dict[str, Any] = json.loads(run.stderr.splitlines()[-1])["error"]
        assert run.returncode == CODES[error["code"]].exit_code, run.stderr
        return error


def pair(joining: CommandLine, inviting: CommandLine, address: str | None = None) -> None:
    """Lets two nodes know each other; `joining` reaches the other at `address` from then on."""
    invitation = inviting.done("node", "invite", "--json")
    environment = {"FARSHORE_TOKEN": invitation["token"]}
    joining.done("node", "join", address or invitation["address"], env=environment)
