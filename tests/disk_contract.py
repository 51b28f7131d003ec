"""What every :class:`~fluss_server.runtime.disk.Disk` does, whether its files are real or simulated."""

from __future__ import annotations

import errno
from pathlib import PurePath

import pytest

from fluss_server.runtime.disk import Disk, FileRegion


class DiskContract:
    """Tests of the interface; a subclass has fixtures ``disk`` and ``root``, an empty directory on it."""

    # ------------------------------------------------------------------ open files

    def test_a_file_is_created_only_when_asked(self, disk: Disk, root: PurePath) -> None:
        with pytest.raises(FileNotFoundError):
            disk.open(root / "a")
        file = disk.open(root / "a", create=True)
        assert file.path == root / "a"
        assert file.size() == 0
        file.write([b"kept"], 0)
        assert disk.open(root / "a", create=True).size() == 4
        with pytest.raises(FileNotFoundError):
            disk.open(root / "missing" / "a", create=True)

    def test_pieces_are_written_one_behind_the_other(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.write([b"one", bytearray(b"two"), memoryview(b"three"), b""], 0)
        file.write([b"TWO"], 3)
        file.write([], 5)
        assert file.read(100, 0) == b"oneTWOthree"
        file.write([b"%d," % number for number in range(3000)], 0)
        assert file.read(100_000, 0) == b"".join(b"%d," % number for number in range(3000))

    def test_a_gap_is_zeros(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.write([b"x"], 3)
        assert file.read(10, 0) == b"\0\0\0x"
        file.truncate(6)
        assert (file.size(), file.read(10, 0)) == (6, b"\0\0\0x\0\0")

    def test_reads_are_short_only_at_the_end(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.write([bytes(range(10))], 0)
        assert file.read(4, 3) == bytes([3, 4, 5, 6])
        assert file.read(4, 8) == bytes([8, 9])
        assert file.read(4, 10) == file.read(4, 99) == file.read(0, 0) == b""
        target = memoryview(bytearray(4))
        assert (file.read_into(target, 3), bytes(target)) == (4, bytes([3, 4, 5, 6]))
        assert (file.read_into(target, 8), bytes(target[:2])) == (2, bytes([8, 9]))
        assert file.read_into(target, 10) == 0

    def test_truncation(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.write([b"0123456789"], 0)
        file.truncate(4)
        assert (file.size(), file.read(10, 0)) == (4, b"0123")
        file.write([b"x"], 5)
        assert file.read(10, 0) == b"0123\0x"

    def test_what_is_synced_can_still_be_read(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.write([b"abc"], 0)
        file.sync()
        file.drop_cached_pages(0)
        assert file.is_cached(0, 3) in (False, True)
        assert file.read(3, 0) == b"abc"

    def test_two_handles_see_the_same_file(self, disk: Disk, root: PurePath) -> None:
        writer, reader = disk.open(root / "a", create=True), disk.open(root / "a", read_only=True)
        writer.write([b"abc"], 0)
        assert reader.read(10, 0) == b"abc"
        assert reader.size() == 3
        with pytest.raises(OSError, match="descriptor") as caught:
            reader.write([b"x"], 0)
        assert caught.value.errno == errno.EBADF

    def test_an_open_file_outlives_its_name(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.write([b"old"], 0)
        region = FileRegion(file, 1, 2)
        disk.remove(root / "a")
        disk.open(root / "a", create=True).write([b"new"], 0)
        assert file.read(3, 0) == b"old"
        assert region.read() == b"ld"
        assert region.part(2, 1).read() == b"d"
        assert disk.read_file(root / "a") == b"new"

    def test_a_closed_file_cannot_be_used(self, disk: Disk, root: PurePath) -> None:
        file = disk.open(root / "a", create=True)
        file.close()
        file.close()
        with pytest.raises(OSError, match="descriptor"):
            file.read(1, 0)
        with pytest.raises(OSError, match="descriptor"):
            file.write([b"x"], 0)

    # ------------------------------------------------------------------ whole files

    def test_whole_files_are_replaced(self, disk: Disk, root: PurePath) -> None:
        with pytest.raises(FileNotFoundError):
            disk.read_file(root / "a")
        disk.replace_file(root / "a", b"a long first content")
        disk.replace_file(root / "a", b"second", mode=0o600)
        assert disk.read_file(root / "a") == b"second"
        assert disk.list(root) == ["a"]
        assert disk.status(root / "a").permissions == 0o600
        assert disk.status(root / "a").size_bytes == disk.size(root / "a") == 6

    def test_the_identity_changes_with_the_content(self, disk: Disk, root: PurePath) -> None:
        disk.replace_file(root / "a", b"one")
        before = disk.status(root / "a").identity
        assert disk.status(root / "a").identity == before
        disk.replace_file(root / "a", b"two")
        assert disk.status(root / "a").identity != before

    # ------------------------------------------------------------------ names

    def test_names(self, disk: Disk, root: PurePath) -> None:
        disk.make_directories(root / "d" / "e")
        disk.make_directories(root / "d" / "e")
        for name in ("b", "a", "c"):
            disk.open(root / name, create=True).close()
        assert disk.list(root) == ["a", "b", "c", "d"]
        assert disk.list(root / "d") == ["e"]
        assert disk.exists(root / "a")
        assert disk.exists(root / "d")
        assert not disk.exists(root / "x")
        assert disk.is_directory(root / "d")
        assert not disk.is_directory(root / "a")
        assert not disk.is_directory(root / "x")
        with pytest.raises(FileNotFoundError):
            disk.list(root / "x")
        with pytest.raises(FileNotFoundError):
            disk.size(root / "x")
        disk.sync_directory(root)
        with pytest.raises(FileNotFoundError):
            disk.sync_directory(root / "x")

    def test_renaming_replaces_a_file_and_moves_a_directory(self, disk: Disk, root: PurePath) -> None:
        disk.replace_file(root / "a", b"a")
        disk.replace_file(root / "b", b"b")
        disk.rename(root / "a", root / "b")
        assert disk.list(root) == ["b"]
        assert disk.read_file(root / "b") == b"a"
        disk.make_directories(root / "d" / "e")
        disk.replace_file(root / "d" / "e" / "f", b"f")
        disk.rename(root / "d", root / "moved")
        assert disk.read_file(root / "moved" / "e" / "f") == b"f"
        with pytest.raises(FileNotFoundError):
            disk.rename(root / "missing", root / "b")

    def test_removing(self, disk: Disk, root: PurePath) -> None:
        disk.replace_file(root / "a", b"a")
        disk.remove(root / "a")
        with pytest.raises(FileNotFoundError):
            disk.remove(root / "a")
        disk.remove(root / "a", missing_ok=True)
        disk.make_directories(root / "d" / "e")
        with pytest.raises(OSError, match="not empty") as caught:
            disk.remove_directory(root / "d")
        assert caught.value.errno == errno.ENOTEMPTY
        disk.remove_directory(root / "d" / "e")
        disk.remove_directory(root / "d")
        assert disk.list(root) == []
        disk.make_directories(root / "d" / "e")
        disk.replace_file(root / "d" / "e" / "f", b"f")
        disk.remove_tree(root / "d")
        disk.remove_tree(root / "d")
        assert disk.list(root) == []

    def test_usage_and_native_path(self, disk: Disk, root: PurePath) -> None:
        usage = disk.usage(root)
        assert 0 <= usage.free_bytes <= usage.total_bytes
        assert disk.native_path(root / "rocks")
        assert disk.is_directory(root / "rocks")

    # ------------------------------------------------------------------ locks

    def test_a_directory_is_locked_once_until_released(self, disk: Disk, root: PurePath) -> None:
        first, second = disk.lock(root), disk.lock(root)
        second.release()
        assert first.acquire()
        assert not second.acquire()
        first.release()
        assert second.acquire()
        second.release()
