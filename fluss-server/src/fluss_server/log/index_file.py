"""Writing an index to its file, and reading it back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from fluss_server.runtime.files import write_all


class IndexEntries(Protocol):
    """An index of fixed-size entries that only grows."""

    ENTRY_BYTES: int

    def encode(self, first: int, end: int) -> bytes:
        """File image of the entries ``first`` to ``end`` (exclusive)."""


class IndexFile:
    """The file of one index.

    Entries are written in order and only when their batches are durable, in one thread at a time; no descriptor is kept
    open. Bytes behind the entries that were read or written are not trusted and are cut at the next write. After any
    error the whole file is written anew, so that pages which the kernel gave up on are written again.

    All methods raise ``OSError``.
    """

    def __init__(self, path: Path, entry_bytes: int) -> None:
        self.path = path
        self._entry_bytes = entry_bytes
        self._written = 0
        self._in_sync = False  # whether the file is durable and has exactly the entries written

    def write(self, index: IndexEntries, count: int) -> None:
        """Bring the file to the first ``count`` entries and make it durable (its name apart)."""
        if self._in_sync and count == self._written:
            return
        start = min(self._written, count)
        self._written, self._in_sync = 0, False
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(fd, start * self._entry_bytes)
            os.lseek(fd, 0, os.SEEK_END)
            write_all(fd, index.encode(start, count))
            os.fsync(fd)
        finally:
            os.close(fd)
        self._written, self._in_sync = count, True

    def read(self, count: int | None) -> bytes | None:
        """Image of the first ``count`` entries, or of the whole file; None if the file is missing or too short."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if count is None:
            return data
        size = count * self._entry_bytes
        return data[:size] if len(data) >= size else None

    def read_last(self) -> bytes | None:
        """Image of the last entry, empty if there is none; None if the file is missing or has a partial entry."""
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size % self._entry_bytes:
                    return None
                return os.pread(file.fileno(), self._entry_bytes, size - self._entry_bytes) if size else b""
        except FileNotFoundError:
            return None

    def assume_written(self, count: int) -> None:
        """Say that the file is known to begin with ``count`` durable entries; what follows them is unknown."""
        self._written, self._in_sync = count, False

    def limit_written(self, count: int) -> None:
        """Say that entries from ``count`` on are no longer those of the index."""
        self._written, self._in_sync = min(self._written, count), False

    def delete(self) -> None:
        """Remove the file if it exists."""
        self.path.unlink(missing_ok=True)
        self._written, self._in_sync = 0, False
