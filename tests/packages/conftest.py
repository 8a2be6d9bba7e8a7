"""The packages of this tree, built once for all tests."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts import build_deb
from tests.requires import program

ROOT = Path(__file__).resolve().parents[2]
NEXT = "99.1"
"""The version of a later package."""
TIME = 1_764_000_000
"""When this tree was last changed, as far as its packages tell."""


@dataclass(frozen=True, slots=True)
class Built:
    """Paths of what `make dist` makes."""

    wheel: Path
    archive: Path


@pytest.fixture(scope="package")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel and the source archive."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def build(tree: Path, directory: Path) -> Built:
    """Both, of a tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(directory)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(TIME)}
    ended = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (wheel,), (archive,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Built(wheel, archive)


@dataclass(frozen=True, slots=True)
class Debs:
    """This tree's Debian package, and one of a later version that differs in nothing else."""

    now: Path
    later: Path


@pytest.fixture(scope="package")
def debs(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Debs:
    """Packed lightly, for tests."""
    return pack_both(built, tmp_path_factory.mktemp("deb"))


def pack_both(built: Built, room: Path) -> Debs:
    """Both Debian packages."""
    command = [sys.executable, str(ROOT / "scripts/build_deb.py"), str(built.wheel), str(room), "--fast"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    now = Path(ended.stdout.strip())
    return Debs(now, _later(now, room))


def _later(now: Path, room: Path) -> Path:
    tree = room / "later"
    subprocess.run([program("dpkg-deb"), "-R", now, tree], check=True, timeout=60)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {NEXT}", control.read_text()))
    (package,) = tree.glob("usr/lib/farshore/lib/python3.*/site-packages/farshore/__init__.py")
    package.write_text(f'"""A later Farshore."""\n\n__version__ = "{NEXT}"\n')
    for compiled in package.parent.glob("__pycache__/__init__.*"):
        compiled.unlink()
    made = room / "farshore_later.deb"
    build_deb.pack(tree, made, TIME, fast=True)
    return made
