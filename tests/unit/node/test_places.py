"""Grants are globs over real paths, and what lies at a place decides whether it may be used."""

from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.model.options import ResyncKind
from farshore.node import disks, places

SIZE = 1 << 20


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("/srv/*", "/srv/a.img", True),
        ("/srv/*", "/srv/a/b.img", False),
        ("/srv/**", "/srv/a/b.img", True),
        ("/srv/**/*.img", "/srv/a/b/c.img", True),
        ("/srv/*", "/srv", False),
        ("/srv/*", "/srvx/a", False),
        ("/srv/a?.img", "/srv/ab.img", True),
        ("/srv/a?.img", "/srv/a/.img", False),
        ("/srv/[a]", "/srv/a", False),
        ("/srv/[a]", "/srv/[a]", True),
        ("/srv/a.img", "/srv/axing", False),
        ("/dev/vg0/*", "/dev/vg0/data\nx", True),
    ],
)
def test_globs(glob: str, path: str, expected: bool) -> None:
    assert places.matches(glob, path) is expected


def test_a_missing_file_is_made_sparse_and_taken_back(tmp_path: Path) -> None:
    place = places.claim(str(tmp_path / "x.img"), SIZE, ())
    assert place.made
    found = (tmp_path / "x.img").stat()
    assert (found.st_size, found.st_blocks, found.st_mode & 0o777) == (SIZE, 0, 0o600)
    places.refuse_data(place, ResyncKind.FULL)
    place.give_back()
    assert not (tmp_path / "x.img").exists()


def test_a_file_that_was_there_is_never_taken_back(tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(bytes(SIZE))
    place = places.claim(str(tmp_path / "x.img"), SIZE, ())
    places.refuse_data(place, ResyncKind.FULL)
    place.give_back()
    assert (tmp_path / "x.img").exists()


def test_a_dangling_link_is_not_followed_into_the_open(tmp_path: Path) -> None:
    (tmp_path / "x.img").symlink_to(tmp_path / "nowhere.img")
    with pytest.raises(FarshoreError) as caught:
        places.claim(str(tmp_path / "x.img"), SIZE, ())
    assert caught.value.code.name == "not-found"
    assert not (tmp_path / "nowhere.img").exists()


@pytest.mark.parametrize("offset", [0, 4096, SIZE // 2, SIZE - 1])
def test_one_byte_anywhere_is_data(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "x.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(offset)
        file.write(b"\1")
    place = places.claim(str(path), SIZE, ())
    with pytest.raises(FarshoreError) as caught:
        places.refuse_data(place, ResyncKind.FULL)
    assert caught.value.code.name == "not-empty"
    assert "--first digest" in caught.value.next_step
    places.refuse_data(place, ResyncKind.DIGEST)


def test_what_cannot_be_read_in_time_counts_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "SCAN_SECONDS", -1.0)
    path = tmp_path / "x.img"
    path.write_bytes(bytes(SIZE))
    with pytest.raises(FarshoreError) as caught:
        places.refuse_data(places.claim(str(path), SIZE, ()), ResyncKind.FULL)
    assert caught.value.code.name == "not-empty"


def test_two_paths_to_one_file_are_one_disk(tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(bytes(SIZE))
    (tmp_path / "hard.img").hardlink_to(tmp_path / "x.img")
    (tmp_path / "soft.img").symlink_to(tmp_path / "x.img")
    taken = {disks.inspect(str(tmp_path / "x.img")).id}
    for name in ("x.img", "hard.img", "soft.img"):
        with pytest.raises(FarshoreError) as caught:
            places.claim(str(tmp_path / name), SIZE, taken)
        assert caught.value.code.name == "in-use"


def test_a_pipe_and_a_directory_are_no_volumes(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(FarshoreError) as caught:
            disks.inspect(str(path))
        assert caught.value.code.name == "usage"
