"""Writing an index to its file, and reading it back."""

from __future__ import annotations

from pathlib import PurePath
from typing import Protocol

from fluss_server.runtime.disk import Disk


class IndexEntries(Protocol):
    """An index of fixed-size entries that only grows."""

    ENTRY_BYTES: int

    def encode(self, first: int, end: int) -> bytes:
        """File image of the entries ``first`` to ``end`` (exclusive)."""


class IndexFile:
    """The file of one index.

    Entries are written in order and only when their batches are durable, in one thread at a time; no descriptor is kept
    open. Bytes after the entries that were read or written are not trusted and are cut at the next write. After any
    error the whole file is written again, so that pages which the kernel marked clean without writing them are written.

    All methods raise ``OSError``.
    """

    def __init__(self, path: PurePath, entry_bytes: int, disk: Disk) -> None:
        self.path = path
        self._entry_bytes = entry_bytes
        self._disk = disk
        self._written = 0
        self._in_sync = False  # whether the file is durable and has exactly the entries written

    def write(self, index: IndexEntries, count: int) -> None:
        """Bring the file to the first ``count`` entries and make it durable (its name apart)."""
        if self._in_sync and count == self._written:
            return
        start = min(self._written, count)
        self._written, self._in_sync = 0, False
        file = self._disk.open(self.path, create=True)
        try:
            file.truncate(start * self._entry_bytes)
            file.write((index.encode(start, count),), start * self._entry_bytes)
            file.sync()
        finally:
            file.close()
        self._written, self._in_sync = count, True

    def read(self, count: int | None) -> bytes | None:
        """Image of the first ``count`` entries, or of the whole file; None if the file is missing or too short."""
        try:
            data = self._disk.read_file(self.path)
        except FileNotFoundError:
            return None
        if count is None:
            return data
        size = count * self._entry_bytes
        return data[:size] if len(data) >= size else None

    def read_last(self) -> bytes | None:
        """Image of the last entry, empty if there is none; None if the file is missing or has a partial entry."""
        try:
            file = self._disk.open(self.path, read_only=True)
        except FileNotFoundError:
            return None
        try:
            size = file.size()
            if size % self._entry_bytes:
                return None
            return file.read(self._entry_bytes, size - self._entry_bytes) if size else b""
        finally:
            file.close()

    def assume_written(self, count: int) -> None:
        """Say that the file is known to begin with ``count`` durable entries; what follows them is unknown."""
        self._written, self._in_sync = count, False

    def limit_written(self, count: int) -> None:
        """Say that entries from ``count`` on are no longer those of the index."""
        self._written, self._in_sync = min(self._written, count), False

    def delete(self) -> None:
        """Remove the file if it exists."""
        self._disk.remove(self.path, missing_ok=True)
        self._written, self._in_sync = 0, False
