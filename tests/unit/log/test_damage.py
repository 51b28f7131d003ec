"""Damaged batches: what readers get, what is remembered, and what the background check finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import iter_batches
from fluss_server.log import checked_ranges, log_segment, segment_checks, stored_batches
from fluss_server.log.batch_selection import select_batches
from fluss_server.log.checked_ranges import CheckedRange, CheckedRanges
from fluss_server.log.damage import BatchDamagedError, UncheckedError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.log_view import LogSlice
from fluss_server.log.scrub import ScrubPosition
from fluss_server.log.segment_checks import SegmentChecks
from fluss_server.log.stored_batches import check_stored_batches
from fluss_server.runtime import ManualClock
from fluss_server.runtime.system_disk import SystemDisk, SystemFile
from log_support import NOW_MS, all_batches, make_batch, open_log, segment_files, with_statistics

SETTINGS: dict[str, Any] = {"segment_bytes": 1000, "index_interval_bytes": 250, "recovery_point_bytes": 1}


def filled(directory: Path, count: int = 25, clock: ManualClock | None = None) -> LogTablet:
    """Batches of 100 bytes and one row, ten in a segment."""
    log = open_log(directory, clock, **SETTINGS)
    for number in range(count):
        log.append(make_batch(fill=bytes([65 + number])))
    log.flush()
    return log


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def flip_back(path: Path, position: int) -> Callable[[], None]:
    flip(path, position)
    return lambda: flip(path, position)


def offsets(log: LogTablet, offset: int, max_bytes: int = 1 << 20) -> list[int]:
    found = log.read(offset, max_bytes, log.end_offset, at_least_one=True)
    assert found is not None
    return [header.base_offset for _, header in iter_batches(found.region.read())]


@pytest.mark.parametrize("reopened", [True, False], ids=["opened again", "still open"])
def test_a_flipped_bit_is_an_error_with_its_offset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reopened: bool
) -> None:
    log = filled(tmp_path)
    if reopened:
        log.close()
    flip(segment_files(tmp_path)[0], 560)
    if reopened:
        log = open_log(tmp_path, **SETTINGS)
    assert offsets(log, 0) == [0, 1, 2, 3, 4]  # what lies in front of it
    for _ in range(3):
        with pytest.raises(FlussError, match="offset 5, position 500: its CRC does not match") as caught:
            log.read(5, 1 << 20, 25, at_least_one=True)
        assert caught.value.code is ErrorCode.CORRUPT_MESSAGE
        assert caught.value.hint is not None
    assert offsets(log, 9) == [9]  # the next batch in the index is the seventh
    assert offsets(log, 10) == list(range(10, 20))
    assert [error.offset for error in log.damage] == [5]
    assert log.damage_count == 1
    assert caplog.text.count("its CRC does not match") == 1


def test_what_was_checked_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path)
    checked: list[tuple[int, int]] = []

    def counted(file: object, position: int, offset: int, limit: int, end: int) -> stored_batches.CheckResult:
        checked.append((position, limit))
        return check_stored_batches(file, position, offset, limit, end)  # type: ignore[arg-type]

    monkeypatch.setattr(segment_checks, "check_stored_batches", counted)
    assert offsets(log, 2, 300) == [2, 3, 4]
    assert checked == [(0, 200), (200, 500)]  # the index begins with batch 3
    assert offsets(log, 3, 100) == [3]
    assert offsets(log, 0, 500) == [0, 1, 2, 3, 4]
    assert len(checked) == 2
    assert offsets(log, 4) == list(range(4, 10))
    assert checked[2:] == [(500, 1000)]
    assert offsets(log, 20) == [20, 21, 22, 23, 24]  # appended by this process, and checked then
    assert len(checked) == 3
    log.close()
    log = open_log(tmp_path, **SETTINGS)
    assert offsets(log, 0) == list(range(10))
    assert offsets(log, 21) == [21, 22, 23, 24]
    assert checked[3:] == [(0, 1000), (0, 100), (100, 500)]


def refuse(batches: LogSlice | None) -> bool:
    return False


def test_the_event_loop_reads_only_what_is_checked(tmp_path: Path) -> None:
    log = filled(tmp_path)
    assert log.read(21, 1000, 25, at_least_one=True, may_check=refuse) is not None
    with pytest.raises(UncheckedError):
        log.read(3, 1000, 25, at_least_one=True, may_check=refuse)
    assert offsets(log, 3, 200) == [3, 4]
    assert log.read(4, 100, 25, at_least_one=True, may_check=refuse) is not None
    with pytest.raises(UncheckedError):
        log.read(4, 200, 25, at_least_one=True, may_check=refuse)


def test_a_damaged_header_does_not_make_a_filter_leave_a_batch_out(tmp_path: Path) -> None:
    log = open_log(tmp_path, **SETTINGS)
    for number in range(6):
        log.append(with_statistics(make_batch(fill=bytes([65 + number])), b"wanted", 1))
    log._appender.roll()
    flip(segment_files(tmp_path)[0], 3 * 110 + 52)  # its statistics

    def select(offset: int) -> tuple[int, int]:
        found = select_batches(
            log,
            offset,
            1 << 20,
            6,
            lambda _, statistics: bytes(statistics) == b"wanted",
            at_least_one=True,
            max_examined=9,
        )
        return found.size_bytes // 110, found.next_offset

    assert select(0) == (3, 3)
    with pytest.raises(BatchDamagedError, match="offset 3"):
        select(3)


def test_a_replay_stops_at_the_damage(tmp_path: Path) -> None:
    log = filled(tmp_path)
    flip(segment_files(tmp_path)[1], 560)
    with pytest.raises(BatchDamagedError, match="offset 15"):
        all_batches(log)
    assert [header.base_offset for header, _ in log.batches(0, 15)] == list(range(15))
    assert log.damage_count == 1


def test_an_index_is_not_rebuilt_from_a_damaged_segment_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path)
    flip(segment_files(tmp_path)[0], 300)  # the base offset of a batch in the index
    attempts: list[None] = []
    rebuild = log_segment.LogSegment.rebuild_indexes

    def counted(segment: log_segment.LogSegment) -> None:
        attempts.append(None)
        rebuild(segment)

    monkeypatch.setattr(log_segment.LogSegment, "rebuild_indexes", counted)
    for _ in range(3):
        with pytest.raises(BatchDamagedError, match="offset 3, position 300: it has offset 2 instead of 3"):
            log.read(5, 100, 25, at_least_one=True)
    assert len(attempts) == 1
    assert offsets(log, 0) == [0, 1, 2]


def test_truncation_and_retention_forget_damage_that_is_gone(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path, clock, **SETTINGS)
    for _ in range(35):
        log.append(make_batch())
    log.flush()
    for number in (0, 1, 2):
        flip(segment_files(tmp_path)[number], 560)
        with pytest.raises(BatchDamagedError):
            log.read(number * 10 + 5, 100, 35, at_least_one=True)
    assert log.truncate(25) == 25
    assert [error.offset for error in log.damage] == [5, 15]
    clock.advance(10**6)
    log.delete_expired(1000, 20, roll_active=False)
    assert log.damage == []
    assert log.damage_count == 3


# ---------------------------------------------------------------- in the background


def scrub_all(log: LogTablet, max_bytes: int) -> list[int]:
    """Bytes checked in each step."""
    steps, position = [], None
    while True:
        step = log.scrub(position, max_bytes)
        steps.append(step.checked_bytes)
        position = step.following
        if position is None:
            return steps
        assert len(steps) < 1000


@pytest.mark.parametrize(("max_bytes", "steps"), [(1, 25), (250, 9), (1 << 20, 3)])
def test_scrubbing_finds_damage_that_nobody_has_read(tmp_path: Path, max_bytes: int, steps: int) -> None:
    log = filled(tmp_path)
    assert (
        scrub_all(log, max_bytes) == [2500 // steps] * steps if steps == 25 else sum(scrub_all(log, max_bytes)) == 2500
    )
    assert not log.damage
    undo = [flip_back(path, 560) for path in segment_files(tmp_path)[:2]]
    scrub_all(log, max_bytes)
    assert [error.offset for error in log.damage] == [5, 15]
    scrub_all(log, max_bytes)
    assert log.damage_count == 2
    undo[0]()
    scrub_all(log, max_bytes)
    assert [error.offset for error in log.damage] == [15]


def test_scrubbing_takes_no_descriptor_from_readers(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.close()
    log = open_log(tmp_path, **SETTINGS)
    scrub_all(log, 1 << 20)
    assert not any(segment.is_loaded for segment in log._state.view.segments[:-1])


def test_scrubbing_goes_on_behind_what_was_deleted(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = filled(tmp_path, clock=clock)
    assert log.scrub(ScrubPosition(0, 500, 5), 100) == (100, ScrubPosition(0, 600, 6))
    clock.advance(10**9)
    assert log.delete_expired(1, 20, roll_active=False) == 2
    assert log.scrub(ScrubPosition(0, 600, 6), 1 << 20) == (500, None)
    log.truncate(22)
    assert log.scrub(ScrubPosition(20, 400, 24), 100) == (0, ScrubPosition(22, 0, 22))
    assert log.scrub(ScrubPosition(22, 0, 22), 100) == (0, None)


def test_a_truncation_during_a_scrub_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fluss_server.log import scrub as module

    log = filled(tmp_path)

    def truncating(*arguments: object) -> stored_batches.CheckResult:
        log.truncate(22)
        return check_stored_batches(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "check_stored_batches", truncating)
    log.scrub(ScrubPosition(20, 0, 20), 1 << 20)
    assert not log.damage


# ---------------------------------------------------------------- its parts


@pytest.mark.parametrize("chunk", [60, 1000, 1 << 20])
def test_checking_stored_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(stored_batches, "CHUNK_BYTES", chunk)
    log = open_log(tmp_path, segment_bytes=1 << 20)
    sizes = [48, 100, 5000, 48, 300_000, 99]
    for size in sizes:
        log.append(make_batch(0 if size == 48 else 3, size))
    end, path = sum(sizes), segment_files(tmp_path)[0]
    file = SystemDisk().open(path)
    assert check_stored_batches(file, 0, 0, end, end) == (end, log.end_offset, None)
    assert check_stored_batches(file, 48, 1, 49, end) == (148, 4, None)
    assert check_stored_batches(file, 48, 2, end, end)[::2] == (48, "it has offset 1 instead of 2")
    assert check_stored_batches(file, 0, 0, end, end - 1).damage == "it cannot have 99 bytes"
    assert check_stored_batches(file, end - 99, log.end_offset - 3, end + 9, end + 9).damage == "the file ends in it"
    position = 0
    for size in sizes:
        for at in (position, position + 8, position + 12, position + 25, position + size - 1):
            flip(path, at)
            assert check_stored_batches(file, 0, 0, end, end).position == position
            flip(path, at)
        position += size


def test_a_check_reads_every_byte_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 170 KB do not fit into a buffer together."""
    log = open_log(tmp_path, segment_bytes=1 << 30)
    for _ in range(12):
        log.append(make_batch(3, 170_000))
    end = 12 * 170_000
    read = 0
    whole, read_into = SystemFile.read, SystemFile.read_into

    def count(file: SystemFile, length: int, position: int) -> bytes:
        nonlocal read
        data = whole(file, length, position)
        read += len(data)
        return data

    def count_into(file: SystemFile, target: memoryview, position: int) -> int:
        nonlocal read
        done = read_into(file, target, position)
        read += done
        return done

    monkeypatch.setattr(SystemFile, "read", count)
    monkeypatch.setattr(SystemFile, "read_into", count_into)
    assert check_stored_batches(SystemDisk().open(segment_files(tmp_path)[0]), 0, 0, end, end) == (end, 36, None)
    assert end <= read <= end * 1.01
    read = 0
    assert check_stored_batches(SystemDisk().open(segment_files(tmp_path)[0]), 0, 0, 1, end) == (170_000, 3, None)
    assert 170_000 <= read <= 170_000 * 1.01


