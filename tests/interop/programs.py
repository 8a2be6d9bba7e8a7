"""Runs other people's programs, with an end and with what they said where they fail."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.requires import program

_LIMIT_S = 60.0


def run(name: str, *words: str | Path) -> str:
    """What the program wrote to stdout. It has to succeed."""
    command = [program(name), *map(str, words)]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def run_json(name: str, *words: str | Path) -> Any:
    """The document that the program wrote."""
    return json.loads(run(name, *words))
