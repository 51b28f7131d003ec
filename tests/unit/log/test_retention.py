"""Old segments go; what is needed stays, whatever happens meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_segment import LogSegment
from fluss_server.log.log_tablet import LogTablet
from fluss_server.log.recovery_point import RecoveryPoint
from fluss_server.log.retention import SegmentAge, count_expired, is_expired
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.disk import Disk
from log_support import NOW_MS, all_batches, copy_directory, directory_of, make_batch, open_log, read_all, segment_files

SETTINGS: dict[str, Any] = {"segment_bytes": 200, "index_interval_bytes": 50}
TTL_MS = 1000


# ---------------------------------------------------------------------- the decision


def test_a_time_to_live_is_over_one_millisecond_behind_it() -> None:
    assert not is_expired(SegmentAge(5, 1000), 2000, 1000)
    assert is_expired(SegmentAge(5, 1000), 2001, 1000)
    assert not is_expired(SegmentAge(5, 1000), 10**15, 0)


@given(
    ages=st.lists(st.tuples(st.integers(1, 9), st.integers(-1, 20)), max_size=8),
    now_ms=st.integers(0, 40),
    ttl_ms=st.integers(0, 20),
    limit=st.integers(0, 80),
)
def test_expired_segments_are_the_longest_prefix(
    ages: list[tuple[int, int]], now_ms: int, ttl_ms: int, limit: int
) -> None:
    offset, sealed = 0, []
    for length, timestamp in ages:
        offset += length
        sealed.append(SegmentAge(offset, timestamp))
    count = count_expired(sealed, now_ms=now_ms, ttl_ms=ttl_ms, limit=limit)

    def may_go(segment: SegmentAge) -> bool:
        return ttl_ms > 0 and segment.max_timestamp < now_ms - ttl_ms and segment.next_offset <= limit

    assert all(map(may_go, sealed[:count]))
    assert count == len(sealed) or not may_go(sealed[count])


# ---------------------------------------------------------------------- the log


def filled(directory: Path, clock: ManualClock, batches: int = 8) -> LogTablet:
    """Two rows per batch, two batches per segment, one second per batch."""
    log = open_log(directory, clock, **SETTINGS)
    for number in range(batches):
        log.append(make_batch(2, writer_id=number % 2, sequence=number // 2))
        clock.advance(1000)
    log.flush()
    return log


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> LogTablet:
    return filled(tmp_path / "log", clock)


def test_segments_go_from_the_oldest_on(log: LogTablet, clock: ManualClock) -> None:
    before = all_batches(log)
    assert [int(path.stem) for path in segment_files(directory_of(log))] == [0, 4, 8, 12]
    # Batches were appended 8, 7, ... 1 s ago; a segment has the age of its second one.
    assert log.delete_expired(5000, log.end_offset, roll_active=False) == 1
    assert (log.start_offset, log.end_offset) == (4, 16)
    assert all_batches(log) == before[2:]
    assert read_all(log, 100) == b"".join(data for _, data in before[2:])
    assert log.size_bytes == 600
    assert sorted(path.name for path in directory_of(log).iterdir() if path.stem == f"{0:020d}") == []
    with pytest.raises(FlussError) as caught:
        log.read(3, 100, 16, at_least_one=True)
    assert caught.value.code is ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION
    assert log.offset_for_timestamp(NOW_MS) == 4  # the first batch that there is
    assert log.offset_for_timestamp(NOW_MS + 3000) == 6


def test_a_time_to_live_of_zero_keeps_everything(log: LogTablet, clock: ManualClock) -> None:
    clock.advance(10**12)
    assert log.delete_expired(0, log.end_offset, roll_active=True) == 0
    assert log.start_offset == 0


def test_what_is_needed_stays(log: LogTablet, clock: ManualClock) -> None:
    clock.advance(10**9)
    assert log.expired_until(TTL_MS, roll_active=False) == 12
    assert log.delete_expired(TTL_MS, 7, roll_active=False) == 1
    assert log.delete_expired(TTL_MS, 7, roll_active=True) == 0
    assert log.start_offset == 4
    assert log.delete_expired(TTL_MS, 8, roll_active=False) == 1
    assert log.start_offset == 8


def test_the_active_segment_stays_unless_it_may_be_sealed(log: LogTablet, clock: ManualClock) -> None:
    clock.advance(10**9)
    assert log.delete_expired(TTL_MS, 16, roll_active=False) == 3
    assert (log.start_offset, log.end_offset) == (12, 16)
    assert log.expired_until(TTL_MS, roll_active=False) == 12
    assert log.expired_until(TTL_MS, roll_active=True) == 16
    assert log.delete_expired(TTL_MS, 15, roll_active=True) == 0  # its last row is needed
    assert log.delete_expired(TTL_MS, 16, roll_active=True) == 1
    assert (log.start_offset, log.end_offset, log.size_bytes) == (16, 16, 0)
    assert log.expired_until(TTL_MS, roll_active=True) == 16
    assert log.delete_expired(TTL_MS, 16, roll_active=True) == 0  # an empty segment is not sealed again and again
    reopened = open_log(directory_of(log), clock, **SETTINGS)
    assert (reopened.start_offset, reopened.end_offset) == (16, 16)
    assert reopened.append(make_batch(2, writer_id=1, sequence=4)).base_offset == 16  # the writer is still known


def test_writers_outlive_their_batches(log: LogTablet, clock: ManualClock) -> None:
    clock.advance(10**6)
    log.delete_expired(TTL_MS, 16, roll_active=True)
    for again in (log, open_log(directory_of(log), clock, **SETTINGS)):
        assert again.append(make_batch(2, writer_id=0, sequence=3)).duplicate
    (directory_of(log) / "recovery-point").unlink()
    assert open_log(directory_of(log), clock, **SETTINGS).append(make_batch(2, writer_id=0, sequence=3)).duplicate


def test_readers_in_a_deleted_segment_go_on(log: LogTablet, clock: ManualClock) -> None:
    first = all_batches(log)[0][1]
    piece = log.read(0, 100, 16, at_least_one=True)
    assert piece is not None
    clock.advance(10**9)
    log.delete_expired(TTL_MS, 16, roll_active=True)
    assert piece.region.read() == first


def test_files_of_deleted_segments_are_not_held_open(log: LogTablet, clock: ManualClock) -> None:
    """Their space would not come back."""
    for offset in (0, 4, 8):
        log.read(offset, 100, 16, at_least_one=True)
    clock.advance(10**9)
    log.delete_expired(TTL_MS, 16, roll_active=True)
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd != "0" and _is_open(fd)]
    assert [path for path in held if path.startswith(str(directory_of(log))) and path.endswith(" (deleted)")] == []


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_a_reader_that_meets_a_deletion_is_told_the_range(
    log: LogTablet, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked at the log before, and opens the file after its deletion."""
    reopened = open_log(copy_directory(directory_of(log), directory_of(log).with_name("copy")), clock, **SETTINGS)
    clock.advance(10**9)
    position_of = LogSegment.position_of

    def late(segment: LogSegment, offset: int, size: int) -> tuple[int, int, int]:
        reopened.delete_expired(TTL_MS, 16, roll_active=False)
        return position_of(segment, offset, size)

    monkeypatch.setattr(LogSegment, "position_of", late)
    with pytest.raises(FlussError) as caught:
        reopened.read(0, 100, 16, at_least_one=True)
    assert caught.value.code is ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION


