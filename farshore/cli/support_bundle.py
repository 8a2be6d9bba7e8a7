"""`farshore support-bundle`: one file for whoever helps, with everything about this node but its secrets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farshore.cli import config as settings
from farshore.cli import doctor_checks, output
from farshore.cli.options import json_option, target_of, target_options
from farshore.config import Target, file_of, state_of
from farshore.errors import FarshoreError
from farshore.model.units import format_size

if TYPE_CHECKING:
    from farshore.support.parts import Missing, Part

_ASKING_S = 15.0


@click.command("support-bundle")
@click.option("--to", metavar="FILE", help="Where to; default farshore-support-HOST-TIME.tar.gz here.")
@json_option
@target_options
def support_bundle(to: str | None, as_json: bool) -> None:
    """Pack status, events, logs, settings, versions and facts of this host into one file.

    Keys, invitations and what volumes contain are left out. Works without a running node too: then with what
    its state directory tells. Look through it before you hand it on: names, paths and addresses are in it.
    """
    from farshore.support import bundle

    target = target_of(click.get_current_context())
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    host = socket.gethostname().partition(".")[0] or "host"
    path = Path(to if to is not None else f"farshore-support-{host}-{now}.tar.gz")
    written = bundle.write(path, _parts(target))
    if as_json:
        output.emit(
            {
                "file": str(path),
                "bytes": written.size,
                "parts": list(written.parts),
                "missing": [asdict(each) for each in written.missing],
            }
        )
        return
    output.say(str(path))
    output.note(
        f"{len(written.parts)} files, {format_size(written.size)}; look through it before you send it"
    )
    for each in written.missing:
        output.note(f"not in it: {each.name}: {each.why}")


def _parts(target: Target) -> Iterator[Part | Missing]:
    from farshore.client import Node
    from farshore.support import host, node, parts

    state = Path(state_of(target, os.environ, os.geteuid()))
    yield host.versions()
    yield from node.documents(Node(target.state, target.api, timeout=_ASKING_S))
    yield from host.records(state)
    configured = Path(file_of(target, os.environ, os.geteuid()))
    yield parts.of_file("settings/farshore.toml", configured)
    yield _settings(target)
    yield parts.of_document("doctor.json", [asdict(each) for each in doctor_checks.of_host(state)])
    yield from host.kernel(state)
    yield from host.service()


def _settings(target: Target) -> Part | Missing:
    from farshore.support import parts

    try:
        return parts.of_document("settings/settings.json", settings.rows(target))
    except FarshoreError as error:
        return parts.Missing("settings/settings.json", error.what)
