"""What a copy finds when it is opened, and what it does about an end that was not clean."""

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.core.fault_texts import VOLUMES, fault_id
from farshore.engine import stored_copy
from farshore.engine.durable_records import DurableRecords
from farshore.engine.local_writes import LocalWrites
from farshore.engine.pool import Pool, errno_of
from farshore.engine.reactor import Reactor
from farshore.engine.stored_copy import StoredCopy, open_copy
from farshore.errors import FarshoreError
from farshore.model.copy_config import CopyConfig
from farshore.model.header import Fault, FaultKind, Header, LinkRecord
from farshore.model.options import Role
from farshore.model.volumes import VolumeSpec
from farshore.store.claim import create_volume
from farshore.store.platform import RealFiles
from farshore.store.process_lock import take_lock
from tests.unit.engine.turning import turn_until

GIB = 1 << 30
Calls = list[tuple[str, str]]


@pytest.fixture
def config(disk_path: Path) -> CopyConfig:
    """Of a copy with two volumes on a real disk, mostly holes."""
    volumes = [VolumeSpec(number, f"v{number}", str(disk_path / f"v{number}"), 64 * GIB) for number in (1, 2)]
    for each in volumes:
        create_volume(each.path, each.size).close()
    return CopyConfig(
        group=b"g" * 16,
        group_name="g",
        copy=b"c" * 16,
        copy_name="g",
        role=Role.PRIMARY,
        volumes=tuple(volumes),
        control=str(disk_path / "ctl"),
        certificate="",
        key="",
        node_name="a",
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Which file the system was asked to sync, and which to let go of; it is asked all the same."""
    made: Calls = []
    sync, advise = os.fdatasync, os.posix_fadvise

    def name(fd: int) -> str:
        return Path(f"/proc/self/fd/{fd}").readlink().name

    def fdatasync(fd: int) -> None:
        made.append(("sync", name(fd)))
        sync(fd)

    def posix_fadvise(fd: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        made.append(("let go", name(fd)))
        advise(fd, offset, length, advice)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(os, "posix_fadvise", posix_fadvise)
    return made


def _opened(config: CopyConfig, change: Callable[[Header], Header] | None = None) -> StoredCopy:
    """The copy, opened; with `change` its header was left so by an earlier life."""
    directory = str(Path(config.control).parent / "state")
    Path(directory).mkdir(exist_ok=True)
    if change is not None:
        with_header = _opened(config)
        with_header.header.write(change(with_header.header.header))
        with_header.close()
    copy_lock = take_lock(RealFiles(), directory)
    try:
        return open_copy(directory, config, copy_lock)
    except FarshoreError:
        copy_lock.release()
        raise


def _of_volumes(calls: Calls) -> Calls:
    return [call for call in calls if call[1] in ("v1", "v2")]


def test_c3_after_an_unclean_stop_volumes_are_read_from_the_disk(config: CopyConfig, calls: Calls) -> None:
    with open(config.volumes[0].path, "r+b") as file:
        file.seek(5 * GIB)
        file.write(b"written before the stop")
    _opened(config, lambda header: replace(header, clean=False)).close()
    calls.clear()
    copy = _opened(config)
    assert _of_volumes(calls) == [("sync", "v1"), ("let go", "v1"), ("sync", "v2"), ("let go", "v2")]
    assert copy.volumes[1].read(5 * GIB, 23) == b"written before the stop"
    copy.close()


def test_c3_after_a_recorded_fault_as_well(config: CopyConfig, calls: Calls) -> None:
    copy = _opened(
        config, lambda header: replace(header, clean=True, fault=Fault("disk error EIO", FaultKind.RECORDS))
    )
    copy.close()
    assert _of_volumes(calls) == [], "nobody has repaired it"
    _opened(replace(config, repaired=fault_id(copy.header.header))).close()
    assert ("let go", "v1") in calls
    assert ("let go", "v2") in calls


def test_a_clean_stop_and_a_new_copy_need_no_such_thing(config: CopyConfig, calls: Calls) -> None:
    _opened(config).close()
    _opened(config, lambda header: replace(header, clean=True)).close()
    calls.clear()
    _opened(config).close()
    assert _of_volumes(calls) == []


@pytest.mark.parametrize("role", list(Role))
def test_c3_a_failure_then_is_recorded_before_anybody_tries_again(
    config: CopyConfig, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    config = replace(config, role=role)
    links = (LinkRecord(b"k" * 16, 1, peer_copy=b"p" * 16), LinkRecord(b"l" * 16, 1))
    _opened(config, lambda header: replace(header, clean=False, links=links)).close()
    sync = os.fdatasync

    def fails(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().name == "v2":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fails)
        if role is Role.SECONDARY:
            with pytest.raises(FarshoreError, match=config.volumes[1].path) as caught:
                _opened(config)
            assert caught.value.code.name == "io-error"
        else:
            _opened(config).close()
    copy = _opened(config)
    fault = copy.header.header.fault
    assert fault is not None
    assert fault.text.startswith(f"{VOLUMES}: EIO ({config.volumes[1].path}, at the start of")
    assert fault.kind is FaultKind.VOLUMES
    assert not copy.header.header.clean
    assert [link.paused for link in copy.header.header.links] == [True, True], "it feeds nobody unasked"
    copy.close()


@pytest.mark.parametrize("looked", [False, True], ids=["unseen by the node", "seen by the node"])
def test_d3_what_was_not_read_is_blank_only_if_the_node_has_read_it(
    config: CopyConfig, monkeypatch: pytest.MonkeyPatch, looked: bool
) -> None:
    monkeypatch.setattr(stored_copy, "BLANK_READ_LIMIT", 2 << 20)
    copy = _opened(config)
    assert stored_copy.reads_as_blank(copy.volumes, looked)
    copy.volumes[1].write(bytes(3 << 20), 0)
    assert stored_copy.reads_as_blank(copy.volumes, looked) is looked, "preallocated beyond the limit"
    copy.volumes[2].write(b"payroll", 1 << 20)
    assert not stored_copy.reads_as_blank(copy.volumes, looked)
    copy.close()


def test_a_links_scoreboard_is_closed_behind_what_is_still_being_written_to_it(config: CopyConfig) -> None:
    """Else its descriptor's number could be a volume's by the time of the write."""
    copy = _opened(config)
    board = copy.create_board(b"l" * 16)
    path = Path(copy.board_path(b"l" * 16))
    reactor = Reactor()
    pool = Pool(reactor, "durable", 2)
    records = DurableRecords(copy, pool, LocalWrites(copy.volumes, pool))
    go_on, errors = threading.Event(), list[int]()

    def write() -> None:
        assert go_on.wait(20)
        board.write(None, None, [])

    pool.submit(("board", b"l" * 16), write, lambda result: errors.append(errno_of(result)))
    records.discard_board(b"l" * 16)
    assert b"l" * 16 not in copy.boards, "nobody else writes to it from now on"
    assert path.exists()
    go_on.set()
    turn_until(reactor, lambda: not path.exists() and not pool.unfinished)
    assert errors == [0]
    reactor.close()
    copy.close()


def test_the_files_of_a_link_that_was_deleted_while_no_engine_ran_go_with_the_next_start(
    config: CopyConfig,
) -> None:
    _opened(config).close()
    links = Path(config.control).parent / "state" / "links"
    gone = (b"x" * 16).hex()
    (links / f"{gone}.board").write_bytes(b"marks")
    (links / f"{gone}.queue").mkdir()
    (links / f"{gone}.queue" / "00000001.seg").write_bytes(b"frames")
    (links / "a note of somebody").write_text("left alone")
    _opened(config).close()
    assert [each.name for each in links.iterdir()] == ["a note of somebody"]
