"""Files and directories as the server uses them.

POSIX says little about when a file *name* is durable; the rule used here is the common one of databases: fsync the
file, rename it into place, fsync the directory that holds the name. Paths are pure paths: they name files, and only a
:class:`Disk` touches them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple, Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Contiguous bytes. A ``memoryview`` must have format ``B`` and one dimension."""


class DiskFile(Protocol):
    """One open file. Positions and sizes are in bytes. All methods raise ``OSError``.

    A file is closed by :meth:`close` or when the last reference to it goes away. Whatever reads a region of it later
    holds a reference, so files that are read concurrently are not closed explicitly.

    Attributes:
        path: the name under which it was opened; it may have been renamed or removed since.
    """

    @property
    def path(self) -> PurePath: ...

    def size(self) -> int:
        """Current size of the file."""

    def read(self, length: int, position: int) -> bytes:
        """``length`` bytes from ``position``; fewer only where the file ends."""

    def read_into(self, target: memoryview, position: int) -> int:
        """Fill ``target`` from ``position``; returns how many bytes were there."""

    def is_cached(self, position: int, length: int) -> bool:
        """Whether reading ``length`` bytes, at least one, probably needs no access to the disk; never waits for it."""

    def write(self, pieces: Sequence[Buffer], position: int) -> None:
        """Write the pieces one after the other from ``position``. After an error any part of them may be there."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size``, or extend it with zeros."""

    def sync(self) -> None:
        """Make everything written so far, and the size, durable; not the name.

        After an error it is unknown which bytes are durable, and a second call does not tell: the kernel reports a
        failed write-back once and then treats the pages as clean. Write them again.
        """

    def drop_cached_pages(self, position: int) -> None:
        """Drop clean pages from ``position`` on from the page cache, so that the next read shows the disk."""

    def close(self) -> None:
        """Close it now; a second call does nothing."""


@dataclass(frozen=True, slots=True)
class FileRegion:
    """A range of bytes of an open file that can be sent without being held in memory.

    Attributes:
        file: the file, open as long as this region is referenced.
        position: first byte of the range.
        length: number of bytes.
    """

    file: DiskFile
    position: int
    length: int

    def read(self) -> bytes:
        """The bytes of the region; shorter than ``length`` only if the file is. Raises ``OSError``."""
        return self.file.read(self.length, self.position)

    def part(self, position: int, length: int) -> FileRegion:
        """``length`` bytes from ``position`` of the file, which must be inside the region."""
        return FileRegion(self.file, position, length)


class DiskUsage(NamedTuple):
    """Space of the file system of a directory, in bytes.

    Attributes:
        total_bytes: its size.
        free_bytes: what an unprivileged process can still use.
    """

    total_bytes: int
    free_bytes: int

    @property
    def share_in_use(self) -> float:
        """Share that is not available to this process, 0 to 1."""
        return 1 - self.free_bytes / self.total_bytes if self.total_bytes else 0.0


class FileStatus(NamedTuple):
    """Facts of a file or directory.

    Attributes:
        size_bytes: its size.
        permissions: permission bits, for example ``0o600``.
        identity: changes whenever the file was replaced or written.
    """

    size_bytes: int
    permissions: int
    identity: tuple[int, ...]


class DirectoryLock(Protocol):
    """An exclusive lock on a directory, held by one process until it is released or the process ends."""

    def acquire(self) -> bool:
        """Take the lock; False if another process holds it. Raises ``OSError``."""

    def release(self) -> None:
        """Release the lock; nothing happens when it is not held."""


class Disk(Protocol):
    """The file system. All methods raise ``OSError``, for example ``FileNotFoundError`` or one with ``ENOSPC``."""

    def open(self, path: PurePath, *, create: bool = False, read_only: bool = False, mode: int = 0o644) -> DiskFile:
        """Open a file.

        Args:
            path: its name.
            create: create it, empty, if it is missing; the name is not durable yet.
            read_only: open it for reading only.
            mode: permissions of a created file.
        """

    def read_file(self, path: PurePath) -> bytes:
        """The content of a whole file."""

    def replace_file(self, path: PurePath, data: Buffer, *, mode: int = 0o644) -> None:
        """Replace a small file durably: after a crash it holds the old or the new content, whole."""

    def rename(self, source: PurePath, target: PurePath) -> None:
        """Rename a file or directory, replacing a file ``target``; not durable before the directory is synced."""

    def remove(self, path: PurePath, *, missing_ok: bool = False) -> None:
        """Remove a file; not durable before the directory is synced."""

    def remove_tree(self, path: PurePath) -> None:
        """Remove a directory with everything in it, as far as possible; errors are ignored."""

    def make_directories(self, path: PurePath, *, mode: int = 0o755) -> None:
        """Create a directory and its missing parents, each name durable."""

    def remove_directory(self, path: PurePath) -> None:
        """Remove an empty directory; not durable before its parent is synced."""

    def sync_directory(self, path: PurePath) -> None:
        """Make creations, renames and removals in a directory durable."""

    def list(self, path: PurePath) -> list[str]:
        """Names in a directory, sorted."""

    def exists(self, path: PurePath) -> bool:
        """Whether there is a file or directory of that name."""

    def is_directory(self, path: PurePath) -> bool:
        """Whether there is a directory of that name."""

    def size(self, path: PurePath) -> int:
        """Size of a file."""

    def status(self, path: PurePath) -> FileStatus:
        """Facts of a file or directory."""

    def usage(self, path: PurePath) -> DiskUsage:
        """Space of the file system that holds ``path``."""

    def lock(self, directory: PurePath) -> DirectoryLock:
        """The lock of a directory, not yet taken."""

    def native_path(self, path: PurePath) -> str:
        """Where a library that opens files by itself (RocksDB) finds ``path``; the directory is created."""
