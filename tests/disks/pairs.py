"""A primary and its secondary on a disk that fails when it is told to, and what an application was promised.

The application remembers what was acknowledged, and what of that a flush has covered. What it may rely on is
checked at the end of each round, when everything is well again: what was flushed is there, whatever failed;
what was only acknowledged is there unless a sync of the primary's volumes had failed; both copies are equal.
"""

import errno
import filecmp
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from farshore.demo.nbd_client import NbdClient, NbdError
from farshore.model.options import LinkOptions
from tests.disks.failing_disk import FailingDisk
from tests.integration.conftest import Sites
from tests.integration.engines import Door, Engine
from tests.waiting import wait_until

KIB, MIB = 1 << 10, 1 << 20
SIZE = 16 * MIB
PIECE = 64 * KIB
EXTENT = 1 * MIB
HOT = 34
"""Extents in the activity log: the fewest that are allowed."""


@dataclass
class Application:
    """One client; every piece that it writes says which write it was."""

    uri: str
    acknowledged: dict[int, int] = field(default_factory=dict)
    flushed: dict[int, int] = field(default_factory=dict)
    possible: dict[int, set[int]] = field(default_factory=dict)
    """Of each piece: every write that may be there."""
    errors: list[int] = field(default_factory=list)
    _count: int = 0
    _client: NbdClient | None = None

    def write(self, *pieces: int) -> None:
        """Writes these pieces anew."""
        for piece in pieces:
            self._count += 1
            self.possible.setdefault(piece, {0}).add(self._count)
            try:
                self._open().write(piece * PIECE, _content(self._count))
            except (NbdError, ConnectionError) as error:
                self._failed(error)
            else:
                self.acknowledged[piece] = self._count

    def read(self, piece: int) -> int:
        """Which write a piece shows."""
        return int.from_bytes(self._open().read(piece * PIECE, PIECE)[:8], "big")

    def flush(self) -> None:
        """What it covers is remembered if it succeeds."""
        try:
            self._open().flush()
        except (NbdError, ConnectionError) as error:
            self._failed(error)
        else:
            self.flushed = dict(self.acknowledged)

    def _failed(self, error: OSError) -> None:
        self.errors.append(error.errno or errno.ECONNRESET)
        if not isinstance(error, NbdError):
            self.close()

    def _open(self) -> NbdClient:
        if self._client is None:
            self._client = NbdClient(self.uri)
        return self._client

    def close(self) -> None:
        """Goes away."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def forget(self) -> None:
        """The next round begins with what is there now."""
        self.possible = {piece: {write} for piece, write in self.acknowledged.items()}
        self.errors.clear()

    def check(self, image: Path, *, lost: bool) -> None:
        """What is on the disk keeps what was promised; `lost`: a sync had failed, and only flushes count."""
        data = image.read_bytes()
        promised = self.flushed if lost else self.acknowledged
        for piece, writes in self.possible.items():
            found = int.from_bytes(data[piece * PIECE : piece * PIECE + 8], "big")
            floor = promised.get(piece, 0)
            assert found in writes, f"piece {piece} holds {found}, which was never written there"
            assert found >= floor, f"piece {piece} holds {found}, and {floor} was acknowledged"


def _content(count: int) -> bytes:
    return count.to_bytes(8, "big") * (PIECE // 8)


@dataclass
class FailingPair:
    """See the module."""

    sites: Sites
    disk: FailingDisk
    a: Engine = field(init=False)
    b: Engine = field(init=False)
    door: Door = field(init=False)
    app: Application = field(init=False)

    def start(self, options: LinkOptions) -> None:
        """Both run and are in step."""
        self.a, self.b, self.door = self.sites.pair({"data": SIZE}, options)
        for engine in (self.a, self.b):
            engine.write_intent(replace(engine.config, extent=EXTENT, hot_extents=HOT))
            engine.environment = self.disk.environment
        self.b.start()
        self.a.start()
        self.app = Application(self.a.uri())
        self.in_step()

    def close(self) -> None:
        """The application goes away."""
        if hasattr(self, "app"):
            self.app.close()

    def in_step(self) -> None:
        """Nothing is owed any more, and both copies are equal."""
        self.a.ask("peer-back", peer=None)
        self.a.wait_until_clean(40.0)

        def equal() -> bool:
            filecmp.clear_cache()
            return filecmp.cmp(self.image("a"), self.image("b"), shallow=False)

        wait_until(equal, 20.0, what="both copies are equal")

    def read(self, piece: int) -> None:
        """The application reads a piece, which no cache has, and finds what it was promised."""
        drop_cache(self.image("a"))
        found = self.app.read(piece)
        assert found >= self.app.acknowledged.get(piece, 0)

    def image(self, site: str) -> Path:
        """The file of a site's volume."""
        return self.sites.image(site, "data")

    def repair(self, engine: Engine) -> dict[str, Any]:
        """As a node does it: the fault is recorded, the next process may take it for repaired."""
        told = engine.ask("repair")
        if told.get("id"):
            engine.write_intent(replace(engine.config, repaired=told["id"]))
        if told["fault"]:
            self.app.close()
            assert engine.terminate() == 0
            engine.start()
        return told

    def events(self, engine: Engine) -> list[str]:
        """The kinds of what has happened to a copy."""
        return [each["kind"] for each in engine.ask("events", since=0, wait=0)["events"]]


def drop_cache(image: Path) -> None:
    """What is read next comes from the disk."""
    with image.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
