"""Manual pages say what the command line says, and readers of such pages find no fault with them."""

import datetime as dt
import subprocess
from pathlib import Path

import click
import pytest

from farshore.cli import manual, root
from tests.requires import program, requires

_DATE = dt.date(2026, 11, 23)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pages")
    for name, text in manual.pages(_DATE).items():
        (directory / name).write_text(text)
    return directory


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, env={"MANWIDTH": "100"}
    )


def test_there_is_a_page_for_every_command() -> None:
    names = root.root.list_commands(click.Context(root.root))
    assert set(manual.pages(_DATE)) == {"farshore.1", *(f"farshore-{each}.1" for each in names)}


@requires("mandoc")
def test_mandoc_finds_no_fault(pages: Path) -> None:
    checked = _run(program("mandoc"), "-T", "lint", "-W", "warning", *sorted(pages.iterdir()))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@requires("man")
def test_man_shows_every_option_with_its_help(pages: Path) -> None:
    shown = _run(program("man"), "--warnings", "-l", pages / "farshore-export.1")
    assert (shown.returncode, shown.stderr) == (0, "")
    text = " ".join(shown.stdout.replace("‐", "-").split())
    for option in ("--format [uri|qemu|libvirt", "--tls-name HOST", "--read-only", "--to DIR"):
        assert option in text
    assert "farshore export create [OPTIONS] GROUP[/VOLUME]" in text
    assert "farshore-link(1)" in text


def test_a_page_bears_the_date_that_it_was_given() -> None:
    assert '"2026-11-23"' in manual.pages(_DATE)["farshore.1"]
