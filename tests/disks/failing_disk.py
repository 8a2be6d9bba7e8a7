"""A disk that fails when a test tells it to: `failing_disk.c`, compiled, and the rules that it goes by.

Works for any user and on any file system, for processes that are started with `environment`, and for those
that these start. A rule holds from when it is made until `end`; what it has done is counted.
"""

import errno
import mmap
import os
import struct
import subprocess
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

from tests.requires import program

_RULE = struct.Struct("<7q72s")
_RULES = 16
_FOR_EVER = -1
_END = 1 << 62


class On(IntFlag):
    """Which calls fail."""

    READ = 1
    WRITE = 2
    SYNC = 4
    ALLOCATE = 8
    RENAME = 16


@dataclass(frozen=True, slots=True)
class Rule:
    """What fails. `path` is any part of the file's path, or with a $ behind it the end; `error` 0 loses
    writes without a word."""

    path: str
    on: On
    error: int = errno.EIO
    times: int = _FOR_EVER
    skip: int = 0
    """Calls that are let through before."""
    first: int = 0
    end: int = _END
    """Bytes that it concerns, from `first` to `end`."""


class FailingDisk:
    """See the module."""

    def __init__(self, directory: Path, library: Path) -> None:
        path = directory / "failing-disk.rules"
        path.write_bytes(bytes(_RULE.size * _RULES))
        path.chmod(0o666)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._own = {"LD_PRELOAD": str(library), "FAILING_DISK": str(path)}
        self._used = 0

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command that is to run on this disk."""
        return ("env", *[f"{name}={value}" for name, value in self._own.items()])

    @property
    def environment(self) -> dict[str, str]:
        """What a process is to be started with: this one's own environment, on that disk."""
        return {**os.environ, **self._own}

    def fail(self, rule: Rule) -> int:
        """A rule comes into force; its number."""
        number = self._used
        assert number < _RULES, "no more rules"
        self._used += 1
        name = rule.path.encode()
        # First the rule that applies to nothing, then its calls: processes look at it all the while.
        packed = _RULE.pack(0, rule.times, rule.skip, rule.error, rule.first, rule.end, 0, name)
        at = number * _RULE.size
        self._map[at : at + _RULE.size] = packed
        self._map[at : at + 8] = struct.pack("<q", int(rule.on))
        return number

    def hits(self, number: int = 0) -> int:
        """How often a rule has let a call fail."""
        hits: int = _RULE.unpack_from(self._map, number * _RULE.size)[6]
        return hits

    def well(self) -> None:
        """The disk is well again: no rule is in force."""
        for number in range(_RULES):
            self._map[number * _RULE.size : number * _RULE.size + 8] = bytes(8)
        self._used = 0

    def close(self) -> None:
        """Nobody looks at it any more."""
        self._map.close()


def build(directory: Path) -> Path:
    """Compiles the library into a directory; its path."""
    library = directory / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    command = [program("gcc"), "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-nostdlib", "-fno-builtin"]
    subprocess.run([*command, str(source), "-o", str(library)], check=True, capture_output=True, timeout=60)
    return library
