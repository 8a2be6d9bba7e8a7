"""The demo's application: a shop that keeps its orders in SQLite and its papers in a tree of files.

The database is a real one: each transaction is committed by SQLite, and the pages that the commit changed
go to the volume through NBD, first all of them into a log, then, once that is flushed, to their places. Only
after the second flush does an order count as sold. So the volume holds whole transactions at every moment,
and a copy of any moment can be read: where the pages of an order were under way, the log has all of them.
The tree goes to the volume as a tar archive behind that: `read_database`, `read_tree`.
A connection that breaks is opened again, and what was not acknowledged is written again.
"""

from __future__ import annotations

import hashlib
import io
import random
import sqlite3
import struct
import tarfile
import threading
import time
from dataclasses import dataclass, field
from errno import ESHUTDOWN
from pathlib import Path
from typing import BinaryIO

from farshore.demo.nbd_client import NbdClient

PAGE = 4096
LOG_AT = 28 << 20
DATABASE_END = 32 << 20
"""The database and its log lie before it."""
TREE_AT = 128 << 20
VOLUME_SIZE = 256 << 20
_PIECE = 1 << 20
_PATIENCE_S = 30.0
_AGAIN_S = 0.05
_LOG_HEAD = struct.Struct(">8s32sI")
"""A magic, SHA-256 of all that follows it, how many pages; then their numbers, and from the next page on they
themselves."""
_LOG_MAGIC = b"ORDERLOG"
_LOG_PAGES = (PAGE - _LOG_HEAD.size) // 4
_LEAST_PAUSE_S = 0.002  # between two orders, so that the demo leaves the machine some air


@dataclass(slots=True)
class Sales:
    """What the application has seen so far; `waits`: seconds from commit to acknowledged flush, in order."""

    sold: int = 0
    reconnects: int = 0
    bytes_written: int = 0
    waits: list[float] = field(default_factory=list)