# ---------------------------------------------------------------------- crashes


class Killed(BaseException):
    pass


@pytest.mark.usefixtures("without_fsync")
@pytest.mark.parametrize("roll_active", [False, True])
def test_a_crash_at_any_step_leaves_the_log_with_its_old_or_new_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roll_active: bool
) -> None:
    """The process dies in front of the n-th change of the file system, for every n."""
    clock = ManualClock(NOW_MS)
    log = filled(tmp_path / "full", clock)
    expected = [data for _, data in all_batches(log)]
    clock.advance(10**6)
    end_start = 16 if roll_active else 12
    starts, steps = set(), 0
    while True:
        steps += 1
        directory = copy_directory(tmp_path / "full", tmp_path / "crashed")
        victim = open_log(directory, clock, **SETTINGS)
        left = steps

        def counted(action: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any, **keywords: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed
                return action(*arguments, **keywords)

            return run

        with monkeypatch.context() as dying:
            for name in ("unlink", "replace", "ftruncate"):
                dying.setattr(os, name, counted(getattr(os, name)))
            try:
                victim.delete_expired(TTL_MS, 16, roll_active=roll_active)
                finished = True
            except Killed:
                finished = False
        again = open_log(directory, clock, **SETTINGS)
        assert again.recovery.cut_reason is None
        assert again.start_offset in (0, end_start)
        assert again.end_offset == 16
        assert [data for _, data in all_batches(again)] == expected[again.start_offset // 2 :]
        assert again.find_duplicate(1, 3) is not None
        assert next(int(path.stem) for path in segment_files(directory)) == again.start_offset
        assert all(int(path.stem) >= again.start_offset for path in directory.glob("*.*index"))
        starts.add(again.start_offset)
        if finished:
            break
    assert starts == {0, end_start}
    assert steps > 12


def test_deleted_segments_that_are_back_are_removed(log: LogTablet, clock: ManualClock, tmp_path: Path) -> None:
    """After the loss of power any of the deleted files may be back."""
    copy = copy_directory(directory_of(log), tmp_path / "copy")
    clock.advance(10**9)
    log.delete_expired(TTL_MS, 16, roll_active=False)
    for name in (0, 8):
        os.link(copy / f"{name:020d}.log", directory_of(log) / f"{name:020d}.log")
    again = open_log(directory_of(log), clock, **SETTINGS)
    assert (again.start_offset, again.end_offset) == (12, 16)
    assert [int(path.stem) for path in segment_files(directory_of(log))] == [12]


@pytest.mark.parametrize("flushed", [True, False], ids=["flush checkpoint", "no flush checkpoint"])
def test_a_deleted_segment_that_is_back_does_not_end_the_log(
    log: LogTablet, clock: ManualClock, tmp_path: Path, flushed: bool
) -> None:
    """Only the recovery point tells it from the start of the log, and that is damaged."""
    directory = directory_of(log)
    copy = copy_directory(directory, tmp_path / "copy")
    clock.advance(10**9)
    log.delete_expired(TTL_MS, 16, roll_active=True)
    assert log.start_offset == log.end_offset == 16
    log.close()
    os.link(copy / f"{0:020d}.log", directory / f"{0:020d}.log")
    point = directory / "recovery-point"
    point.write_bytes(point.read_bytes()[:-1] + b"?")
    if not flushed:
        (directory / "flushed-offset").unlink()
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(FlussError, match="no segment with the offsets 4 to 15") as caught:
        open_log(directory, clock, **SETTINGS)
    assert caught.value.code is ErrorCode.LOG_STORAGE_EXCEPTION
    assert "below offset 16 away" in (caught.value.hint or "")
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    (directory / f"{0:020d}.log").unlink()
    again = open_log(directory, clock, **SETTINGS)
    assert (again.start_offset, again.end_offset) == (16, 16)


def test_nothing_is_deleted_while_its_new_start_cannot_be_recorded(
    log: LogTablet, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(10**9)

    def fail(point: RecoveryPoint, directory: Path, disk: Disk) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(RecoveryPoint, "write", fail)
        assert log.delete_expired(TTL_MS, 16, roll_active=False) == 0
    assert log.start_offset == 0
    assert len(all_batches(log)) == 8
    assert log.delete_expired(TTL_MS, 16, roll_active=False) == 3


def test_a_missing_first_segment_is_no_retention(log: LogTablet, clock: ManualClock) -> None:
    clock.advance(10**6)
    log.delete_expired(TTL_MS, 8, roll_active=False)
    log.close()
    (directory_of(log) / f"{8:020d}.log").unlink()
    with pytest.raises(FlussError, match="is missing") as caught:
        open_log(directory_of(log), clock, **SETTINGS)
    assert caught.value.code is ErrorCode.LOG_STORAGE_EXCEPTION
