"""Wheel and source archive: whole, the same from either, and of use in an environment that was empty."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from farshore import __version__
from farshore.demo.nbd_client import NbdClient
from scripts import build_deb
from tests.packages.conftest import ROOT, Built, build

pytestmark = pytest.mark.timeout(300)


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {each: archive.read(each) for each in archive.namelist()}


def test_the_wheel_holds_every_module_and_asset_and_nothing_else(built: Built) -> None:
    names = set(_contents(built.wheel))
    tracked = subprocess.run(
        ["git", "ls-files", "farshore"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    ours = {each for each in names if each.startswith("farshore/")}
    assert set(tracked.stdout.split()) <= ours
    assert {each for each in ours if not each.endswith((".py", "py.typed"))} <= set(tracked.stdout.split())
    shared = {each.partition(".data/data/share/")[2] for each in names if ".data/data/share/" in each}
    assert {
        "man/man1/farshore.1",
        "man/man1/farshore-export.1",
        "bash-completion/completions/farshore",
        "zsh/site-functions/_farshore",
        "fish/vendor_completions.d/farshore.fish",
    } <= shared


def test_the_source_archive_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", built.archive, "-C", tmp_path], check=True, timeout=60)
    (tree,) = tmp_path.iterdir()
    for needed in (
        "packaging/debian/control",
        "scripts/build_deb.py",
        "tests/conftest.py",
        "Makefile",
        "LICENSE",
    ):
        assert (tree / needed).exists()
    again = build(tree, tmp_path / "again")
    assert _contents(again.wheel) == _contents(built.wheel)


@pytest.fixture
def empty(built: Built, tmp_path: Path) -> Path:
    """An environment with the wheel and what it depends on, and nothing of this checkout."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "-q", "--python", home / "bin/python", "install", "--no-index"]
    words = ["--no-compile", "--find-links", build_deb.wheels(), built.wheel]
    subprocess.run([*map(str, (*pip, *words))], check=True, timeout=120)
    return home


def test_an_empty_environment_with_the_wheel_serves_a_volume(empty: Path, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "FARSHORE_STATE": str(tmp_path / "state"),
    }

    def farshore(*words: str) -> str:
        ended = subprocess.run(
            [empty / "bin/farshore", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert __version__ in farshore("--version")
    farshore("node", "start", "--listen", "127.0.0.1:0", "--name", "site")
    try:
        farshore("group", "create", "orders", "--volume", f"data={tmp_path / 'data.img'},size=4MiB")
        client = NbdClient(farshore("export", "orders").strip())
        client.write(4096, b"w" * 4096, fua=True)
        client.close()
        assert (tmp_path / "data.img").read_bytes()[4096:8192] == b"w" * 4096
        assert "orders" in farshore("status")
    finally:
        farshore("node", "stop", "--engines")
    assert (empty / "share/man/man1/farshore.1").exists()
