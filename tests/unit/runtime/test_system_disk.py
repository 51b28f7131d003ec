"""The files of the operating system behind the interface."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path, PurePath

import pytest

from disk_contract import DiskContract
from fluss_server.runtime import system_disk
from fluss_server.runtime.disk import Disk
from fluss_server.runtime.system_disk import SystemDisk


class TestSystemDisk(DiskContract):
    @pytest.fixture
    def disk(self) -> Disk:
        return SystemDisk()

    @pytest.fixture
    def root(self, tmp_path: Path) -> PurePath:
        return tmp_path


def test_a_replacement_that_cannot_be_synced_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SystemDisk()
    disk.replace_file(tmp_path / "a", b"old")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(system_disk, "_datasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            disk.replace_file(tmp_path / "a", b"new")
    assert disk.read_file(tmp_path / "a") == b"old"
    disk.replace_file(tmp_path / "a", b"newer")
    assert disk.list(tmp_path) == ["a"]


class SlowDisk(SystemDisk):
    """Names of directories become durable when it is allowed, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.allowed = threading.Event(), threading.Event()
        self.failure: OSError | None = None
        self.synced: list[PurePath] = []

    def sync_directory(self, path: PurePath) -> None:
        self.reached.set()
        assert self.allowed.wait(10.0)
        if self.failure is not None:
            raise self.failure
        self.synced.append(path)


def test_a_directory_that_another_thread_makes_is_there_when_its_name_is_durable(tmp_path: Path) -> None:
    disk = SlowDisk()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(disk.make_directories, tmp_path / "t")
        assert disk.reached.wait(10.0)
        second = pool.submit(disk.make_directories, tmp_path / "t" / "log-1")
        with pytest.raises(TimeoutError):
            second.result(timeout=0.1)
        disk.allowed.set()
        for future in (first, second):
            future.result(timeout=10.0)
    assert disk.synced == [tmp_path, tmp_path / "t"]


def test_a_name_that_could_not_be_made_durable_is_tried_again(tmp_path: Path) -> None:
    disk = SlowDisk()
    disk.allowed.set()
    disk.failure = OSError(errno.EIO, os.strerror(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        disk.make_directories(tmp_path / "t")
    disk.failure = None
    disk.make_directories(tmp_path / "t" / "log-1")
    assert disk.synced == [tmp_path, tmp_path / "t"]
    disk.make_directories(tmp_path / "t" / "log-1")
    assert disk.synced == [tmp_path, tmp_path / "t"]


def test_a_lock_can_be_taken_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process id in the file helps people; without space it is left out."""

    def fail(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", fail)
    lock = SystemDisk().lock(tmp_path)
    assert lock.acquire()
    assert not SystemDisk().lock(tmp_path).acquire()
    lock.release()


def test_cached_files_are_those_whose_ends_can_be_read_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SystemDisk()
    file = disk.open(tmp_path / "a", create=True)
    file.write([bytes(10_000)], 0)
    missing: set[int] = set()
    asked: list[int] = []

    def preadv(fd: int, buffers: list[bytearray], position: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        asked.append(position)
        if position // 4096 in missing:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return len(buffers[0])

    monkeypatch.setattr(os, "preadv", preadv)
    assert file.is_cached(100, 9000)
    assert asked == [100, 9099]
    missing.add(0)
    assert not file.is_cached(100, 9000)
    assert file.is_cached(5000, 10)
    missing.add(2)
    assert not file.is_cached(5000, 5000)


def test_a_file_system_that_cannot_tell_has_nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SystemDisk().open(tmp_path / "a", create=True)
    file.write([bytes(100)], 0)

    def preadv(*arguments: object) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "preadv", preadv)
    assert not file.is_cached(0, 100)