def test_ranges_merge_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = CheckedRanges().adding(CheckedRange(10, 20, 2)).adding(CheckedRange(40, 50, 5))
    assert ranges.at(9) is None
    assert ranges.at(20) == (10, 20, 2)
    assert ranges.adding(CheckedRange(20, 40, 4)).at(15) == (10, 50, 5)
    assert ranges.adding(CheckedRange(0, 45, 9)).at(0) == (0, 50, 5)
    assert len(ranges.adding(CheckedRange(21, 39, 4))) == 3
    monkeypatch.setattr(checked_ranges, "MAX_RANGES", 2)
    ranges = ranges.adding(CheckedRange(60, 65, 7))
    assert ranges.at(62) is None
    assert ranges.adding(CheckedRange(60, 80, 7)).at(62) == (60, 80, 7)
    assert len(ranges) == 2


def test_another_reader_may_check_further_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path)
    is_checked = SegmentChecks.is_checked

    def overtaken(checks: SegmentChecks, *arguments: int) -> bool:
        known = is_checked(checks, *arguments)
        monkeypatch.undo()
        assert offsets(log, 0) == list(range(10))  # the other reader, before this one goes on
        return known

    monkeypatch.setattr(SegmentChecks, "is_checked", overtaken)
    assert offsets(log, 2, 300) == [2, 3, 4]
    assert not log.damage
