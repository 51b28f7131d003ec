"""A log that follows another one byte for byte, is truncated, and begins again elsewhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.formats.log_batch import iter_batches, parse_header
from fluss_server.log.file_names import LEADER_EPOCHS
from fluss_server.log.leader_epochs import UNKNOWN_EPOCH, EpochStart, divergence
from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.runtime import system_disk
from fluss_server.runtime.clock import ManualClock
from log_support import NOW_MS, all_batches, make_batch, open_log, read_all, segment_files, with_statistics

SETTINGS: dict[str, Any] = {"segment_bytes": 2000, "index_interval_bytes": 150}


@contextmanager
def refused(code: ErrorCode) -> Iterator[None]:
    with pytest.raises(FlussError) as caught:
        yield
    assert caught.value.code is code


def led(directory: Path, batches: int = 60, clock: ManualClock | None = None) -> LogTablet:
    """A leader's log with some writers and an epoch every 25 batches."""
    clock = clock or ManualClock(NOW_MS)
    log = open_log(directory, clock, **SETTINGS)
    for number in range(batches):
        if number % 25 == 0:
            log.begin_epoch(1 + number // 25)
        data = make_batch(1 + number % 3, 60 + 37 * number % 400, number % 2, number // 2, bytes([number % 256]))
        log.append(with_statistics(data, b"statistics", 1 + number % 2) if number % 5 == 0 else data)
        clock.advance(number % 3)
    return log


def follow(log: LogTablet, leader: LogTablet, max_bytes: int = 1 << 20) -> None:
    """Append what the leader has after the end of the log."""
    while log.end_offset < leader.end_offset:
        piece = leader.read(log.end_offset, max_bytes, leader.end_offset, at_least_one=True)
        assert piece is not None
        assert log.append_replica(piece.region.read(), leader.epochs) == AppendResult(
            piece.first_offset, piece.next_offset - 1, False, sum(1 for _ in iter_batches(piece.region.read()))
        )


def files(directory: Path, *suffixes: str) -> dict[str, bytes]:
    """Content of the files with these suffixes, all if there is none."""
    return {p.name: p.read_bytes() for p in directory.iterdir() if not suffixes or p.suffix in suffixes}


# ---------------------------------------------------------------- following


@pytest.mark.parametrize("max_bytes", [1, 700, 1 << 20])
def test_a_follower_has_the_files_of_its_leader(tmp_path: Path, max_bytes: int) -> None:
    leader = led(tmp_path / "leader")
    log = open_log(tmp_path / "follower", **SETTINGS)
    follow(log, leader, max_bytes)
    assert (log.end_offset, log.size_bytes, log.max_timestamp) == (
        leader.end_offset,
        leader.size_bytes,
        leader.max_timestamp,
    )
    assert log.epochs == leader.epochs
    assert [entry.epoch for entry in log.epochs] == [1, 2, 3]
    assert divergence(log.epochs, log.end_offset, leader.epochs, leader.end_offset) == leader.end_offset
    for timestamp in range(NOW_MS, log.max_timestamp + 2):
        assert log.offset_for_timestamp(timestamp) == leader.offset_for_timestamp(timestamp)
    for sequence in range(25, 30):
        assert log.find_duplicate(0, sequence) == leader.find_duplicate(0, sequence) is not None
    log.flush()
    leader.flush()
    log.close()
    leader.close()
    assert len(segment_files(tmp_path / "leader")) > 5
    names = (".log", ".index", ".timeindex")
    assert files(tmp_path / "follower", *names) == files(tmp_path / "leader", *names)
    again = open_log(tmp_path / "follower", **SETTINGS)
    assert not again.recovery.changed
    assert read_all(again) == b"".join(path.read_bytes() for path in segment_files(tmp_path / "leader"))


def test_segments_end_where_an_index_is_full(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"index_max_bytes": 120, "index_interval_bytes": 50}
    leader, log = open_log(tmp_path / "leader", **settings), open_log(tmp_path / "follower", **settings)
    leader.begin_epoch(0)
    for _ in range(100):
        leader.append(make_batch())
    while log.end_offset < 100:
        data = b"".join(data for _, data in list(leader.batches(log.end_offset, 100))[:17])
        log.append_replica(data, leader.epochs)
    assert len(segment_files(tmp_path / "leader")) > 5
    assert files(tmp_path / "follower", ".log") == files(tmp_path / "leader", ".log")


def test_a_follower_becomes_a_leader(tmp_path: Path) -> None:
    """Writers go on where they were, timestamps never go back, and the next epoch is recorded."""
    leader = led(tmp_path / "leader", clock=ManualClock(NOW_MS + 1000))
    log = open_log(tmp_path / "follower", ManualClock(NOW_MS), **SETTINGS)
    follow(log, leader)
    log.begin_epoch(9)
    end = log.end_offset
    assert log.append(make_batch(1, 100, 0, 29)).duplicate
    assert log.append(make_batch(1, 100, 0, 30)) == AppendResult(end, end, False, 1)
    assert all_batches(log)[-1][0].commit_timestamp == leader.max_timestamp
    assert log.epochs[-1] == EpochStart(9, end)
    with refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION):
        log.append(make_batch(1, 100, 1, 31))
    log.close()
    assert open_log(tmp_path / "follower", **SETTINGS).epochs == (*leader.epochs, EpochStart(9, end))


def with_offset(batch: bytes, offset: int) -> bytes:
    return offset.to_bytes(8, "little") + batch[8:]


def test_bad_input_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    epochs: tuple[EpochStart, ...] = (EpochStart(4, 0),)
    first, second = with_offset(make_batch(2), 0), with_offset(make_batch(2), 2)
    log.append_replica(first, epochs)
    wrong_count = second[:28] + (5).to_bytes(4, "little") + second[32:]
    bad = {
        "nothing": b"",
        "a gap": with_offset(second, 3),
        "an overlap": with_offset(second, 1),
        "a repetition": first,
        "a gap after a good one": second + with_offset(second, 5),
        "a partial header": second[:47],
        "a partial batch": second[:-1],
        "a partial batch after a good one": second + with_offset(second, 4)[:60],
        "a flipped bit": second[:60] + b"y" + second[61:],
        "a flipped bit in the second one": second + with_offset(second, 4)[:-1] + b"y",
        "an unknown magic": second[:12] + b"\x03" + second[13:],
        "zeros": bytes(100),
        "counts that differ": wrong_count[:21] + crc32c(wrong_count[25:]).to_bytes(4, "little") + wrong_count[25:],
    }
    for what, records in bad.items():
        with pytest.raises(FlussError) as caught:
            log.append_replica(records, epochs)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION, what
    with refused(ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION):
        log.append_replica(second, (EpochStart(5, 0),))
    assert log.end_offset == 2
    assert log.epochs == epochs
    assert segment_files(tmp_path)[0].stat().st_size == 100
    assert log.append_replica(second, (*epochs, EpochStart(6, 2))) == AppendResult(2, 3, False, 1)
    assert log.epochs == (EpochStart(4, 0), EpochStart(6, 2))


def test_a_batch_that_the_leader_has_taken_is_not_too_large(tmp_path: Path) -> None:
    log = open_log(tmp_path, max_batch_bytes=1000)
    assert log.append_replica(make_batch(1, 5000), (EpochStart(0, 0),)).last_offset == 0


def test_what_writers_sent_is_not_evaluated(tmp_path: Path) -> None:
    """The leader has done it; a follower may have begun in the middle."""
    log = open_log(tmp_path)
    log.restart_at(100)
    log.append_replica(with_offset(make_batch(1, 100, 7, 41), 100), (EpochStart(0, 0),))
    assert log.append(make_batch(1, 100, 7, 41)).duplicate
    assert log.append(make_batch(1, 100, 7, 42)).base_offset == 101


def test_epochs_are_durable_before_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    log.append_replica(make_batch(1), (EpochStart(0, 0),))

    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        with refused(ErrorCode.DISK_WRITE_LOCKED):
            log.append_replica(with_offset(make_batch(1), 1), (EpochStart(0, 0), EpochStart(1, 1)))
        with refused(ErrorCode.DISK_WRITE_LOCKED):
            log.begin_epoch(2)
        assert log.end_offset == 1
        assert log.epochs == (EpochStart(0, 0),)
        log.append_replica(with_offset(make_batch(1), 1), (EpochStart(0, 0), EpochStart(1, 2)))
    log.append_replica(with_offset(make_batch(1), 2), (EpochStart(0, 0), EpochStart(1, 2)))
    assert open_log(tmp_path).epochs == (EpochStart(0, 0), EpochStart(1, 2))


def test_a_write_that_fails_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was appended before stays, and the rest can be sent again."""
    leader = led(tmp_path / "leader")
    log = open_log(tmp_path / "follower", **SETTINGS)
    writes = [3]
    write = system_disk.SystemFile.write

    def fail_later(file: system_disk.SystemFile, pieces: list[bytes], position: int) -> None:
        if str(file.path).endswith(".log"):
            writes[0] -= 1
            if writes[0] == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        write(file, pieces, position)

    with monkeypatch.context() as broken:
        broken.setattr(system_disk.SystemFile, "write", fail_later)
        with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
            log.append_replica(b"".join(data for _, data in all_batches(leader)), leader.epochs)
    assert 0 < log.end_offset < leader.end_offset
    assert read_all(log) == read_all(leader)[: log.size_bytes]
    follow(log, leader)
    log.flush()
    assert files(tmp_path / "follower", ".log") == files(tmp_path / "leader", ".log")


def test_a_closed_log_refuses_replication(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.close()
    for call in (
        lambda: log.begin_epoch(1),
        lambda: log.append_replica(make_batch(), (EpochStart(0, 0),)),
        lambda: log.truncate(0),
        lambda: log.restart_at(5),
    ):
        with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
            call()


# ---------------------------------------------------------------- truncating


def test_a_truncated_log_follows_another_leader(tmp_path: Path) -> None:
    log = led(tmp_path / "log")
    log.flush()
    other = open_log(tmp_path / "other", **SETTINGS)
    follow(other, log)
    other.truncate(101)
    other.begin_epoch(7)
    for number in range(30):
        other.append(make_batch(2, 80, 5, number))
    end = divergence(log.epochs, log.end_offset, other.epochs, other.end_offset)
    assert end == other.epochs[-1].start_offset <= 101
    assert log.truncate(end) == end == log.flushed_offset
    follow(log, other)
    assert read_all(log) == read_all(other)
    assert log.epochs == other.epochs
    assert log.find_duplicate(5, 29) == other.find_duplicate(5, 29) is not None
    log.close()
    again = open_log(tmp_path / "log", **SETTINGS)
    assert (again.epochs, read_all(again)) == (other.epochs, read_all(other))


def test_an_offset_in_a_batch_truncates_to_its_start(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.begin_epoch(3)
    for _ in range(4):
        log.append(make_batch(10))
    assert log.truncate(40) == 40
    assert log.truncate(35) == 30
    assert log.truncate(30) == 30
    assert log.truncate(1) == 0
    assert (log.start_offset, log.end_offset, log.epochs) == (0, 0, ())
    with refused(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION):
        log.truncate(-1)


def test_a_slice_of_truncated_batches_never_shows_others(tmp_path: Path) -> None:
    """Not when the log grows again, and not when it is opened again in this process."""
    for cut in (0, 20, 25, 40):
        log = open_log(tmp_path / str(cut), segment_bytes=2000)
        for _ in range(50):
            log.append(make_batch(fill=b"a"))
        before = read_all(log)
        slices = [log.read(offset, 10_000, 50, at_least_one=True) for offset in range(0, 50, 7)]
        for reopen in (False, True):
            log.truncate(cut)
            if reopen:
                log.close()
                log = open_log(tmp_path / str(cut), segment_bytes=2000)
            for _ in range(60):
                log.append(make_batch(fill=b"b"))
            for piece in slices:
                assert piece is not None
                data = piece.region.read()
                assert data == before[piece.first_offset * 100 :][: len(data)]
                kept = min(max(cut - piece.first_offset, 0) * 100, piece.region.length)
                assert len(data) >= kept
        assert read_all(log)[cut * 100 + 99 :: 100] == b"b" * (log.end_offset - cut)


def test_a_search_that_a_truncation_overtakes_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would find the batches that were appended since, at the places of the old ones."""
    from fluss_server.log import log_reader
    from fluss_server.log.checked_read import read_checked

    log = open_log(tmp_path)
    for _ in range(20):
        log.append(make_batch(10, fill=b"a"))
    times = [0]

    def slow(*arguments: object, **limits: bool) -> object:
        result = read_checked(*arguments, **limits)  # type: ignore[arg-type]
        times[0] += 1
        if times[0] == 1:
            log.truncate(0)
            log.append(make_batch(195, 1900, fill=b"b"))
        return result

    with monkeypatch.context() as patched:
        patched.setattr(log_reader, "read_checked", slow)
        piece = log.read(150, 1 << 20, 200, at_least_one=True)
    assert piece is not None
    assert (piece.first_offset, piece.next_offset, times) == (0, 195, [2])
    assert piece.region.read()[-1:] == b"b"


@pytest.mark.parametrize("restart", [False, True])
def test_an_iteration_ends_with_the_batches_that_it_began_with(tmp_path: Path, restart: bool) -> None:
    for position in (5, 15, 25):
        log = open_log(tmp_path / str(position), segment_bytes=1000)
        for _ in range(30):
            log.append(make_batch(fill=b"a"))
        batches = log.batches(0, 30)
        for _ in range(position):
            assert next(batches)[1][-1:] == b"a"
        if restart:
            log.restart_at(0)
        else:
            log.truncate(10)
        for _ in range(50):
            log.append(make_batch(fill=b"b"))
        with refused(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION):
            next(batches)
        assert log.damage_count == 0


def test_a_scrub_that_a_truncation_overtakes_finds_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fluss_server.log import scrub as module
    from fluss_server.log.stored_batches import check_stored_batches

    log = open_log(tmp_path)
    for _ in range(30):
        log.append(make_batch())

    def slow(*arguments: object) -> object:
        log.truncate(10)
        for _ in range(50):
            log.append(make_batch())
        return check_stored_batches(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "check_stored_batches", slow)
    log.scrub(None, 1 << 20)
    assert log.damage_count == 0


def test_a_truncation_keeps_a_recovery_point_before_it(tmp_path: Path) -> None:
    log = led(tmp_path)
    log.close()
    log = open_log(tmp_path, **SETTINGS)
    end = log.end_offset
    for number in range(10):
        log.append(make_batch(1, 100, fill=bytes([number])))
    log.truncate(end + 5)
    del log
    log = open_log(tmp_path, **SETTINGS)
    assert log.end_offset == end + 5
    assert log.recovery.scanned_bytes == 0


# ---------------------------------------------------------------- beginning again


@pytest.mark.parametrize("offset", [0, 3, 20, 57, 60, 61, 100_000])
def test_a_log_begins_again_at_any_offset(tmp_path: Path, offset: int) -> None:
    log = open_log(tmp_path, segment_bytes=1000)
    log.begin_epoch(3)
    for number in range(60):
        log.append(make_batch(1, 100, 7, number))
    log.flush()
    piece = log.read(20, 1000, 60, at_least_one=True)
    assert piece is not None
    before = piece.region.read()
    log.restart_at(offset)
    for opened in (False, True):
        if opened:
            log.close()
            log = open_log(tmp_path, segment_bytes=1000)
            assert not log.recovery.changed
        assert (log.start_offset, log.end_offset, log.flushed_offset) == (offset, offset, offset)
        assert (log.size_bytes, log.max_timestamp, log.writer_count, log.epochs) == (0, -1, 0, ())
        assert log.read(offset, 100, offset, at_least_one=True) is None
        assert len(segment_files(tmp_path)) == 1
    with refused(ErrorCode.CORRUPT_RECORD_EXCEPTION):
        log.append_replica(with_offset(make_batch(), offset + 1), (EpochStart(5, 0),))
    for number in range(20):
        data = with_offset(make_batch(1, 100, 7, 41 + number), offset + number)
        assert log.append_replica(data, (EpochStart(5, 0),)).base_offset == offset + number
    assert log.epochs == (EpochStart(5, 0),)
    assert [parse_header(data).base_offset for _, data in all_batches(log)] == list(range(offset, offset + 20))
    assert piece.region.read() in (before, b"")
    assert log.append(make_batch(1, 100, 7, 60)).duplicate
    log.close()
    log = open_log(tmp_path, segment_bytes=1000)
    assert (log.start_offset, log.end_offset) == (offset, offset + 20)


def test_a_log_does_not_begin_before_zero(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append(make_batch())
    with refused(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION):
        log.restart_at(-1)
    assert log.end_offset == 1


# ---------------------------------------------------------------- histories


def test_the_history_of_a_log_that_is_older_than_histories(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append(make_batch(5))
    log.close()
    assert not (tmp_path / LEADER_EPOCHS).exists()
    log = open_log(tmp_path)
    assert log.epochs == (EpochStart(UNKNOWN_EPOCH, 0),)
    log.append(make_batch(5))
    assert not (tmp_path / LEADER_EPOCHS).exists()
    log.begin_epoch(8)
    log.append(make_batch(5))
    log.close()
    assert open_log(tmp_path).epochs == (EpochStart(UNKNOWN_EPOCH, 0), EpochStart(8, 10))


def test_retention_forgets_epochs(tmp_path: Path) -> None:
    log = led(tmp_path)
    epochs = log.epochs
    assert log.delete_below(epochs[1].start_offset) > 0
    assert log.epochs == epochs
    assert log.delete_below(epochs[2].start_offset - 1) > 0
    assert log.start_offset > epochs[1].start_offset
    assert log.epochs == epochs[1:]
    count = len(segment_files(tmp_path))
    assert log.delete_below(10**9) == count - 1
    assert log.delete_below(10**9) == 0
    assert (log.start_offset, log.epochs) == (int(segment_files(tmp_path)[0].stem), epochs[2:])
    del log
    assert open_log(tmp_path, **SETTINGS).epochs == epochs[2:]


def test_a_deleted_log_leaves_no_history(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.begin_epoch(1)
    log.append(make_batch())
    log.flush()
    log.delete()
    assert not (tmp_path / "log").exists()
