"""A copy's state directory: there or not there, one owner, and damage that is said."""

from pathlib import Path

import pytest

from farshore.core.geometry import Geometry
from farshore.errors import FarshoreError
from farshore.model.header import Header
from farshore.model.options import Role
from farshore.store import copy_dir
from farshore.store.copy_dir import CopyDir, Environment
from farshore.store.platform import RealFiles

LAYER = RealFiles()
HEADER = Header(b"\1" * 16, b"\2" * 16, Role.PRIMARY)
HERE = Environment("boot", 64)
LINK = b"\xab" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    copy_dir.create(LAYER, str(tmp_path / "copy"), HEADER, HERE)
    return tmp_path / "copy"


def opened(path: Path) -> CopyDir:
    return CopyDir.open(LAYER, str(path), HERE)


def code_of_opening(path: Path) -> str:
    with pytest.raises(FarshoreError) as refused:
        opened(path)
    return refused.value.code.name


def test_a_new_directory_has_all_its_records(path: Path) -> None:
    copy = opened(path)
    assert copy.header.header == HEADER
    assert copy.activity.read() == frozenset()
    assert copy.position.read().durable is None
    assert copy.boards() == []
    assert sorted(each.name for each in path.iterdir()) == ["activity", "header", "links", "lock", "position"]
    assert [each.name for each in path.parent.iterdir()] == ["copy"]


def test_a_directory_has_one_owner(path: Path) -> None:
    copy = opened(path)
    assert code_of_opening(path) == "state-locked"
    copy.close()
    opened(path).close()


def test_a_directory_is_made_once_and_over_what_a_crash_left(path: Path) -> None:
    with pytest.raises(FarshoreError) as refused:
        copy_dir.create(LAYER, str(path), HEADER, HERE)
    assert refused.value.code.name == "exists"
    path.rename(path.with_name("other.new"))
    (path.parent / "other.new" / "links" / "some.board").write_bytes(b"x")
    copy_dir.create(LAYER, str(path.with_name("other")), HEADER, HERE)
    assert opened(path.with_name("other")).boards() == []
    assert [each.name for each in path.parent.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("name", "code"), [("header", "state-damaged"), ("position", "state-damaged"), ("", "not-found")]
)
def test_what_is_missing_is_said_and_the_lock_given_up(path: Path, name: str, code: str) -> None:
    (path / name).rename(path.parent / "away")
    for _ in range(2):
        assert code_of_opening(path) == code
    (path.parent / "away").rename(path / name)
    opened(path).close()


def test_a_missing_activity_log_makes_everything_suspect(path: Path) -> None:
    (path / "activity").unlink()
    assert opened(path).activity.read() is None


def test_scoreboards_come_and_go_with_their_links(path: Path) -> None:
    copy = opened(path)
    geometry = Geometry({1: 1 << 20})
    copy.create_board(LINK, geometry).close()
    assert copy.boards() == [LINK]
    assert (path / "links" / ("ab" * 16 + ".board")).exists()
    assert not copy.open_board(LINK, geometry).read().damaged
    copy.remove_board(LINK)
    copy.remove_board(LINK)
    assert copy.boards() == []
    assert copy.open_board(LINK, geometry).read().damaged


def test_a_copy_is_removed_only_when_nobody_uses_it(path: Path) -> None:
    copy = opened(path)
    copy.create_board(LINK, Geometry({1: 1 << 20})).close()
    with pytest.raises(FarshoreError) as refused:
        copy_dir.remove(LAYER, str(path))
    assert refused.value.code.name == "state-locked"
    copy.close()
    copy_dir.remove(LAYER, str(path))
    assert list(path.parent.iterdir()) == []
