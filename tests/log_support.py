"""Making logs, and breaking the disk below them."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from fluss_server.formats.crc import crc32c
from fluss_server.formats.log_batch import BatchHeader, build_batch, iter_batches
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.runtime import system_disk, system_runtime
from fluss_server.runtime.clock import ManualClock

NOW_MS = 1_700_000_000_000


def make_batch(rows: int = 1, size: int = 100, writer_id: int = -1, sequence: int = -1, fill: bytes = b"x") -> bytes:
    """A batch of ``size`` bytes as a client sends it; what is in it matters to nobody here."""
    payload = (fill * size)[: size - 48] if rows else b""
    return bytes(
        build_batch(
            1, change_types=None, payload=payload, record_count=rows, writer_id=writer_id, batch_sequence=sequence
        )
    )


def with_statistics(batch: bytes, statistics: bytes, magic: int) -> bytes:
    """The batch in a layout that has statistics."""
    epoch = b"" if magic == 1 else bytes(4)
    fixed = batch[:12] + bytes([magic]) + batch[13:21] + epoch + bytes(4) + batch[25:48]
    data = bytearray(fixed + len(statistics).to_bytes(4, "little") + statistics + batch[48:])
    data[8:12] = (len(data) - 12).to_bytes(4, "little")
    at = 21 + len(epoch)
    data[at : at + 4] = crc32c(data[at + 4 :]).to_bytes(4, "little")
    return bytes(data)


def open_log(directory: Path, clock: ManualClock | None = None, **settings: Any) -> LogTablet:
    """Open a log with a clock that stands still."""
    return LogTablet.open(directory, LogConfig(**settings), system_runtime(clock=clock or ManualClock(NOW_MS)))


def all_batches(log: LogTablet) -> list[tuple[BatchHeader, bytes]]:
    """Everything in the log, as replay sees it."""
    return list(log.batches(log.start_offset, log.end_offset))


def read_all(log: LogTablet, max_bytes: int = 1 << 20) -> bytes:
    """Everything in the log, as a reader gets it slice by slice."""
    data, offset = b"", log.start_offset
    while offset < log.end_offset:
        piece = log.read(offset, max_bytes, log.end_offset, at_least_one=True)
        assert piece is not None
        assert piece.first_offset == offset < piece.next_offset
        part = piece.region.read()
        assert len(part) == piece.region.length
        headers = [header for _, header in iter_batches(part)]
        assert sum(header.size for header in headers) == len(part)
        assert headers[-1].next_offset == piece.next_offset
        data, offset = data + part, piece.next_offset
    return data


def directory_of(log: LogTablet) -> Path:
    """Where the files of a log are."""
    return Path(log._directory)


def segment_files(directory: Path) -> list[Path]:
    """The ``.log`` files, in order."""
    return sorted(directory.glob("*.log"))


class WatchedDisk:
    """Remembers what was fsynced, instead of doing it, so that the loss of power can be played.

    A file counts with what it held at its last fsync, a name from the last fsync of its directory on. Files have
    numbers of their own, because the system uses inode numbers again.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._last_number = 0
        self._numbers: dict[int, int] = {}  # by inode
        self._content: dict[int, bytes] = {}  # by number
        self._names: dict[str, dict[str, int]] = {}  # of each directory: numbers
        self._open = os.open
        monkeypatch.setattr(os, "open", self._watched_open)
        monkeypatch.setattr(os, "fsync", self._sync)
        monkeypatch.setattr(system_disk, "_datasync", self._sync)

    def _watched_open(self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        is_new = bool(flags & os.O_CREAT) and not os.path.exists(path)
        fd = self._open(path, flags, mode, dir_fd=dir_fd)
        if is_new:
            self._numbers.pop(os.fstat(fd).st_ino, None)
        return fd

    def _number(self, inode: int) -> int:
        if inode not in self._numbers:
            self._last_number += 1
            self._numbers[inode] = self._last_number
        return self._numbers[inode]

    def _sync(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if os.path.isdir(path):
            self._names[path] = self._present(Path(path))
        else:
            self._content[self._number(os.fstat(fd).st_ino)] = Path(f"/proc/self/fd/{fd}").read_bytes()

    def _present(self, directory: Path) -> dict[str, int]:
        return {path.name: self._number(path.stat().st_ino) for path in sorted(directory.iterdir()) if path.is_file()}

    def lose_power(self, directory: Path, image: Path, choose: random.Random) -> None:
        """Make in ``image`` one of the states in which ``directory`` may come back.

        Fsynced bytes and names are there. Of everything younger, any part is: per file a later size or not, per 64
        bytes the old content, the new content, zeros or garbage; names created since may be missing.
        """
        image.mkdir(parents=True)
        durable, present = self._names.get(str(directory), {}), self._present(directory)
        names: dict[str, int] = {}
        for name in sorted({*durable, *present}):
            before, after = durable.get(name), present.get(name)
            number = before if before == after or choose.random() < 0.5 else after
            if number is not None:
                names[name] = number
        for name, number in names.items():
            old = self._content.get(number, b"")
            new = (directory / name).read_bytes() if present.get(name) == number else old
            (image / name).write_bytes(_mix(old, new, choose))
        self._numbers.clear()
        self._names = {str(image): self._present(image)}
        self._content = {number: (image / name).read_bytes() for name, number in self._names[str(image)].items()}


def _mix(old: bytes, new: bytes, choose: random.Random) -> bytes:
    if old == new:
        return old
    kind = choose.randrange(4)
    if kind == 0:
        return old
    if kind == 1:
        return new
    size = choose.randint(min(len(old), len(new)), max(len(old), len(new)))
    mixed = bytearray()
    for at in range(0, size, 64):
        before, after = old[at : at + 64], new[at : at + 64]
        if before == after:
            part = before
        else:
            part = choose.choice([before, after, bytes(64), choose.randbytes(64)])
            if after.startswith(before):
                part = before + part[len(before) :]  # bytes that were durable and did not change stay
        mixed += part.ljust(64, b"\0")
    return bytes(mixed[:size])


def copy_directory(source: Path, target: Path) -> Path:
    """A copy of a log directory, replacing an older copy."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
