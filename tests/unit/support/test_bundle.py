"""A bundle is whole or is not there, and says what is not in it."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.support import bundle, parts
from farshore.support.parts import Missing, Part
from tests.badinput.mounting import requires_mount, small_disk


def test_parts_are_files_and_what_is_missing_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    given: list[Part | Missing] = [
        Part("a/b.json", b"{}"),
        Missing("c", "it is gone"),
        Part("d", b"x" * 100_000),
    ]
    written = bundle.write(path, given)
    assert written.parts == ("a/b.json", "d", "missing.json")
    assert written.missing == (Missing("c", "it is gone"),)
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (written.size, 0o600)
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["b/a/b.json", "b/d", "b/missing.json"]
        missing = archive.extractfile("b/missing.json")
        assert missing is not None
        assert b"it is gone" in missing.read()


def test_a_bundle_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_BYTES", 10)
    written = bundle.write(tmp_path / "b.tar.gz", [Part("a", b"x" * 8), Part("b", b"x" * 8), Part("c", b"x")])
    assert written.parts == ("a", "c", "missing.json")
    assert [each.name for each in written.missing] == ["b"]


@pytest.mark.parametrize(
    ("place", "code"), [("there", "exists"), ("none/b", "not-found"), ("there/b", "not-found")]
)
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str, code: str) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    with pytest.raises(FarshoreError) as caught:
        bundle.write(tmp_path / place, [Part("a", b"x")])
    assert (caught.value.code.name, bool(caught.value.next_step)) == (code, True)
    assert (tmp_path / "there").read_bytes() == b"mine"


@requires_mount
def test_a_full_disk_leaves_no_half_of_a_bundle(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        with pytest.raises(FarshoreError) as caught:
            bundle.write(disk.path / "b.tar.gz", [Part("noise", os.urandom(1 << 20))])
        assert caught.value.code.name == "disk-full"
        assert list(disk.path.iterdir()) == []


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Part | Missing]:
        yield Part("a", b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle.write(tmp_path / "b.tar.gz", broken())
    assert list(tmp_path.iterdir()) == []


def test_of_a_long_file_its_end_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LONGEST", 5)
    (tmp_path / "log").write_bytes(b"old news, new")
    assert parts.of_file("log", tmp_path / "log") == Part("log", b", new")


def test_a_file_that_is_none_is_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/shadow")
    assert parts.of_file("p", tmp_path / "pipe") == Part("p", b""), "nobody is waited for"
    for name in ("link", "none"):
        assert isinstance(parts.of_file(name, tmp_path / name), Missing)


def test_a_program_that_is_not_there_or_does_not_end_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_COMMAND_SECONDS", 0.2)
    assert isinstance(parts.of_command("x", ("/none/such",)), Missing)
    assert isinstance(parts.of_command("x", ("tail", "-f", "/dev/null")), Missing)
    assert parts.of_command("x", ("printf", "said")) == Part("x", b"said")
