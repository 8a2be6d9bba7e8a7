"""A part of a bundle: a file's name and content, or the reason why it could not be had. Bounded."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LONGEST: Final = 2 << 20
"""Bytes of one part; of something longer its end is taken, where the news is."""
_COMMAND_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the bundle."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not in the bundle, and why."""

    name: str
    why: str


def of_document(name: str, document: Any) -> Part:
    """JSON, for people and for programs."""
    return Part(name, json.dumps(document, indent=1, default=str).encode() + b"\n")


def of_file(name: str, path: Path) -> Part | Missing:
    """The end of a file, as far as it is there: nobody is waited for, and no symbolic link followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size  # 0 for what the kernel makes up while it is read
            if size > LONGEST:
                file.seek(size - LONGEST)
            return Part(name, file.read(LONGEST))
    except OSError as error:
        return Missing(name, f"{path}: {error.strerror}")


def of_command(name: str, command: Sequence[str]) -> Part | Missing:
    """What a program says."""
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Missing(name, f"{command[0]}: {error}")
    return Part(name, run.stdout[-LONGEST:])
