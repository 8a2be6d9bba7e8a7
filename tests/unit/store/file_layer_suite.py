"""What every file layer must do: one suite for the real one and the simulated one.

Subclass `FileLayerSuite` and give it two fixtures: `layer`, and `root`, a path to an empty directory
of that layer.
"""

import errno

import pytest

from farshore.errors import FarshoreError
from farshore.store.platform import File, FileLayer


class FileLayerSuite:
    """The obligations of `farshore.store.platform`, one test each."""

    @pytest.fixture
    def file(self, layer: FileLayer, root: str) -> File:
        return layer.open(f"{root}/file", create=True)

    def test_what_is_written_is_read_from_any_handle(self, layer: FileLayer, root: str, file: File) -> None:
        assert file.pwrite(b"hello", 10) == 5
        assert file.pwrite(memoryview(bytearray(b"L")), 12) == 1
        assert file.pread(20, 8) == b"\0\0heLlo"
        other = layer.open(f"{root}/file")
        assert other.pread(5, 10) == b"heLlo"
        assert other.pread(5, 15) == b""
        assert file.size() == 15

    def test_a_buffer_is_filled_as_far_as_the_file_goes(self, file: File) -> None:
        file.pwrite(b"abcdef", 0)
        buffer = bytearray(b"....")
        assert file.pread_into(buffer, 1) == 4
        assert buffer == b"bcde"
        assert file.pread_into(memoryview(buffer), 4) == 2
        assert buffer == b"efde"

    def test_pieces_are_written_one_behind_the_other(self, file: File) -> None:
        pieces = [bytes([number % 250 + 1]) * (number % 3) for number in range(3000)]
        assert file.pwrite_many(pieces, 7) == len(b"".join(pieces))
        assert file.pread(10_000, 0) == bytes(7) + b"".join(pieces)

    def test_a_settled_file_keeps_its_content(self, file: File) -> None:
        file.pwrite(b"x" * 1000, 0)
        file.settle()
        assert file.pread(2000, 0) == b"x" * 1000

    def test_a_synced_file_keeps_its_content_and_size(self, file: File) -> None:
        file.pwrite(b"x" * 1000, 0)
        file.fdatasync()
        assert file.pread(2000, 0) == b"x" * 1000

    def test_zeroed_allocation_replaces_the_content(self, file: File) -> None:
        file.pwrite(b"x" * 5000, 0)
        file.allocate_zeroed(2 << 20)
        assert file.size() == 2 << 20
        assert file.pread(3 << 20, 0) == bytes(2 << 20)
        file.allocate_zeroed(100)
        assert file.size() == 100

    def test_room_that_is_reserved_reads_as_zeroes_and_never_cuts(self, file: File) -> None:
        file.pwrite(b"abc", 0)
        file.reserve(10)
        assert file.pread(20, 0) == b"abc" + bytes(7)
        file.reserve(5)
        assert file.size() == 10

    def test_truncating_cuts_and_extends(self, file: File) -> None:
        file.pwrite(b"abcdef", 0)
        file.truncate(3)
        file.truncate(5)
        assert file.pread(9, 0) == b"abc\0\0"

    @pytest.mark.parametrize("how", ["punch", "zero"])
    def test_a_zeroed_range_reads_as_zeroes_and_the_size_stays(self, file: File, how: str) -> None:
        file.pwrite(b"x" * 10_000, 0)
        clear = getattr(file, how)
        clear(100, 5000)
        assert file.pread(10_000, 0) == b"x" * 100 + bytes(5000) + b"x" * 4900
        clear(9_000, 50_000)
        clear(20_000, 10)
        assert file.pread(20_000, 0) == b"x" * 100 + bytes(5000) + b"x" * 3900 + bytes(1000)

    def test_a_file_is_made_only_where_there_is_none(self, layer: FileLayer, root: str, file: File) -> None:
        with pytest.raises(FileExistsError):
            layer.open(f"{root}/file", create=True)
        with pytest.raises(FileNotFoundError):
            layer.open(f"{root}/other")
        with pytest.raises(FileNotFoundError):
            layer.open(f"{root}/none/other", create=True)
        assert not layer.exists(f"{root}/other")

    def test_directories_hold_names(self, layer: FileLayer, root: str) -> None:
        layer.mkdir(f"{root}/inner")
        for name in ("b", "a"):
            layer.open(f"{root}/inner/{name}", create=True).close()
        layer.fsync_dir(f"{root}/inner")
        layer.fsync_dir(root)
        assert layer.listdir(f"{root}/inner") == ["a", "b"]
        assert layer.listdir(root) == ["inner"]
        with pytest.raises(FileExistsError):
            layer.mkdir(f"{root}/inner")

    def test_a_renamed_file_replaces_another_and_stays_open(
        self, layer: FileLayer, root: str, file: File
    ) -> None:
        old = layer.open(f"{root}/old", create=True)
        old.pwrite(b"old", 0)
        file.pwrite(b"new", 0)
        layer.rename(f"{root}/file", f"{root}/old")
        file.pwrite(b"er", 3)
        assert layer.open(f"{root}/old").pread(9, 0) == b"newer"
        assert old.pread(9, 0) == b"old"
        assert not layer.exists(f"{root}/file")

    def test_a_renamed_directory_takes_its_files_along(self, layer: FileLayer, root: str) -> None:
        layer.mkdir(f"{root}/before")
        layer.mkdir(f"{root}/before/deep")
        layer.open(f"{root}/before/deep/file", create=True).pwrite(b"x", 0)
        layer.rename(f"{root}/before", f"{root}/after")
        assert layer.open(f"{root}/after/deep/file").pread(1, 0) == b"x"
        assert layer.listdir(root) == ["after"]

    def test_what_is_removed_is_gone_but_open_handles_work(
        self, layer: FileLayer, root: str, file: File
    ) -> None:
        file.pwrite(b"x", 0)
        layer.mkdir(f"{root}/inner")
        layer.remove(f"{root}/file")
        layer.remove(f"{root}/inner")
        assert file.pread(1, 0) == b"x"
        assert layer.listdir(root) == []
        with pytest.raises(FileNotFoundError):
            layer.remove(f"{root}/file")

    def test_a_directory_that_holds_something_is_not_removed(self, layer: FileLayer, root: str) -> None:
        layer.mkdir(f"{root}/inner")
        layer.open(f"{root}/inner/file", create=True).close()
        with pytest.raises(OSError) as refused:
            layer.remove(f"{root}/inner")
        assert refused.value.errno == errno.ENOTEMPTY

    def test_a_lock_has_one_holder(self, layer: FileLayer, root: str) -> None:
        lock = layer.lock(f"{root}/lock")
        assert layer.exists(f"{root}/lock")
        with pytest.raises(FarshoreError) as refused:
            layer.lock(f"{root}/lock")
        assert refused.value.code.name == "state-locked"
        lock.release()
        lock.release()
        layer.lock(f"{root}/lock").release()

    def test_closing_twice_has_no_effect(self, file: File) -> None:
        file.close()
        file.close()