class Shop:
    """Sells from `open` to `close`, in a thread of its own, whenever it is not at `rest`."""

    def __init__(self, directory: Path, uri: str) -> None:
        self.sales = Sales()
        self.failure: Exception | None = None
        self._path = directory / "orders.sqlite"
        self._uri = uri
        self._random = random.Random(7411)
        self._known: list[bytes] = []
        self._client: NbdClient | None = None
        self._selling = threading.Event()
        self._rested = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shop", daemon=True)
        self._thread.start()

    @property
    def database(self) -> Path:
        """The application's own file, against which copies are compared."""
        return self._path

    def open(self) -> None:
        """Sells from now on."""
        self._rested.clear()
        self._selling.set()

    def rest(self) -> None:
        """Returns when the order under way is acknowledged and no other begins."""
        self._selling.clear()
        if not self._rested.wait(_PATIENCE_S):
            raise TimeoutError("the application's last order was not acknowledged")
        if self.failure is not None:
            raise self.failure

    def move(self, uri: str) -> None:
        """The volume is found there from now on. What is under way is tried again there once
        where it was has ended."""
        self._uri = uri

    def close(self) -> None:
        """Ends the thread. What is under way may stay unanswered."""
        self._closed.set()
        self._selling.set()
        if self._client is not None:
            self._client.close()
        self._thread.join(5.0)

    def put(self, at: int, data: bytes) -> None:
        """Writes and flushes `data`; only while the shop rests."""
        self._write([(at + start, data[start : start + _PIECE]) for start in range(0, len(data), _PIECE)])

    def _run(self) -> None:
        database: sqlite3.Connection | None = None
        try:
            database = _created(self._path)
            while not self._closed.is_set():
                if not self._selling.is_set():
                    self._rested.set()
                    self._selling.wait()
                    continue
                self._sell(database)
                self._closed.wait(_LEAST_PAUSE_S)
        except (OSError, sqlite3.Error, ValueError) as error:
            if not self._closed.is_set():
                self.failure = error
        finally:
            if database is not None:
                database.close()
            self._rested.set()

    def _sell(self, database: sqlite3.Connection) -> None:
        number = self.sales.sold + 1
        item = self._random.randrange(1000)
        with database:
            database.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?)",
                (number, item, self._random.randrange(1, 100), self._random.randbytes(150).hex()),
            )
            database.execute("UPDATE stock SET sold = sold + 1 WHERE item = ?", (item,))
        began = time.monotonic()
        changed = self._changed_pages()
        self._write([(LOG_AT, _logged(changed))])
        self._write([(index * PAGE, page) for index, page in changed])
        self.sales.waits.append(time.monotonic() - began)
        self.sales.sold = number

    def _changed_pages(self) -> list[tuple[int, bytes]]:
        """Their numbers and what is in them now. ValueError where the volume has no room for them."""
        content = self._path.read_bytes()
        changed: list[tuple[int, bytes]] = []
        for index in range(len(content) // PAGE):
            page = content[index * PAGE : (index + 1) * PAGE]
            if index == len(self._known):
                self._known.append(page)
            elif self._known[index] == page:
                continue
            else:
                self._known[index] = page
            changed.append((index, page))
        if len(content) > LOG_AT or len(changed) > _LOG_PAGES:
            raise ValueError(f"the shop has no room for {len(changed)} pages of {len(content)} bytes")
        return changed

    def _write(self, pieces: list[tuple[int, bytes]]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                if self._client is None:
                    self._client = NbdClient(self._uri)
                self._client.write_all(pieces)
                self._client.flush()
            except OSError as error:
                # The volume went away: its engine was killed, or its site gives the role to the other. It
                # comes back, as a disk after a reset does.
                if not isinstance(error, ConnectionError | FileNotFoundError) and error.errno != ESHUTDOWN:
                    raise
                if self._client is not None:
                    self._client.close()
                    self._client = None
                    self.sales.reconnects += 1
                if time.monotonic() > deadline or self._closed.wait(_AGAIN_S):
                    raise
            else:
                self.sales.bytes_written += sum(len(data) for _, data in pieces)
                return


def _created(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA page_size = {PAGE}")
    database.execute("PRAGMA synchronous = OFF")  # its durable home is the volume, not this file
    with database:
        database.execute("CREATE TABLE stock (item INTEGER PRIMARY KEY, sold INTEGER NOT NULL)")
        database.execute(
            "CREATE TABLE orders (number INTEGER PRIMARY KEY, item INTEGER, pieces INTEGER, note TEXT)"
        )
        database.execute("CREATE INDEX by_item ON orders (item)")
        database.executemany("INSERT INTO stock VALUES (?, 0)", [(item,) for item in range(1000)])
    return database


def make_tree(root: Path, seed: int, files: int, largest: int) -> dict[str, str]:
    """Makes a tree of files; path to SHA-256 of each."""
    source = random.Random(seed)
    made: dict[str, str] = {}
    for number in range(files):
        path = root / f"year-{2000 + number % 9}" / f"month-{number % 12 + 1:02d}" / f"paper-{number:04d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = source.randbytes(source.randrange(largest))
        path.write_bytes(content)
        made[str(path.relative_to(root))] = hashlib.sha256(content).hexdigest()
    return made


def packed(root: Path) -> bytes:
    """The tree as an archive, in a fixed order."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(root)), recursive=False)
    return archive.getvalue()


def read_tree(image: Path) -> dict[str, str]:
    """Reads the tree out of an image of the volume; path to SHA-256 of each file found there."""
    found: dict[str, str] = {}
    with image.open("rb") as file:
        file.seek(TREE_AT)
        with tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None:
                    found[member.name] = hashlib.sha256(content.read()).hexdigest()
    return found


def _logged(pages: list[tuple[int, bytes]]) -> bytes:
    """What is in the log before any of these pages is put in its place."""
    numbers = b"".join(struct.pack(">I", index) for index, _ in pages)
    counted = struct.pack(">I", len(pages)) + numbers.ljust(PAGE - _LOG_HEAD.size, b"\0")
    body = counted + b"".join(page for _, page in pages)
    return _LOG_MAGIC + hashlib.sha256(body).digest() + body


def _read_log(file: BinaryIO) -> dict[int, bytes]:
    """The last order's pages; none where the log was just being written: then all are in their places."""
    file.seek(LOG_AT)
    head = file.read(PAGE)
    magic, proof, count = _LOG_HEAD.unpack_from(head.ljust(PAGE, b"\0"))
    if magic != _LOG_MAGIC or count > _LOG_PAGES:
        return {}
    pages = file.read(count * PAGE)
    if hashlib.sha256(head[_LOG_HEAD.size - 4 :] + pages).digest() != proof:
        return {}
    numbers = struct.unpack_from(f">{count}I", head, _LOG_HEAD.size)
    return {index: pages[at * PAGE : (at + 1) * PAGE] for at, index in enumerate(numbers)}


def read_database(image: Path, to: Path) -> Path:
    """Takes the database out of an image of the volume, its last order as the log has it. Raises ValueError
    where there is none."""
    with image.open("rb") as file:
        logged = _read_log(file)
        file.seek(0)
        head = logged.get(0, file.read(100))
        if not head.startswith(b"SQLite format 3\0"):
            raise ValueError(f"{image} does not begin with a database")
        (pages,) = struct.unpack_from(">I", head, 28)
        if not 0 < pages * PAGE <= LOG_AT:
            raise ValueError(f"{image}: a database of {pages} pages is none of ours")
        file.seek(0)
        to.write_bytes(file.read(pages * PAGE))
    with to.open("r+b") as found:
        for index, page in logged.items():
            found.seek(index * PAGE)
            found.write(page)
    return to


def contents(database: Path) -> tuple[str, list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What SQLite says of the file's integrity, and all rows of both tables."""
    connection = sqlite3.connect(database)
    try:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        orders = connection.execute("SELECT * FROM orders ORDER BY number").fetchall()
        stock = connection.execute("SELECT * FROM stock ORDER BY item").fetchall()
    finally:
        connection.close()
    return str(integrity), orders, stock


def digest(image: Path) -> str:
    """SHA-256 of a whole image."""
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
