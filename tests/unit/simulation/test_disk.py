"""What a loss of power may leave on the simulated disk, and what it may not."""

from __future__ import annotations

import errno
from pathlib import Path, PurePath, PurePosixPath
from random import Random

import pytest

from disk_contract import DiskContract
from fluss_server.runtime.disk import Disk
from fluss_server.simulation.disk import DiskView, SimulatedDisk

DATA = PurePosixPath("/data")
FILE = DATA / "file"


class TestSimulatedDisk(DiskContract):
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Disk:
        return disk_of(tmp_path)[1]

    @pytest.fixture
    def root(self) -> PurePath:
        return DATA


def disk_of(scratch: Path, seed: int = 1, capacity_bytes: int = 1 << 30) -> tuple[SimulatedDisk, DiskView]:
    disk = SimulatedDisk(scratch, Random(seed), capacity_bytes=capacity_bytes)
    view = disk.view()
    view.make_directories(DATA)
    return disk, view


def write(view: DiskView, data: bytes, position: int = 0, *, sync: bool = True, name: bool = True) -> None:
    file = view.open(FILE, create=True)
    file.write([data[:1], data[1:]], position)
    if sync:
        file.sync()
    if name:
        view.sync_directory(DATA)


def contents(tmp_path: Path, prepare: object) -> set[bytes | None]:
    """What hundred losses of power leave of the file."""
    found: set[bytes | None] = set()
    for seed in range(100):
        scratch = tmp_path / str(seed)
        scratch.mkdir()
        disk, view = disk_of(scratch, seed)
        prepare(view)  # type: ignore[operator]
        disk.lose_power()
        found.add(disk.view().read_file(FILE) if disk.view().exists(FILE) else None)
    return found


def test_what_was_synced_stays(tmp_path: Path) -> None:
    assert contents(tmp_path, lambda view: write(view, b"abc")) == {b"abc"}


def test_a_name_that_was_not_synced_may_be_lost(tmp_path: Path) -> None:
    assert contents(tmp_path, lambda view: write(view, b"abc", name=False)) == {b"abc", None}


def test_bytes_that_were_not_synced_may_be_lost_or_torn(tmp_path: Path) -> None:
    def prepare(view: DiskView) -> None:
        write(view, b"a" * 1024)
        write(view, b"b" * 1024, sync=False)

    found = contents(tmp_path, prepare)
    assert all(data is not None and set(data) <= set(b"ab") and len(data) == 1024 for data in found)
    assert {b"a" * 1024, b"b" * 1024} < found


def test_a_replaced_file_is_old_or_new(tmp_path: Path) -> None:
    def prepare(view: DiskView) -> None:
        view.replace_file(FILE, b"old")
        file = view.open(DATA / "next", create=True)
        file.write([b"new"], 0)
        file.sync()
        view.rename(DATA / "next", FILE)

    assert contents(tmp_path, prepare) == {b"old", b"new"}


def test_a_removed_file_may_come_back(tmp_path: Path) -> None:
    def prepare(view: DiskView) -> None:
        write(view, b"abc")
        view.remove(FILE)

    assert contents(tmp_path, prepare) == {b"abc", None}


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    disk, view = disk_of(tmp_path)
    write(view, b"abc", sync=False, name=False)
    disk.kill_processes()
    assert disk.view().read_file(FILE) == b"abc"


def test_after_a_failed_sync_a_second_one_promises_nothing(tmp_path: Path) -> None:
    """As Linux does it: the pages count as clean although they were never written."""
    disk, view = disk_of(tmp_path)
    write(view, b"abc")
    file = view.open(FILE)
    file.write([b"xyz"], 0)
    disk.fail_next("sync", "file", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()
    assert view.read_file(FILE) == b"xyz"
    disk.lose_power()
    assert disk.view().read_file(FILE) == b"abc"


def test_dropping_pages_shows_what_is_on_the_disk(tmp_path: Path) -> None:
    disk, view = disk_of(tmp_path)
    write(view, b"abc")
    file = view.open(FILE)
    file.write([b"x"], 0)
    disk.fail_next("sync", "file", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.write([b"y"], 1)
    file.drop_cached_pages(0)
    assert file.read(10, 0) == b"ayc"


def test_a_full_disk(tmp_path: Path) -> None:
    _, view = disk_of(tmp_path, capacity_bytes=10)
    write(view, b"12345678")
    with pytest.raises(OSError, match="No space"):
        write(view, b"abc", 8)
    write(view, b"xy", 8)
    view.open(FILE).truncate(4)
    assert view.usage(DATA).free_bytes == 6
    view.remove(FILE)
    assert view.usage(DATA).free_bytes == 10


def test_the_view_of_a_killed_process_is_useless(tmp_path: Path) -> None:
    _, view = disk_of(tmp_path)
    file = view.open(FILE, create=True)
    view.detach()
    for call in (lambda: file.write([b"a"], 0), lambda: view.list(DATA), file.sync):
        with pytest.raises(OSError, match="was killed"):
            call()


def test_directories_of_libraries_are_real_and_copied_at_a_crash(tmp_path: Path) -> None:
    disk, view = disk_of(tmp_path)
    first = Path(view.native_path(DATA / "kv" / "db"))
    (first / "a").write_bytes(b"1")
    disk.kill_processes()
    (first / "a").write_bytes(b"written by a process that is gone")
    second = Path(disk.view().native_path(DATA / "kv" / "db"))
    assert (second / "a").read_bytes() == b"1"
    view.rename(DATA / "kv", DATA / "deleted")
    assert view.list(DATA / "deleted" / "db") == ["a"]
    view.remove_tree(DATA / "deleted")
    assert view.list(DATA) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    disk, view = disk_of(tmp_path)
    assert view.lock(DATA).acquire()
    assert not disk.view().lock(DATA).acquire()
    disk.kill_processes()
    assert disk.view().lock(DATA).acquire()
