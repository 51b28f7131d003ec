"""Offset and time index: entries, lookups, file images."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from fluss_server.log.index_file import IndexFile
from fluss_server.log.offset_index import OffsetIndex
from fluss_server.log.time_index import TimeIndex
from fluss_server.runtime import system_disk
from fluss_server.runtime.system_disk import SystemDisk

MAX_BYTES = 1 << 20


def offset_index(*entries: tuple[int, int]) -> OffsetIndex:
    index = OffsetIndex(100, MAX_BYTES)
    for last_offset, position in entries:
        index.add(last_offset, position)
    return index


def time_index(*entries: tuple[int, int]) -> TimeIndex:
    index = TimeIndex(100, MAX_BYTES)
    for timestamp, offset in entries:
        index.add(timestamp, offset)
    return index


def test_offset_lookups() -> None:
    index = offset_index((109, 500), (119, 900), (129, 1500))
    assert index.at_or_before(108) is None
    assert index.at_or_before(109) == (109, 500)
    assert index.at_or_before(128) == (119, 900)
    assert index.at_or_before(1000) == (129, 1500)
    assert index.within(899, 1000) == (109, 500)
    assert index.within(900, 1000) == (119, 900)
    assert index.within(5000, 119) == (109, 500)  # the batch of 119 does not end before 119
    assert index.within(5000, 120) == (119, 900)
    assert index.within(499, 1000) is None
    index.truncate(900)
    assert len(index) == 1
    assert index.last_position == 500


def test_offset_index_image() -> None:
    index = offset_index((109, 500), (119, 900))
    assert index.encode(0, 2) == struct.pack(">iiii", 9, 500, 19, 900)
    assert index.encode(1, 2) == struct.pack(">ii", 19, 900)
    loaded = OffsetIndex(100, MAX_BYTES)
    assert loaded.load(index.encode(0, 2), 901, 120)
    assert loaded.at_or_before(119) == (119, 900)


@pytest.mark.parametrize(
    "entries",
    [
        [(9, 500), (9, 900)],
        [(9, 500), (8, 900)],
        [(9, 500), (19, 500)],
        [(9, 900), (19, 500)],
        [(9, 0)],
        [(9, 500), (20, 900)],  # behind the end offset
        [(9, 500), (19, 1000)],  # behind the end of the file
        [(-1, 500)],
        [(9, -1)],
        [(9, 500), (0, 0)],  # what preallocation leaves
    ],
)
def test_untrue_offset_entries_are_refused(entries: list[tuple[int, int]]) -> None:
    index = OffsetIndex(100, MAX_BYTES)
    assert not index.load(b"".join(struct.pack(">ii", *entry) for entry in entries), 1000, 120)
    assert len(index) == 0


def test_partial_entries_are_refused() -> None:
    assert not OffsetIndex(100, MAX_BYTES).load(b"1234567", 1000, 120)
    assert not TimeIndex(100, MAX_BYTES).load(b"12345678901", 120)


def test_time_lookups() -> None:
    index = time_index((1000, 100), (1000, 105), (999, 106), (1005, 110))
    assert len(index) == 2  # timestamps grow strictly
    assert index.at_or_before(999) is None
    assert index.at_or_before(1004) == (1000, 100)
    assert index.at_or_before(1005) == index.last == (1005, 110)
    index.truncate(110)
    assert index.last == (1000, 100)


def test_time_index_image() -> None:
    index = time_index((-1, 100), (1 << 40, 110))
    assert index.encode(0, 2) == struct.pack(">qiqi", -1, 0, 1 << 40, 10)
    loaded = TimeIndex(100, MAX_BYTES)
    assert loaded.load(index.encode(0, 2), 111)
    assert loaded.last == (1 << 40, 110)


@pytest.mark.parametrize("entries", [[(5, 0), (5, 1)], [(5, 0), (4, 1)], [(5, 1), (6, 0)], [(5, 11)], [(5, -1)]])
def test_untrue_time_entries_are_refused(entries: list[tuple[int, int]]) -> None:
    index = TimeIndex(100, MAX_BYTES)
    assert not index.load(b"".join(struct.pack(">qi", *entry) for entry in entries), 111)
    assert len(index) == 0


def test_full() -> None:
    offsets, times = OffsetIndex(0, 17), TimeIndex(0, 36)
    offsets.add(1, 10)
    times.add(1, 1)
    assert not offsets.is_full
    assert not times.is_full
    offsets.add(2, 20)
    times.add(2, 2)
    assert offsets.is_full
    assert times.is_full  # one entry is kept free for closing the segment


def test_index_file_holds_exactly_the_entries_written(tmp_path: Path) -> None:
    path = tmp_path / "x.index"
    path.write_bytes(b"garbage of a crash")
    file = IndexFile(path, OffsetIndex.ENTRY_BYTES, SystemDisk())
    index = offset_index((109, 500), (119, 900), (129, 1500))
    file.write(index, 1)
    assert path.read_bytes() == index.encode(0, 1)
    file.write(index, 3)
    assert path.read_bytes() == index.encode(0, 3)
    assert file.read(2) == index.encode(0, 2)
    assert file.read(4) is None
    assert file.read(None) == index.encode(0, 3)
    assert file.read_last() == index.encode(2, 3)
    index.truncate(1500)
    file.limit_written(2)
    index.add(139, 1600)
    file.write(index, 3)
    assert path.read_bytes() == index.encode(0, 3)
    file.delete()
    assert file.read(None) is None
    assert file.read_last() is None


def test_after_an_error_the_whole_index_file_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.index"
    file = IndexFile(path, OffsetIndex.ENTRY_BYTES, SystemDisk())
    index = offset_index((109, 500), (119, 900))
    file.write(index, 1)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(system_disk, "_datasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            file.write(index, 2)
    path.write_bytes(bytes(16))  # what the kernel had left of it
    file.write(index, 2)
    assert path.read_bytes() == index.encode(0, 2)
