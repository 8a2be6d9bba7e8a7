"""What writes to a mounted device for as long as a test goes: files, and a SQLite database.

Each notes what it was told is safe, stops at the first error, and has afterwards to find all of it.
"""

import os
import random
import sqlite3
import threading
from abc import ABC, abstractmethod
from pathlib import Path

_FILES = 40
_LARGEST = 300_000
_ENTRIES = 1000
_PATIENCE_S = 60.0


class Writer(threading.Thread, ABC):
    """Writes until `end`, which raises the first error."""

    def __init__(self, root: Path) -> None:
        super().__init__(name=f"writer of {root}", daemon=True)
        self.root = root
        self.done = 0
        """Steps that were confirmed to be durable."""
        self._leaving = threading.Event()
        self._error: Exception | None = None
        root.mkdir()

    def run(self) -> None:
        try:
            while not self._leaving.is_set():
                self.step()
                self.done += 1
            self.finish()
        except (OSError, sqlite3.Error) as error:
            self._error = error

    @abstractmethod
    def step(self) -> None:
        """Writes something, and makes it durable."""

    def finish(self) -> None:
        """Closes what is open."""

    def end(self) -> None:
        """Lets the step that is under way end."""
        self._leaving.set()
        self.join(_PATIENCE_S)
        assert not self.is_alive(), f"{self.name} still waits"
        if self._error is not None:
            raise self._error


class Files(Writer):
    """Files of all sizes, written over, appended to, removed; every one synced."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__(root)
        self._random = random.Random(seed)
        self._known: dict[str, bytes] = {}

    def step(self) -> None:
        name = f"file-{self._random.randrange(_FILES)}"
        path = self.root / name
        if name in self._known and self._random.random() < 0.2:
            path.unlink()
            del self._known[name]
            descriptor = os.open(self.root, os.O_RDONLY)
        else:
            content = self._random.randbytes(self._random.randrange(_LARGEST))
            append = self._random.random() < 0.3
            flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
            descriptor = os.open(path, flags, 0o600)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            self._known[name] = (self._known.get(name, b"") if append else b"") + content
        os.fsync(descriptor)
        os.close(descriptor)

    def check(self, root: Path) -> None:
        """What is below `root` is exactly what was written."""
        found = {each.name: each.read_bytes() for each in root.iterdir()}
        assert found.keys() == self._known.keys()
        assert [name for name, content in found.items() if content != self._known[name]] == []


class Database(Writer):
    """A SQLite database with one transaction per step, over two tables and an index."""

    def __init__(self, root: Path, mode: str) -> None:
        super().__init__(root)
        self._mode = mode
        self._open: sqlite3.Connection | None = None

    def step(self) -> None:
        if self._open is None:
            self._open = _opened(self.root)
            self._open.execute(f"PRAGMA journal_mode={self._mode}")
            self._open.execute("PRAGMA synchronous=FULL")
            self._open.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, filler BLOB, word TEXT)")
            self._open.execute("CREATE INDEX words ON entries (word)")
            self._open.execute("CREATE TABLE total (number INTEGER)")
            self._open.execute("INSERT INTO total VALUES (0)")
            self._open.commit()
        number = self.done + 1
        with self._open:
            values = (number, os.urandom(number % 5000), f"word {number % 97}")
            self._open.execute("INSERT INTO entries VALUES (?, ?, ?)", values)
            self._open.execute("DELETE FROM entries WHERE number <= ?", (number - _ENTRIES,))
            self._open.execute("UPDATE total SET number = ?", (number,))

    def finish(self) -> None:
        if self._open is not None:
            self._open.close()

    def check(self, root: Path) -> None:
        """The database below `root` is whole and has every transaction that was confirmed."""
        database = _opened(root)
        try:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            count, first, last = database.execute(
                "SELECT count(*), min(number), max(number) FROM entries"
            ).fetchone()
            (total,) = database.execute("SELECT number FROM total").fetchone()
            assert last == total >= self.done
            assert (count, first) == (min(total, _ENTRIES), max(total - _ENTRIES, 0) + 1)
        finally:
            database.close()


def _opened(root: Path) -> sqlite3.Connection:
    return sqlite3.connect(root / "database", timeout=_PATIENCE_S, check_same_thread=False)
