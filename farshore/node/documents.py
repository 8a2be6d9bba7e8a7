"""The node's own small records: one JSON document per file, replaced whole, durable when written.

A reader sees the old document or the new one, also after a power loss. Files are readable by
their owner alone. Each document carries `version`; one of a later version is refused, never guessed at.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farshore.errors import FarshoreError
from farshore.node.os_errors import as_farshore_error

VERSION = 1


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces `path` atomically and durably, mode 0600.

    Raises FarshoreError `disk-full`, `permission`, `read-only` or `io-error`; the old file stands then.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        try:
            sync_directory(path.parent)
        except OSError:
            _put_back(path, fresh, before)
            raise
    except OSError as error:
        with contextlib.suppress(OSError):  # what stays is overwritten by the next attempt
            fresh.unlink(missing_ok=True)
        raise as_farshore_error(error, path) from error


def _put_back(path: Path, fresh: Path, before: bytes | None) -> None:
    """The new document stands, and nobody knows for how long: a reader shall see the old one, as whoever
    asked is told. Where even that fails it sees the new one."""
    with contextlib.suppress(OSError):
        if before is None:
            path.unlink()
        else:
            fresh.write_bytes(before)
            fresh.chmod(0o600)
            fresh.replace(path)


def write(path: Path, document: Mapping[str, Any]) -> None:
    """`write_bytes` of a document, with its version on top."""
    text = json.dumps({"version": VERSION, **document}, indent=1)
    write_bytes(path, text.encode() + b"\n")


def read(path: Path) -> dict[str, Any] | None:
    """The document, None where there is no file.

    Raises FarshoreError `state-newer` for a later version, `state-damaged` for anything that is no document.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise as_farshore_error(error, path) from error
    try:
        document = json.loads(text)
        version = int(document["version"])
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(path, error) from error
    if version > VERSION:
        raise FarshoreError(
            "state-newer",
            f"{path} has version {version}, this Farshore knows {VERSION}",
            means="a newer Farshore wrote it; nothing was changed",
            next_step="start the newer Farshore, or choose another state directory with --state",
        )
    if not isinstance(document, dict):
        raise damaged(path, TypeError("not an object"))
    return document


def damaged(path: Path, error: Exception) -> FarshoreError:
    """The error for a record that cannot be understood."""
    return FarshoreError(
        "state-damaged",
        f"{path} cannot be read: {error!r}",
        means="the node does not guess at what should exist; no volume was touched",
        next_step=f"restore {path} from a backup, or move it away if what it describes may be forgotten",
    )


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
