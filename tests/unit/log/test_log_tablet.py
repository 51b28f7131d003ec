"""An undisturbed LogTablet: append, read, time, roll, truncate, close, delete."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.formats.log_batch import crc_matches, iter_batches
from fluss_server.log.log_tablet import AppendResult
from fluss_server.runtime.clock import ManualClock
from log_support import NOW_MS, all_batches, copy_directory, make_batch, open_log, read_all, segment_files


@contextmanager
def refused(code: ErrorCode) -> Iterator[None]:
    with pytest.raises(FlussError) as caught:
        yield
    assert caught.value.code is code


def test_an_empty_log(tmp_path: Path) -> None:
    log = open_log(tmp_path / "db" / "t-0" / "log-0")
    assert (log.start_offset, log.end_offset, log.flushed_offset, log.size_bytes) == (0, 0, 0, 0)
    assert log.max_timestamp == -1
    assert log.read(0, 100, 100, at_least_one=True) is None
    assert all_batches(log) == []
    assert log.offset_for_timestamp(0) is None
    assert log.flush() == 0
    log.close()
    assert open_log(tmp_path / "db" / "t-0" / "log-0").end_offset == 0


def test_appends_get_offsets_and_timestamps(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path, clock)
    first = make_batch(3)
    assert log.append(first) == AppendResult(0, 2, False, 1)
    clock.advance(5)
    assert log.append(make_batch(1) + make_batch(2)) == AppendResult(3, 5, False, 2)
    assert log.end_offset == 6
    assert log.size_bytes == 300
    headers = [header for header, _ in all_batches(log)]
    assert [(h.base_offset, h.last_offset, h.commit_timestamp) for h in headers] == [
        (0, 2, NOW_MS),
        (3, 3, NOW_MS + 5),
        (4, 5, NOW_MS + 5),
    ]
    assert first == make_batch(3)  # the caller's bytes are left alone
    assert all(crc_matches(data, 0, header) for header, data in all_batches(log))
    assert read_all(log) == segment_files(tmp_path)[0].read_bytes()


def test_a_batch_without_records_takes_an_offset(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert log.append(make_batch(0)) == AppendResult(0, 0, False, 1)
    assert log.append(make_batch(2)) == AppendResult(1, 2, False, 1)
    assert len(read_all(log)) == 48 + 100


def test_timestamps_never_go_back(tmp_path: Path) -> None:
    log = open_log(tmp_path, ManualClock(NOW_MS))
    log.append(make_batch())
    log.close()
    log = open_log(tmp_path, ManualClock(NOW_MS - 1000))
    assert log.max_timestamp == NOW_MS
    log.append(make_batch())
    assert all_batches(log)[1][0].commit_timestamp == NOW_MS


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [100, 3000, 100_000])
def test_every_kind_of_buffer(tmp_path: Path, kind: type, size: int) -> None:
    log = open_log(tmp_path)
    log.append(kind(make_batch(1, size) + make_batch(1, 48 + size)))
    assert [header.size for header, _ in all_batches(log)] == [size, 48 + size]


def test_many_batches_in_one_append(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert log.append(make_batch(1, 60) * 3000) == AppendResult(0, 2999, False, 3000)
    assert len(all_batches(log)) == 3000
    assert read_all(log, 1000) == segment_files(tmp_path)[0].read_bytes()


def with_bytes(batch: bytes, at: int, value: bytes) -> bytes:
    return batch[:at] + value + batch[at + len(value) :]


def test_bad_input_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_batch_bytes=1000)
    good = make_batch(2)
    log.append(good)
    bad = {
        "nothing": b"",
        "a partial header": good[:47],
        "a partial batch": good[:-1],
        "a partial batch behind a good one": good + good[:60],
        "garbage behind a good one": good + b"\xff" * 100,
        "a flipped bit": with_bytes(good, 60, b"y"),
        "an unknown magic": with_bytes(good, 12, b"\x03"),
        "a negative length": with_bytes(good, 8, b"\xff\xff\xff\xff"),
        "a zero length": with_bytes(good, 8, bytes(4)),
        "zeros": bytes(100),
        "garbage": os.urandom(300),
    }
    for what, records in bad.items():
        with pytest.raises(FlussError) as caught:
            log.append(records)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION, what
    with refused(ErrorCode.RECORD_TOO_LARGE_EXCEPTION):
        log.append(make_batch(1, 1001))
    assert log.end_offset == 2
    assert segment_files(tmp_path)[0].stat().st_size == 100
    assert log.append(make_batch(1, 1000)).base_offset == 2


def test_record_count_and_offset_delta_belong_together(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for delta in (0, 1, 3, 2**31 - 1):
        batch = with_bytes(make_batch(3), 28, delta.to_bytes(4, "little"))
        batch = with_bytes(batch, 21, crc32c(batch[25:]).to_bytes(4, "little"))
        with refused(ErrorCode.CORRUPT_RECORD_EXCEPTION):
            log.append(batch)


def test_duplicates_get_the_offsets_of_the_original(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for sequence in range(6):
        log.append(make_batch(2, writer_id=7, sequence=sequence))
    for sequence in range(1, 6):
        expected = AppendResult(2 * sequence, 2 * sequence + 1, True, 1)
        assert log.append(make_batch(2, writer_id=7, sequence=sequence)) == expected
        assert log.find_duplicate(7, sequence) == expected
    assert log.find_duplicate(7, 6) is None
    assert log.append(make_batch(2, writer_id=7, sequence=4) + make_batch(2, writer_id=7, sequence=5)).duplicate
    with refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION):
        log.append(make_batch(1, writer_id=8, sequence=0) + make_batch(2, writer_id=7, sequence=5))
    assert log.append(make_batch(2, writer_id=7, sequence=0)) == AppendResult(1, 1, True, 1)
    with refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION):
        log.append(make_batch(2, writer_id=7, sequence=7))
    assert log.end_offset == 12
    assert log.writer_count == 1


def test_reads_obey_their_limits(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for _ in range(10):
        log.append(make_batch(10))

    def read(offset: int, max_bytes: int, max_offset: int, at_least_one: bool = False) -> tuple[int, int] | None:
        piece = log.read(offset, max_bytes, max_offset, at_least_one=at_least_one)
        if piece is None:
            return None
        data = piece.region.read()
        headers = [header for _, header in iter_batches(data)]
        assert (headers[0].base_offset, headers[-1].next_offset) == (piece.first_offset, piece.next_offset)
        assert len(data) == 100 * len(headers) == piece.region.length
        return piece.first_offset, piece.next_offset

    assert read(0, 10_000, 1000) == (0, 100)
    assert read(0, 1000, 1000) == (0, 100)
    assert read(0, 999, 1000) == (0, 90)
    assert read(0, 100, 1000) == (0, 10)
    assert read(0, 99, 1000) is None
    assert read(0, 0, 1000) is None
    assert read(0, -5, 1000) is None
    assert read(0, 99, 1000, at_least_one=True) == (0, 10)
    assert read(95, 1, 1000, at_least_one=True) == (90, 100)
    assert read(37, 250, 1000) == (30, 50)
    assert read(30, 10_000, 60) == (30, 60)
    assert read(30, 10_000, 69) == (30, 60)  # whole batches below the limit
    assert read(35, 10_000, 39) is None
    assert read(35, 1, 39, at_least_one=True) is None
    assert read(60, 10_000, 60) is None
    assert read(100, 10_000, 1000) is None
    for offset in (-1, 101):
        with refused(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION):
            read(offset, 100, 100)
        with refused(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION):
            next(log.batches(offset, 100))
    assert [header.base_offset for header, _ in log.batches(35, 61)] == [30, 40, 50, 60]


def test_every_offset_of_a_log_with_many_segments_is_found(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=3000, index_interval_bytes=300)
    sizes = [60 + 37 * n % 400 for n in range(300)]
    for number, size in enumerate(sizes):
        log.append(make_batch(1 + number % 4, size))
    assert len(segment_files(tmp_path)) > 10
    for _ in range(2):
        expected = all_batches(log)
        assert [header.size for header, _ in expected] == sizes
        assert b"".join(data for _, data in expected) == read_all(log, 500)
        for header, data in expected:
            for offset in range(header.base_offset, header.next_offset):
                piece = log.read(offset, 1, log.end_offset, at_least_one=True)
                assert piece is not None
                assert piece.region.read() == data
                assert piece.first_offset == header.base_offset
        log.close()
        log = open_log(tmp_path, segment_bytes=3000, index_interval_bytes=300)
        assert log.recovery.scanned_bytes == 0


def test_a_read_stays_in_one_segment(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=250)
    for _ in range(5):
        log.append(make_batch(1))
    piece = log.read(0, 10_000, 5, at_least_one=True)
    assert piece is not None
    assert piece.next_offset == 2
    assert [path.name for path in segment_files(tmp_path)] == [f"{base:020d}.log" for base in (0, 2, 4)]
    assert log.size_bytes == 500


def test_a_batch_larger_than_a_segment_has_its_own(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=250)
    for size in (500, 100, 500, 100, 100, 100):
        log.append(make_batch(1, size))
    assert [path.stat().st_size for path in segment_files(tmp_path)] == [500, 100, 500, 200, 100]


def test_a_full_index_ends_a_segment(tmp_path: Path) -> None:
    log = open_log(tmp_path, index_interval_bytes=1, index_max_bytes=60)
    for _ in range(30):
        log.append(make_batch(1))
    assert len(segment_files(tmp_path)) == 4
    assert len(all_batches(log)) == 30


def test_offsets_for_timestamps(tmp_path: Path) -> None:
    clock = ManualClock(1000)
    log = open_log(tmp_path, clock, segment_bytes=1000, index_interval_bytes=150)
    for number in range(40):
        log.append(make_batch(2))
        if number % 3 == 2:
            clock.advance(10)
    for _ in range(2):
        headers = [header for header, _ in all_batches(log)]
        for timestamp in range(990, 1145):
            expected = next((h.base_offset for h in headers if h.commit_timestamp >= timestamp), None)
            assert log.offset_for_timestamp(timestamp) == expected, timestamp
        log.close()
        log = open_log(tmp_path, clock, segment_bytes=1000, index_interval_bytes=150)
    assert log.max_timestamp == 1130


@pytest.mark.parametrize("cut", [0, 1, 2, 17, 20, 21, 39, 40, 41])
def test_truncation(tmp_path: Path, cut: int) -> None:
    clock = ManualClock(1000)
    log = open_log(tmp_path, clock, segment_bytes=600, index_interval_bytes=150)
    for sequence in range(20):
        log.append(make_batch(2, writer_id=sequence % 2, sequence=sequence // 2))
        clock.advance(1)
        if sequence == 12:
            log.flush()
    before = all_batches(log)
    kept = before[: cut // 2]
    for round_trip in range(2):
        assert log.truncate(cut) == 2 * len(kept) == log.end_offset
        assert log.flush() == log.end_offset
        assert all_batches(log) == kept
        assert log.max_timestamp == (kept[-1][0].commit_timestamp if kept else -1)
        assert log.size_bytes == sum(path.stat().st_size for path in segment_files(tmp_path)) == 100 * len(kept)
        assert log.offset_for_timestamp(1000) == (0 if kept else None)
        if round_trip == 0:
            log.close()
            log = open_log(tmp_path, clock, segment_bytes=600, index_interval_bytes=150)
    for sequence in range(len(kept), 20):  # the writers go on as if the rest had never been
        assert log.append(make_batch(2, writer_id=sequence % 2, sequence=sequence // 2)).base_offset == 2 * sequence
    assert len(read_all(log)) == 2000


def test_truncation_in_front_of_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append(make_batch())
    with refused(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION):
        log.truncate(-1)
    assert log.end_offset == 1


def test_a_clean_restart_scans_nothing_and_keeps_everything(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=500)
    for sequence in range(12):
        log.append(make_batch(2, writer_id=3, sequence=sequence))
    expected = all_batches(log)
    log.close()
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    log = open_log(tmp_path, segment_bytes=500)
    assert log.recovery.scanned_bytes == 0
    assert log.recovery.cut_reason is None
    assert not log.recovery.changed
    assert all_batches(log) == expected
    assert (log.end_offset, log.flushed_offset, log.size_bytes) == (24, 24, 1200)
    for sequence in range(7, 12):
        assert log.append(make_batch(2, writer_id=3, sequence=sequence)).duplicate
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_snapshots_lie_at_the_segments_and_at_the_recovery_point(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=250)
    for sequence in range(7):
        log.append(make_batch(1, writer_id=3, sequence=sequence))
        log.flush()
    log.close()
    offsets = [int(path.name[:20]) for path in sorted(tmp_path.glob("*.writer_snapshot"))]
    assert offsets == [2, 4, 6, 7]
    assert [int(path.name[:20]) for path in sorted(tmp_path.glob("*.index"))] == [0, 2, 4, 6]
    assert [int(path.name[:20]) for path in sorted(tmp_path.glob("*.timeindex"))] == [0, 2, 4, 6]


def test_the_recovery_point_moves_with_bytes_and_with_time(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path / "log", clock, recovery_point_bytes=350, recovery_point_interval_ms=1000)
    moved = []
    for number in range(8):
        log.append(make_batch())
        if number == 6:
            clock.advance(1000)
        log.flush()
        again = open_log(copy_directory(tmp_path / "log", tmp_path / "copy"))
        moved.append(again.recovery.scanned_from)
    assert moved == [0, 0, 0, 4, 4, 4, 7, 7]


def test_a_closed_log_refuses_appends(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append(make_batch())
    piece = log.read(0, 100, 1, at_least_one=True)
    log.close()
    with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
        log.append(make_batch())
    with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
        log.truncate(0)
    assert piece is not None
    assert len(piece.region.read()) == 100  # a slice keeps its file open


def test_delete(tmp_path: Path) -> None:
    directory = tmp_path / "log-0"
    log = open_log(directory, segment_bytes=150)
    for _ in range(4):
        log.append(make_batch())
    log.flush()
    pieces = [log.read(offset, 100, 4, at_least_one=True) for offset in range(4)]
    log.delete()
    assert not directory.exists()
    assert all(piece is not None and len(piece.region.read()) == 100 for piece in pieces)
    with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
        log.append(make_batch())
    assert open_log(directory).end_offset == 0


def test_delete_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log-0")
    (tmp_path / "log-0" / "note").touch()
    log.delete()
    assert os.listdir(tmp_path / "log-0") == ["note"]


def test_descriptors_of_old_segments_are_given_back(tmp_path: Path) -> None:
    gc.collect()  # other tests may have left files to the collector
    start = len(os.listdir("/proc/self/fd"))
    log = open_log(tmp_path, segment_bytes=150)
    for _ in range(40):
        log.append(make_batch())
    log.flush()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert len(read_all(log)) == 4000
        assert log.offset_for_timestamp(0) == 0
    assert len(os.listdir("/proc/self/fd")) <= before
    assert before < start + 40
    log.close()
    assert len(os.listdir("/proc/self/fd")) < before


def test_silent_writers_are_remembered_by_their_last_batch(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path, clock, writer_expiration_ms=1000)
    for sequence in range(3):
        log.append(make_batch(2, writer_id=1, sequence=sequence))
    clock.advance(1000)
    log.append(make_batch(2, writer_id=2, sequence=0))
    log.expire_writers()
    assert log.find_duplicate(1, 0) == AppendResult(0, 1, True, 1)
    clock.advance(1)
    log.expire_writers()
    assert log.find_duplicate(1, 0) == AppendResult(3, 3, True, 1)  # of it only the last batch is known
    assert log.find_duplicate(1, 2) == AppendResult(4, 5, True, 1)
    assert log.append(make_batch(2, writer_id=1, sequence=3)) == AppendResult(8, 9, False, 1)
