"""`python -m tests.integration.dying DIR SCRATCH STRIDE`: turns the copy in DIR, killed before some step.

For every STRIDE-th step of the turn, counted in calls that reach the disk, a child works on a fresh copy of
the directory and of its volume, and ends by SIGKILL right before that step; then another one starts again and
goes through. One line of JSON for each says what the header was in between and what there is in the end.
The last line is that of a child that nobody killed. The last steps are all tried.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any

from farshore.core import rewinding
from farshore.core.geometry import Geometry
from farshore.core.residue import residue_of
from farshore.engine import turning
from farshore.engine.copy import read_config
from farshore.model.copy_config import CopyConfig, from_json
from farshore.model.header import Header
from farshore.store.header import HeaderFile
from farshore.store.platform import RealFile, RealFiles
from farshore.store.scoreboard_file import ScoreboardFile
from tests.integration.keeping import kept, shown

_STEPS = ("pwrite", "pwrite_many", "settle", "fdatasync", "allocate_zeroed", "truncate", "punch", "zero")
_NAMES = ("open", "fsync_dir", "mkdir", "rename", "remove")
UNWANTED = "copy.json.before"
"""In DIR, the intent that the second child finds unless the role has changed: nobody wants the turn then."""
LAST = 6
"""Steps at the end that are all tried: the header is written in one of them."""


_done = [0]
"""Calls of this process so far."""


def _die_before(step: int) -> None:
    """Counts the calls of this process; 0 is before none."""

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def wrapper(*given: Any, **named: Any) -> Any:
            _done[0] += 1
            if _done[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return wrapper

    for kind, names in ((RealFile, _STEPS), (RealFiles, _NAMES)):
        for name in names:
            setattr(kind, name, counted(getattr(kind, name)))


def _turn(config: CopyConfig, directory: Path, step: int) -> bool:
    """Whether the child came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _die_before(step)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            turning.carry_out(str(directory), config)
            if not (directory.parent / "all").exists():
                (directory.parent / "all").write_text(str(_done[0]))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
        raise AssertionError("the turn failed")
    return not os.WIFSIGNALED(status)


def _header(directory: Path) -> Header:
    opened = HeaderFile.open(RealFiles(), f"{directory}/header")
    opened.close()
    return opened.header


def _facts(config: CopyConfig, directory: Path) -> dict[str, Any]:
    header, geometry = (
        _header(directory),
        Geometry({each.id: each.size for each in config.volumes}, config.region, config.extent),
    )
    marks = {}
    for record in header.links:
        board = ScoreboardFile.open(RealFiles(), f"{directory}/links/{record.link.hex()}.board", geometry)
        residue = residue_of(geometry, board.read())
        marks[record.link.hex()] = [
            record.retired,
            record.unmet,
            residue and [residue.base.sequence, residue.ranges],
        ]
        board.close()
    content = [sha256(Path(each.path).read_bytes()).hexdigest() for each in config.volumes]
    head = header.history.head
    return {
        "role": header.role.value,
        "clean": header.clean,
        "sequence": head.sequence if head is not None else None,
        "stretches": len(header.history.stretches),
        "turn": header.turn.hex(),
        "resync": header.resync is not None,
        "marks": marks,
        "content": content,
        "kept": [
            [each.kind, each.name, shown(config, directory, each.id)] for each in kept(config, directory)
        ],
    }


def _life(source: Path, scratch: Path, step: int) -> dict[str, Any]:
    """What there was after a kill before `step`, and what there is in the end."""
    config, then = read_config(str(source)), source / UNWANTED
    directory = scratch / "copy"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("lock", "*.log"))
    # With its attributes: it is the volume that the copy's header knows.
    volumes = [replace(each, path=str(shutil.copy2(each.path, scratch))) for each in config.volumes]
    config = replace(config, volumes=tuple(volumes))
    _turn(config, directory, step)
    between = _header(directory)
    if then.exists() and between.role is not config.role:
        before = from_json(json.loads(then.read_text()))
        config = replace(before, volumes=config.volumes)
    assert _turn(config, directory, 0)
    opened = rewinding.open_rewind(between) is not None
    return {"step": step, "between": between.role.value, "opened": opened, **_facts(config, directory)}


def main(source: Path, scratch: Path, stride: int) -> None:
    """See the module."""
    whole = _life(source, scratch, 0)
    steps = int((scratch / "all").read_text())
    for step in sorted({*range(1, steps + 1, stride), *range(steps - LAST, steps + 1)}):
        print(json.dumps(_life(source, scratch, step)), flush=True)
    print(json.dumps(whole), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
