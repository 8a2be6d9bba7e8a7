"""The node's intent: which copies should exist here, one `copy.json` each under `copies/GROUP/COPY/`.

Each document is replaced whole and durable before anybody acts on it. The same directory holds the
engine's own files, which the node never reads or writes, and `peers/FINGERPRINT.pem`, the certificates
that the engine pins for its links. A copy goes away in one step: its directory is moved out of the
tree, and deleted after that.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig, UpstreamIntent, from_json, to_json
from farshore.model.options import Role
from farshore.node import documents
from farshore.node.engines import EngineClient
from farshore.node.os_errors import as_farshore_error
from farshore.node.paths import Paths
from farshore.node.peers import Peer


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """One copy: its directory and what should be."""

    directory: Path
    config: CopyConfig

    @property
    def key(self) -> str:
        return self.config.copy.hex()

    @property
    def upstream(self) -> UpstreamIntent | None:
        """Whom the copy follows; None for a primary, though one that was promoted remembers who fed it."""
        return self.config.upstream if self.config.role is Role.SECONDARY else None

    @property
    def called(self) -> str:
        """Its engine in words."""
        return f"engine of group {self.config.group_name}"

    @property
    def engine(self) -> EngineClient:
        return EngineClient(self.config.control, self.called)

    @property
    def control(self) -> EngineClient:
        """Its engine, as the supervisor knows it."""
        return self.engine


class CopyStore:
    """All copies of the node, in memory and on disk. Whatever is written says how their engines log."""

    def __init__(self, paths: Paths, log_level: str = "info") -> None:
        """Raises FarshoreError `state-newer`; a damaged copy is kept in `unreadable` and the rest goes on."""
        self._paths = paths
        self.log_level = log_level
        self._copies: dict[str, StoredCopy] = {}
        self.unreadable: dict[Path, FarshoreError] = {}
        for path in sorted(paths.copies.glob("*/*/copy.json")):
            self._load(path)
        shutil.rmtree(paths.removed, ignore_errors=True)  # left by a crash in `remove`

    def all(self) -> list[StoredCopy]:
        """By group name, then copy name."""
        return sorted(self._copies.values(), key=lambda each: (each.config.group_name, each.config.copy_name))

    def get(self, key: str) -> StoredCopy | None:
        return self._copies.get(key)

    def of_group(self, name: str) -> list[StoredCopy]:
        """This node's copies of a group, its primary first. Raises FarshoreError `not-found`."""
        found = [each for each in self.all() if each.config.group_name == name]
        if not found:
            raise FarshoreError(
                "not-found",
                f"there is no group {name!r} on this node",
                next_step="farshore group list shows the groups",
            )
        return sorted(found, key=lambda each: each.config.role is not Role.PRIMARY)

    def following(self, group: bytes, link: bytes) -> StoredCopy | None:
        """The copy that this link may feed (rule B8)."""
        found = self.answering(group, link)
        return None if found is None or found.upstream is None else found

    def answering(self, group: bytes, link: bytes) -> StoredCopy | None:
        """The copy that answers whoever knocks with this link: it follows it, or was promoted and says so."""
        for each in self._copies.values():
            upstream = each.config.upstream
            if each.config.group == group and upstream is not None and upstream.link == link:
                return each
        return None

    def asked_by_another(self, group: bytes, link: bytes) -> StoredCopy | None:
        """The primary copy of a group, for whoever knocks as its feeder by a link that nobody here follows:
        that one may have been promoted, and asks whether this copy knows (rule D5)."""
        for each in self._copies.values():
            own = any(intent.spec.id == link for intent in each.config.links)
            if each.config.group == group and each.config.role is Role.PRIMARY and not own:
                return each
        return None

    def directory(self, config: CopyConfig) -> Path:
        """Where a copy's files lie."""
        return self._paths.copies / config.group_name / config.copy_name

    def put(self, config: CopyConfig, peers: Iterable[Peer]) -> StoredCopy:
        """Creates or replaces a copy's intent, with the certificates that it needs of `peers`.

        Raises FarshoreError `disk-full`, `permission`, `read-only`, `io-error`; what was stands then.
        """
        directory = self.directory(config)
        config = replace(config, log_level=self.log_level)
        wanted = {link.spec.peer for link in config.links}
        if config.upstream is not None:
            wanted.add(config.upstream.peer)
        try:
            for peer in peers:
                if peer.id in wanted:
                    _pin(directory / "peers" / f"{peer.id}.pem", peer.certificate)
            documents.write(directory / "copy.json", to_json(config))
        except FarshoreError:
            _clear(directory)
            raise
        stored = StoredCopy(directory, config)
        self._copies[stored.key] = stored
        return stored

    def remove(self, stored: StoredCopy) -> None:
        """Forgets a copy whose engine has stopped. Volumes are not touched. Raises FarshoreError."""
        goal = self._paths.removed / stored.key
        try:
            self._paths.removed.mkdir(mode=0o700, exist_ok=True)
            stored.directory.rename(goal)
            documents.sync_directory(stored.directory.parent)
            self._copies.pop(stored.key, None)
            shutil.rmtree(goal, ignore_errors=True)  # what stays is deleted at the next start
            if not any(stored.directory.parent.iterdir()):
                stored.directory.parent.rmdir()
        except OSError as error:
            raise as_farshore_error(error, stored.directory) from error

    def _load(self, path: Path) -> None:
        try:
            document = documents.read(path)
            if document is None:
                return
            stored = StoredCopy(path.parent, from_json(document))
        except FarshoreError as error:
            if error.code.name == "state-newer":
                raise
            self.unreadable[path.parent] = error
            return
        self._copies[stored.key] = stored


def _clear(directory: Path) -> None:
    """Takes away what was begun for a copy that was never there."""
    if (directory / "copy.json").exists():
        return
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):  # the group has another copy here
        directory.parent.rmdir()


def _pin(path: Path, certificate: str) -> None:
    if not path.exists() or path.read_text("ascii") != certificate:
        documents.write_bytes(path, certificate.encode("ascii"))
