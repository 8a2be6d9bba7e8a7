"""`farshore export allow | disallow | clients`: which programs may open a group's exports over TLS.

`allow` writes the directory that a client is to be given, under the names that QEMU and libnbd look for. The
key in it exists nowhere else, so whatever could keep it from being written is looked at first.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click

from farshore.cli import output
from farshore.cli.options import connect, json_option, target_options
from farshore.client.answers import ClientCertificate
from farshore.errors import FarshoreError

FILES = ("ca-cert.pem", "client-cert.pem", "client-key.pem")


@click.command()
@click.argument("group")
@click.argument("client")
@click.option("--to", required=True, metavar="DIR", help="Written there; made where it is missing.")
@json_option
@target_options
def allow(group: str, client: str, to: str, as_json: bool) -> None:
    """Let CLIENT open GROUP's exports over TLS, and write what it needs for that.

    DIR then holds ca-cert.pem, client-cert.pem and client-key.pem, which only this user can read. Whoever
    has them can read and write the group's volumes: move them to the client and keep no copy.
    """
    path = Path(to).absolute()
    _make_ready(path)
    made = connect().allow_export_client(group, client)
    try:
        for name, pem in zip(FILES, (made.authority, made.certificate, made.key), strict=True):
            _write(path / name, pem)
    except OSError as error:
        raise _failed(
            error, path, f"farshore export disallow {group} {client}, then allow it again"
        ) from error
    _told(made, path, as_json=as_json)


@click.command()
@click.argument("group")
@click.argument("client")
@target_options
def disallow(group: str, client: str) -> None:
    """Shut CLIENT out of GROUP's exports and end its connections."""
    connect().disallow_export_client(group, client)
    output.note(f"{client} may no longer open {group}")


@click.command()
@click.argument("group")
@json_option
@target_options
def clients(group: str, as_json: bool) -> None:
    """Show who may open GROUP's exports over TLS."""
    found = connect().export_clients(group)
    if as_json:
        output.emit(found.document)
        return
    rows = [(each.name, each.fingerprint) for each in found.clients]
    output.table(("CLIENT", "CERTIFICATE"), rows, empty=f"nobody may open {group} over TLS")


def _make_ready(path: Path) -> None:
    """Raises FarshoreError where the directory cannot take the files, before a key is made for nothing."""
    again = "choose another directory with --to"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = [name for name in FILES if os.path.lexists(path / name)]
    except OSError as error:
        raise _failed(error, path, again) from error
    if there:
        raise FarshoreError(
            "exists",
            f"{path} holds {', '.join(there)} already",
            means="nothing was changed; keys are never written over",
            next_step=again,
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise _failed(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), path, again)


def _write(path: Path, pem: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def _failed(error: OSError, path: Path, next_step: str) -> FarshoreError:
    code = {
        errno.ENOSPC: "disk-full",
        errno.EDQUOT: "disk-full",
        errno.EACCES: "permission",
        errno.EPERM: "permission",
        errno.EROFS: "read-only",
    }.get(error.errno or 0, "io-error")
    what = f"cannot write to {path}: {error.strerror or error}"
    return FarshoreError(code, what, means="no client has the key", next_step=next_step)


def _told(made: ClientCertificate, path: Path, *, as_json: bool) -> None:
    if as_json:
        shown = {"client": made.client, "fingerprint": made.fingerprint, "directory": str(path)}
        output.emit({"schema": 1, **shown})
        return
    output.say(str(path))
    output.note(f"give this directory to {made.client}, and nobody else")
