"""Opening logs that a crash, or something worse, has left."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import iter_batches
from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.log.log_tablet import LogTablet
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.system_disk import SystemDisk, SystemFile
from log_support import NOW_MS, all_batches, copy_directory, make_batch, open_log, read_all, segment_files

pytestmark = pytest.mark.usefixtures("without_fsync")

SETTINGS: dict[str, Any] = {"segment_bytes": 700, "index_interval_bytes": 150}
ONE_SEGMENT: dict[str, Any] = {"index_interval_bytes": 150}


def crashed(
    directory: Path, batches: int = 20, flush_at: int = 0, close_at: int = 0, settings: dict[str, Any] = SETTINGS
) -> list[bytes]:
    """A log whose process was killed: flushed behind batch ``flush_at``, cleanly restarted behind ``close_at``."""
    clock = ManualClock(NOW_MS)
    log = open_log(directory, clock, **settings)
    for number in range(1, batches + 1):
        log.append(make_batch(2, 60 + 7 * number % 60, writer_id=number % 2, sequence=(number - 1) // 2))
        clock.advance(1)
        if number == close_at:
            log.close()
            log = open_log(directory, clock, **settings)
        if number == flush_at:
            log.flush()
    return [data for _, data in all_batches(log)]


def check(log: LogTablet, expected: list[bytes]) -> None:
    """The log holds exactly these batches, finds each of them, and goes on from there."""
    assert [data for _, data in all_batches(log)] == expected
    assert log.end_offset == log.flushed_offset == 2 * len(expected)
    assert read_all(log) == b"".join(expected)
    for number in range(len(expected)):
        assert log.offset_for_timestamp(NOW_MS + number) == 2 * number
    for number in range(max(len(expected) - 10, 0), len(expected)):
        assert log.find_duplicate((number + 1) % 2, number // 2) is not None
    number = len(expected)
    result = log.append(make_batch(2, writer_id=(number + 1) % 2, sequence=number // 2))
    assert (result.base_offset, result.duplicate) == (2 * number, False)


def last_positions(path: Path, count: int) -> list[int]:
    return [position for position, _ in iter_batches(path.read_bytes())][-count:]


@pytest.mark.parametrize(
    ("flush_at", "close_at", "settings"), [(0, 0, SETTINGS), (8, 0, ONE_SEGMENT), (0, 4, ONE_SEGMENT), (0, 8, SETTINGS)]
)
def test_a_cut_at_every_byte_of_the_last_batches(
    tmp_path: Path, flush_at: int, close_at: int, settings: dict[str, Any]
) -> None:
    """Also of batches that were durable: nothing intact would be saved by refusing to open."""
    durable = max(flush_at, close_at) == 8
    batches = crashed(tmp_path / "log", 8, flush_at, close_at, settings)
    *_, last = segment_files(tmp_path / "log")
    positions = [*last_positions(last, 2), last.stat().st_size]
    for cut in range(positions[0], positions[-1] + 1):
        copy = copy_directory(tmp_path / "log", tmp_path / "copy")
        with open(copy / last.name, "r+b") as file:
            file.truncate(cut)
        log = open_log(copy, **settings)
        missing = sum(1 for position in positions[1:] if position > cut)
        assert log.recovery.lost_acknowledged == (durable and missing > 0)
        assert (log.recovery.cut_reason is not None) == (cut not in positions)
        check(log, batches[: len(batches) - missing])
        if cut % 8 == 0:
            again = open_log(copy, **settings)
            assert again.recovery.scanned_bytes == 100  # the batch that check() has appended
            assert not again.recovery.lost_acknowledged


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"pattern"])
def test_a_tail_of_zeros_or_garbage(tmp_path: Path, fill: bytes) -> None:
    batches = crashed(tmp_path / "log", 20, 20)
    *_, last = segment_files(tmp_path / "log")
    for length in (1, 11, 12, 47, 48, 100, 5000):
        copy = copy_directory(tmp_path / "log", tmp_path / "copy")
        with open(copy / last.name, "ab") as file:
            file.write((fill * length)[:length])
        log = open_log(copy, **SETTINGS)
        assert log.recovery.cut_bytes == length
        assert not log.recovery.lost_acknowledged
        check(log, batches)


def test_a_flipped_bit_anywhere_in_the_unflushed_tail(tmp_path: Path) -> None:
    batches = crashed(tmp_path / "log", 20, 10)
    *_, last = segment_files(tmp_path / "log")
    data = last.read_bytes()
    ends = {position + header.size for position, header in iter_batches(data)}
    first = len(batches) - len(ends)
    for at in range(len(data)):
        if at % 3 and data[at] == ord("x"):
            continue  # one of three bytes of the payload will do
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        copy = copy_directory(tmp_path / "log", tmp_path / "copy")
        (copy / last.name).write_bytes(damaged)
        log = open_log(copy, **SETTINGS)
        kept = [batch for _, batch in all_batches(log)]
        intact = first + sum(1 for end in ends if end <= at)
        timestamps_only = kept != batches[: len(kept)]
        if timestamps_only:  # no checksum covers them
            assert len(kept) == len(batches)
            assert [b[:13] + b[21:] for b in kept] == [b[:13] + b[21:] for b in batches]
        else:
            assert len(kept) == intact
        assert log.append(make_batch()).base_offset == 2 * len(kept)


def remove(*suffixes: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        for path in directory.iterdir():
            if path.name.endswith(suffixes):
                path.unlink()

    return damage


def overwrite(suffix: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        for path in directory.iterdir():
            if path.name.endswith(suffix):
                path.write_bytes(change(path.read_bytes()))

    return damage


def leave_temporary_files(directory: Path) -> None:
    for name in ("recovery-point", "x"):
        (directory / f"{name}.tmp").touch()


def garbage(data: bytes) -> bytes:
    return random.Random(len(data)).randbytes(len(data) + 5)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "garbage": garbage,
    "zeroed": lambda data: bytes(len(data)),
    "short": lambda data: data[: len(data) * 2 // 3],
    "by one entry too short": lambda data: data[:-12],
    "preallocated": lambda data: data + bytes(2400),
}
DAMAGE: dict[str, Callable[[Path], None]] = {
    "no offset index": remove(".index"),
    "no time index": remove(".timeindex"),
    "no snapshot": remove(".writer_snapshot"),
    "no recovery point": remove("recovery-point"),
    "no flush checkpoint": remove("flushed-offset"),
    "nothing but batches": remove(".index", ".timeindex", ".writer_snapshot", "recovery-point", "flushed-offset"),
    **{
        f"{what} {suffix}": overwrite(suffix, change)
        for suffix in (".index", ".timeindex", ".writer_snapshot", "recovery-point", "flushed-offset")
        for what, change in CHANGES.items()
    },
    "temporary files": leave_temporary_files,
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("close_at", [0, 13, 20])
def test_small_files_are_rebuilt(tmp_path: Path, what: str, close_at: int) -> None:
    batches = crashed(tmp_path, 20, 0, close_at)
    DAMAGE[what](tmp_path)
    log = open_log(tmp_path, **SETTINGS)
    assert log.recovery.cut_reason is None
    assert not list(tmp_path.glob("*.tmp"))
    check(log, batches)
    log.close()
    log = open_log(tmp_path, **SETTINGS)
    assert not log.recovery.changed
    for path in segment_files(tmp_path):
        assert path.with_suffix(".index").exists()


def test_index_entries_that_look_good_and_are_wrong(tmp_path: Path) -> None:
    """A lookup does not believe an entry before it has seen the batch."""
    batches = crashed(tmp_path, 20, 20, 20)
    for path in tmp_path.glob("*.index"):
        data = bytearray(path.read_bytes())
        for at in range(7, len(data), 8):
            data[at] ^= 1
        path.write_bytes(data)
    for path in tmp_path.glob("*.timeindex"):
        data = bytearray(path.read_bytes())
        for at in range(11, len(data), 12):
            data[at] ^= 1
        path.write_bytes(data)
    check(open_log(tmp_path, **SETTINGS), batches)


def test_orphaned_files_are_removed(tmp_path: Path) -> None:
    batches = crashed(tmp_path, 10)
    (tmp_path / f"{9999:020d}.index").write_bytes(bytes(8))
    (tmp_path / f"{9999:020d}.timeindex").write_bytes(bytes(12))
    (tmp_path / f"{9999:020d}.writer_snapshot").write_text('{"version":1,"writer_id_entries":[]}')
    log = open_log(tmp_path, **SETTINGS)
    assert not list(tmp_path.glob(f"{9999:020d}*"))
    check(log, batches)


@pytest.mark.parametrize("close_at", [0, 20])
def test_an_empty_last_segment(tmp_path: Path, close_at: int) -> None:
    """A crash right after the roll created the file, before or after it reached the indexes."""
    batches = crashed(tmp_path, 20, 0, close_at)
    (tmp_path / f"{40:020d}.log").touch()
    log = open_log(tmp_path, **SETTINGS)
    check(log, batches)
    log.close()
    log = open_log(tmp_path, **SETTINGS)
    assert log.end_offset == 42


def test_segments_behind_a_gap_go(tmp_path: Path) -> None:
    """Data of later segments reached the disk, that of an earlier one did not, and nothing was acknowledged."""
    batches = crashed(tmp_path, 40)
    paths = segment_files(tmp_path)
    assert len(paths) > 4
    paths[2].unlink()
    log = open_log(tmp_path, **SETTINGS)
    assert log.recovery.dropped_segments == len(paths) - 3
    check(log, batches[: int(paths[2].name[:20]) // 2])
    assert segment_files(tmp_path) == paths[:2]


def test_segments_behind_a_torn_one_go(tmp_path: Path) -> None:
    batches = crashed(tmp_path, 40)
    paths = segment_files(tmp_path)
    with open(paths[1], "r+b") as file:
        file.truncate(last_positions(paths[1], 1)[0] + 30)
    log = open_log(tmp_path, **SETTINGS)
    check(log, batches[: int(paths[2].name[:20]) // 2 - 1])
    assert segment_files(tmp_path) == paths[:2]


def test_an_overlapping_segment_goes(tmp_path: Path) -> None:
    batches = crashed(tmp_path, 10)
    shutil.copy(segment_files(tmp_path)[0], tmp_path / f"{17:020d}.log")
    log = open_log(tmp_path, **SETTINGS)
    assert log.recovery.dropped_segments == 1
    check(log, batches)


def damage_batch(directory: Path, number: int) -> None:
    """Flip a bit in the payload of a batch of the log."""
    for path in segment_files(directory):
        data = bytearray(path.read_bytes())
        positions = [position for position, header in iter_batches(data) if header.base_offset == 2 * number]
        if positions:
            data[positions[0] + 50] ^= 4
            path.write_bytes(data)


@pytest.mark.parametrize(("number", "close_at"), [(0, 0), (10, 0), (18, 0), (12, 12), (18, 12)])
def test_damage_among_durable_batches_is_not_cut(tmp_path: Path, number: int, close_at: int) -> None:
    """Intact, acknowledged batches follow: opening fails, nothing is touched, and the hint leads on."""
    batches = crashed(tmp_path, 20, 20, close_at, ONE_SEGMENT)
    damage_batch(tmp_path, number)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for _ in range(2):
        with pytest.raises(FlussError, match=f"damaged at offset {2 * number}") as caught:
            open_log(tmp_path, **ONE_SEGMENT)
        assert caught.value.code is ErrorCode.LOG_STORAGE_EXCEPTION
        assert caught.value.hint is not None
        assert "recovery-point" in caught.value.hint
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    for name in ("recovery-point", "flushed-offset"):
        (tmp_path / name).unlink(missing_ok=True)
    check(open_log(tmp_path, **ONE_SEGMENT), batches[:number])


def test_damage_in_front_of_durable_segments_is_not_cut(tmp_path: Path) -> None:
    crashed(tmp_path, 40)
    FlushCheckpoint(tmp_path, SystemDisk()).advance(80)  # as if every batch had been flushed
    damage_batch(tmp_path, int(segment_files(tmp_path)[2].name[:20]) // 2 - 1)
    with pytest.raises(FlussError, match="undamaged batches follow"):
        open_log(tmp_path, **SETTINGS)


def test_damage_to_the_last_durable_batch_is_cut_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    batches = crashed(tmp_path / "log", 20, 20, 0, ONE_SEGMENT)
    damage_batch(tmp_path / "log", 19)
    with caplog.at_level(logging.ERROR):
        log = open_log(tmp_path / "log", **ONE_SEGMENT)
    assert log.recovery.lost_acknowledged
    assert "acknowledged batches are lost" in caplog.text
    check(log, batches[:19])
    assert not open_log(tmp_path / "log", **ONE_SEGMENT).recovery.lost_acknowledged


def test_damage_among_batches_that_were_never_flushed_is_cut(tmp_path: Path) -> None:
    """Pages reach the disk in any order."""
    batches = crashed(tmp_path, 20, 5)
    damage_batch(tmp_path, 10)
    log = open_log(tmp_path, **SETTINGS)
    assert not log.recovery.lost_acknowledged
    check(log, batches[:10])


def test_old_segments_are_trusted_but_must_be_whole(tmp_path: Path) -> None:
    batches = crashed(tmp_path / "log", 40, 0, 40)
    damage_batch(tmp_path / "log", 1)
    log = open_log(copy_directory(tmp_path / "log", tmp_path / "copy"), **SETTINGS)
    assert log.end_offset == 2 * len(batches)
    with pytest.raises(FlussError) as caught:
        all_batches(log)
    assert caught.value.code is ErrorCode.CORRUPT_MESSAGE
    for change in (-1, 1):
        copy = copy_directory(tmp_path / "log", tmp_path / "copy")
        path = segment_files(copy)[1]
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size + change)
        with pytest.raises(FlussError) as caught:
            open_log(copy, **SETTINGS)
        assert caught.value.code is ErrorCode.LOG_STORAGE_EXCEPTION


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_durable_segment_that_is_missing(tmp_path: Path, which: int) -> None:
    crashed(tmp_path, 40, 0, 40)
    segment_files(tmp_path)[which].unlink()
    with pytest.raises(FlussError) as caught:
        open_log(tmp_path, **SETTINGS)
    assert caught.value.code is ErrorCode.LOG_STORAGE_EXCEPTION


def test_all_segments_missing_is_not_an_empty_log(tmp_path: Path) -> None:
    crashed(tmp_path, 5, 5)
    for path in segment_files(tmp_path):
        path.unlink()
    with pytest.raises(FlussError, match="missing"):
        open_log(tmp_path, **SETTINGS)


def test_a_crash_during_truncation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before any of its steps, a truncation leaves the old end, the new end, or one between."""

    class KilledError(BaseException):
        pass

    for step in range(100):
        directory = tmp_path / f"step-{step}"
        batches = crashed(directory, 40)
        log = open_log(directory, **SETTINGS)
        countdown = [step]

        def counted(call: Callable[..., object], countdown: list[int] = countdown) -> Callable[..., object]:
            def wrapper(*arguments: object, **named: object) -> object:
                if countdown[0] == 0:
                    raise KilledError
                countdown[0] -= 1
                return call(*arguments, **named)

            return wrapper

        with monkeypatch.context() as patched:
            for owner, name in (
                (os, "unlink"),
                (os, "fsync"),
                (os, "replace"),
                (SystemFile, "truncate"),
                (SystemFile, "sync"),
            ):
                patched.setattr(owner, name, counted(getattr(owner, name)))
            try:
                log.truncate(20)
                finished = True
            except KilledError:
                finished = False
        del log
        recovered = open_log(directory, **SETTINGS)
        kept = recovered.end_offset // 2
        assert 10 <= kept <= 40
        assert not finished or kept == 10
        check(recovered, batches[:kept])
        if finished:
            assert step > 5
            return
    raise AssertionError("a truncation takes fewer steps")


def test_the_flush_checkpoint_never_runs_ahead(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    checkpoint = FlushCheckpoint(tmp_path, SystemDisk())
    log.append(make_batch(3))
    assert checkpoint.read() is None
    assert log.flush() == 3
    assert checkpoint.read() == 3
    log.append(make_batch(3))
    assert checkpoint.read() == 3
