"""Appends, reads and flushes at the same time."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import crc_matches, iter_batches
from fluss_server.log.log_tablet import LogTablet
from log_support import all_batches, make_batch, open_log

pytestmark = pytest.mark.slow  # threads for a second each

APPENDS = 3000


@pytest.fixture(autouse=True)
def eager_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


class Workers:
    """Threads that run until the main one has finished; the first error of any of them is raised at the end."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                while not self.stop.is_set():
                    work()
            except BaseException as error:
                self._errors.append(error)
                self.stop.set()

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        if self._errors:
            raise self._errors[0]


def check_slice(log: LogTablet, offset: int, limit: int, max_bytes: int) -> int:
    """Read once; everything a reader gets is whole, undamaged, contiguous and below its limit."""
    piece = log.read(offset, max_bytes, limit, at_least_one=True)
    if piece is None:
        assert offset >= limit
        return offset
    data = piece.region.read()
    assert len(data) == piece.region.length
    expected = piece.first_offset
    assert expected <= offset < piece.next_offset <= limit
    for position, header in iter_batches(data):
        assert header.base_offset == expected
        assert crc_matches(data, position, header)
        assert header.commit_timestamp > 0
        expected = header.next_offset
    assert expected == piece.next_offset
    return piece.next_offset


@pytest.mark.parametrize("segment_bytes", [20_000, 1 << 30])
def test_appends_reads_and_flushes_at_once(tmp_path: Path, segment_bytes: int) -> None:
    log = open_log(tmp_path, segment_bytes=segment_bytes, index_interval_bytes=500, recovery_point_bytes=10_000)
    workers = Workers()

    def follow(step: int) -> Callable[[], None]:
        position = [0]

        def work() -> None:
            position[0] = check_slice(log, position[0], log.end_offset, step)
            if position[0] > 2000:
                position[0] -= 1999  # and again from somewhere behind

        return work

    def search() -> None:
        end = log.end_offset
        if end:
            assert log.offset_for_timestamp(0) == 0
            assert log.offset_for_timestamp(log.max_timestamp + 1) is None
            check_slice(log, end * 2 // 3, end, 1)

    def flush() -> None:
        before = log.end_offset
        flushed = log.flush()
        assert before <= flushed <= log.flushed_offset <= log.end_offset

    for work in (follow(300), follow(1 << 20), search, flush, flush):
        workers.start(work)
    for number in range(APPENDS):
        log.append(make_batch(1 + number % 3, 60 + number % 500, writer_id=1, sequence=number))
        if workers.stop.is_set():
            break
    workers.finish()
    assert sum(1 for _ in all_batches(log)) == APPENDS
    assert log.flush() == log.end_offset
    log.close()
    again = open_log(tmp_path, segment_bytes=segment_bytes, index_interval_bytes=500)
    assert again.recovery.scanned_bytes == 0
    assert sum(1 for _ in all_batches(again)) == APPENDS


class LogTruncatedError(Exception):
    """The log does not have the offset any more."""


@contextlib.contextmanager
def noticing_truncations() -> Iterator[None]:
    try:
        yield
    except FlussError as error:
        if error.code is not ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION:
            raise
        raise LogTruncatedError from error


@pytest.mark.parametrize("restart", [False, True])
def test_truncations_during_reads(tmp_path: Path, restart: bool) -> None:
    """Readers see the log before or after a truncation; a slice handed out before may turn out short, nothing else."""
    log = open_log(tmp_path, segment_bytes=3000, index_interval_bytes=200)
    workers = Workers()
    read = [0]

    def follow() -> None:
        end = log.end_offset
        offset = max(end - 20, 0)
        piece = None
        with contextlib.suppress(LogTruncatedError), noticing_truncations():
            piece = log.read(offset, 500, end, at_least_one=True)
            log.offset_for_timestamp(1)
        if piece is not None:
            assert piece.first_offset <= offset < piece.next_offset
            expected = piece.first_offset
            data = piece.region.read()
            for position, header in iter_batches(data):
                assert header.base_offset == expected
                assert crc_matches(data, position, header)
                expected = header.next_offset
            assert expected == piece.next_offset or len(data) < piece.region.length
        read[0] += 1

    def iterate() -> None:
        log.scrub(None, 1 << 20)
        start = log.start_offset
        with contextlib.suppress(LogTruncatedError), noticing_truncations():
            for expected, (header, _) in enumerate(log.batches(start, log.end_offset), start):
                assert header.base_offset == expected

    for work in (follow, follow, iterate):
        workers.start(work)
    for number in range(60):
        for _ in range(20):
            log.append(make_batch(1, 60 + number))
        if restart and number % 10 == 9:
            log.restart_at(log.end_offset - 13)
        else:
            log.truncate(log.end_offset - 13)
        if workers.stop.is_set():
            break
    workers.finish()
    assert read[0] > 60
    assert log.damage_count == 0
    assert log.end_offset == 60 * 7
    offsets = [header.base_offset for header, _ in all_batches(log)]
    assert offsets == list(range(log.start_offset, 60 * 7))
