"""A full disk, failing writes, failing fsync."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from random import Random

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.runtime import system_disk, system_runtime
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.system_disk import SystemFile
from fluss_server.simulation.disk import SimulatedDisk
from log_support import NOW_MS, all_batches, make_batch, open_log, segment_files


@contextmanager
def refused(code: ErrorCode) -> Iterator[None]:
    with pytest.raises(FlussError) as caught:
        yield
    assert caught.value.code is code
    assert caught.value.retriable


def content(log: LogTablet) -> list[bytes]:
    return [data for _, data in all_batches(log)]


@pytest.mark.parametrize("written", [0, 1, 99, 100, 150, 200, 299])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failed_write_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int, number: int
) -> None:
    log = open_log(tmp_path, index_interval_bytes=50)
    for sequence in range(3):
        log.append(make_batch(writer_id=1, sequence=sequence))
    before = content(log)
    three = b"".join(make_batch(writer_id=1, sequence=sequence) for sequence in range(3, 6))

    write = SystemFile.write

    def fail(file: SystemFile, pieces: Sequence[Buffer], position: int) -> None:
        write(file, [b"".join(pieces)[:written]], position)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(SystemFile, "write", fail)
        with refused(ErrorCode.DISK_WRITE_LOCKED if number == errno.ENOSPC else ErrorCode.LOG_STORAGE_EXCEPTION):
            log.append(three)
    assert segment_files(tmp_path)[0].stat().st_size == 300
    assert (log.end_offset, content(log)) == (3, before)
    assert log.flush() == 3
    assert not log.append(three).duplicate  # the writer repeats it, and nothing of the failed attempt is remembered
    assert content(log)[:3] == before
    assert log.offset_for_timestamp(NOW_MS) == 0
    log.close()
    assert open_log(tmp_path).end_offset == 6


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it was given."""
    pwritev, pwrite = os.pwritev, os.pwrite

    def short_pwritev(fd: int, pieces: Sequence[Buffer], position: int) -> int:
        return pwrite(fd, b"".join(pieces)[: len(b"".join(pieces)) // 3], position)

    def short_pwrite(fd: int, data: Buffer, position: int) -> int:
        return pwrite(fd, bytes(data[:7]), position)

    log = open_log(tmp_path)
    records = b"".join(make_batch(size=60 + 10 * number, fill=bytes([65 + number])) for number in range(9))
    log.append(records)
    expected = content(log)
    with monkeypatch.context() as slow:
        slow.setattr(os, "pwritev", short_pwritev)
        slow.setattr(os, "pwrite", short_pwrite)
        log.append(records)
    assert [data[25:] for data in content(log)] == [data[25:] for data in expected] * 2
    assert pwritev is os.pwritev


def test_a_segment_that_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path, segment_bytes=150)
    log.append(make_batch())
    opened = os.open

    def fail(path: str | Path, flags: int, *rest: int) -> int:
        if str(path).endswith(".log") and flags & os.O_CREAT:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(path, flags, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", fail)
        with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
            log.append(make_batch())
    assert log.end_offset == 1
    assert log.append(make_batch()).base_offset == 1
    assert len(segment_files(tmp_path)) == 2


def test_a_write_that_can_be_neither_finished_nor_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches of it may lie behind the end; appending over them could bring them back to life after a crash."""
    log = open_log(tmp_path)
    log.append(make_batch())
    log.flush()

    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(SystemFile, "write", fail)
        broken.setattr(SystemFile, "truncate", fail)
        with refused(ErrorCode.STORAGE_EXCEPTION):
            log.append(make_batch())
    with refused(ErrorCode.STORAGE_EXCEPTION):
        log.append(make_batch())
    assert len(content(log)) == 1
    log.close()
    assert open_log(tmp_path).append(make_batch()).base_offset == 1


def test_after_a_failed_fsync_nothing_is_promised_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    log.append(make_batch())
    assert log.flush() == 1
    log.append(make_batch())
    point = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".log"}

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(system_disk, "_datasync", fail)
        with refused(ErrorCode.STORAGE_EXCEPTION):
            log.flush()
    for _ in range(2):  # also when the disk works again: it would only say that there is nothing left to write
        with refused(ErrorCode.STORAGE_EXCEPTION):
            log.flush()
        with refused(ErrorCode.STORAGE_EXCEPTION):
            log.append(make_batch())
        with refused(ErrorCode.STORAGE_EXCEPTION):
            log.truncate(0)
    assert log.flushed_offset == 1
    assert len(content(log)) == 2  # reads go on
    log.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".log"} == point
    again = open_log(tmp_path)
    assert again.recovery.durable_offset == 1
    assert again.append(make_batch()).base_offset == again.end_offset - 1


def test_a_recovery_point_that_cannot_be_written_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(NOW_MS)
    log = open_log(tmp_path, clock, segment_bytes=150)
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        for number in range(30):
            assert log.append(make_batch()).base_offset == number
            assert log.flush() == number + 1
    assert replace is os.replace
    assert caplog.text.count("cannot move the recovery point") == 1  # tried again after some time only
    assert not (tmp_path / "recovery-point").exists()
    clock.advance(60_000)
    log.append(make_batch())
    log.flush()
    assert (tmp_path / "recovery-point").exists()
    assert open_log(tmp_path).recovery.scanned_bytes == 0


def test_a_log_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
        open_log(tmp_path / "file" / "log-0")

    def fail(*arguments: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = open_log(tmp_path / "log")
    log.append(make_batch())
    monkeypatch.setattr(os, "preadv", fail)
    with refused(ErrorCode.LOG_STORAGE_EXCEPTION):
        open_log(tmp_path / "log")  # nothing is cut when the disk cannot be read
    assert segment_files(tmp_path / "log")[0].stat().st_size == 100


@contextmanager
def full_disk(directory: Path, size: int) -> Iterator[ErrorCode]:
    """Let about ``size`` bytes fit into a directory: a tmpfs, or a limit of this process on its file sizes.

    Yields the code of the error to expect.
    """
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if shutil.which("mount") and subprocess.run(command, capture_output=True, check=False).returncode == 0:
        try:
            yield ErrorCode.DISK_WRITE_LOCKED
        finally:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
    else:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield ErrorCode.LOG_STORAGE_EXCEPTION
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [5_000, 61_440])
def test_a_full_disk(tmp_path: Path, size: int) -> None:
    disk = tmp_path / "disk"
    with full_disk(disk, 256 << 10) as code:
        log = open_log(disk / "log", segment_bytes=1 << 20)
        kept = 0
        for _ in range(100):
            try:
                log.append(make_batch(size=size, writer_id=1, sequence=kept))
            except FlussError as error:
                if error.code is not code:
                    raise
                break
            log.flush()
            kept += 1
        assert 0 < kept < 100
        for _ in range(3):
            with refused(code):
                log.append(make_batch(size=300_000, writer_id=1, sequence=kept))
        assert log.end_offset == log.flushed_offset == kept
        del log  # killed while the disk is full
        log = open_log(disk / "log", segment_bytes=1 << 20)
        assert [header.size for header, _ in all_batches(log)] == [size] * kept
        assert log.append(make_batch(size=size, writer_id=1, sequence=kept - 1)).duplicate
        kept -= 1 + 20_000 // size  # what comes after it goes to another file, of at least a page
        log.truncate(kept)
        assert log.append(make_batch(size=48, rows=0, writer_id=1, sequence=kept)).base_offset == kept
        log.close()
        log = open_log(disk / "log", segment_bytes=1 << 20)
        assert [header.size for header, _ in all_batches(log)] == [*[size] * kept, 48]
        log.close()


def test_a_log_is_opened_on_a_full_disk_and_recovers_by_itself(tmp_path: Path) -> None:
    """Its tail was not flushed, the recovery point cannot be written, and only the deleted file makes space."""
    disk = SimulatedDisk(tmp_path, Random(1), capacity_bytes=100_000)
    directory = PurePosixPath("/data/log-0")
    clock = ManualClock(NOW_MS)

    def open_on_disk() -> LogTablet:
        return LogTablet.open(directory, LogConfig(segment_bytes=20_000), system_runtime(clock=clock, disk=disk.view()))

    log = open_on_disk()
    for number in range(5):
        log.append(make_batch(size=5000, writer_id=1, sequence=number))
    log.flush()
    log.append(make_batch(size=5000, writer_id=1, sequence=5))
    view = disk.view()
    ballast = PurePosixPath("/data/ballast")
    view.open(ballast, create=True).write([bytes(view.usage(directory).free_bytes - 10)], 0)
    disk.kill_processes()
    log = open_on_disk()
    assert log.end_offset == log.flushed_offset == 6
    for _ in range(3):
        with refused(ErrorCode.DISK_WRITE_LOCKED):
            log.append(make_batch(size=5000, writer_id=1, sequence=6))
        assert log.flush() == 6
    assert len(content(log)) == 6
    disk.kill_processes()
    log = open_on_disk()
    view.remove(ballast)
    assert log.append(make_batch(size=5000, writer_id=1, sequence=6)).base_offset == 6
    clock.advance(60_000)
    assert log.flush() == 7
    disk.lose_power()
    log = open_on_disk()
    assert (log.end_offset, log.recovery.scanned_bytes) == (7, 0)
