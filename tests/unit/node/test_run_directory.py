"""Directories of sockets go when nobody listens in them any more, and never before."""

import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import FarshoreError
from farshore.node import run_directory
from farshore.node.paths import Paths


@pytest.fixture
def paths(socket_directory: Path) -> Paths:
    return Paths(socket_directory / "state", socket_directory / "run" / "own")


@pytest.fixture
def listening(paths: Paths) -> Iterator[Path]:
    """A directory in which an engine listens, whose node has ended."""
    directory = paths.run.with_name("engine")
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(directory / "x.ctl"))
        door.listen(0)
        yield directory


def _left(directory: Path) -> Path:
    """As a killed node leaves it."""
    directory.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(directory / "api.sock"))
    return directory


def test_what_ended_nodes_left_is_removed_and_what_is_used_stays(paths: Paths, listening: Path) -> None:
    stale = _left(paths.run.with_name("stale"))
    strange = _left(paths.run.with_name("strange"))
    (strange / "notes").touch()
    other = Paths(paths.state, paths.run.with_name("other"))
    held = [run_directory.make(other), run_directory.make(paths)]
    _left(other.run)  # nothing answers yet: that node only starts
    run_directory.sweep(paths)
    assert not stale.exists()
    assert {each.name for each in paths.run.parent.iterdir()} == {"own", "other", "strange", "engine"}
    os.close(held[0])
    os.close(held[1])


def test_a_socket_with_a_full_queue_is_listened_on(listening: Path) -> None:
    clients = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(4)]
    for each in clients:
        each.setblocking(False)
        each.connect_ex(str(listening / "x.ctl"))
    assert run_directory.listened_on(listening / "x.ctl")
    assert not run_directory.remove_if_left(listening)
    for each in clients:
        each.close()


def test_only_a_refusal_says_that_nobody_listens(listening: Path) -> None:
    """Without a descriptor to ask with nothing is known, and nothing is removed."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, most[1]))
    try:
        assert run_directory.listened_on(listening / "x.ctl")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert not run_directory.listened_on(listening / "nothing.ctl")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.bind(str(listening / "gone.ctl"))
    assert not run_directory.listened_on(listening / "gone.ctl")


def test_a_node_holds_its_directory_until_it_lets_go(paths: Paths) -> None:
    held = run_directory.make(paths)
    assert not run_directory.remove_if_left(paths.run)
    os.close(held)
    assert run_directory.remove_if_left(paths.run)
    assert not paths.run.exists()
    assert run_directory.remove_if_left(paths.run)
    os.close(run_directory.make(paths))


def test_a_directory_that_others_may_write_to_is_refused(paths: Paths) -> None:
    paths.run.mkdir(parents=True)
    paths.run.chmod(0o777)
    with pytest.raises(FarshoreError) as caught:
        run_directory.make(paths)
    assert caught.value.code.name == "permission"


def test_one_that_is_swept_away_before_anybody_holds_it_is_made_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat, looks = Path.lstat, 0

    def after_a_sweep(path: Path) -> os.stat_result:
        nonlocal looks
        if path == paths.run:
            looks += 1
            if looks == 1:
                path.rmdir()
        return lstat(path)

    paths.run.parent.mkdir(mode=0o700)
    monkeypatch.setattr(Path, "lstat", after_a_sweep)
    held = run_directory.make(paths)
    try:
        assert looks > 1
        assert os.fstat(held).st_ino == paths.run.stat().st_ino
    finally:
        os.close(held)
