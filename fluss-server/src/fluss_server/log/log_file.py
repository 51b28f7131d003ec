"""One open ``.log`` file: positioned reads and writes, and a life as long as somebody refers to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fluss_server.formats.buffer import Buffer

_MAX_PIECES = 1024
"""Pieces one ``pwritev`` takes (IOV_MAX of Linux)."""

_datasync = getattr(os, "fdatasync", os.fsync)


class LogFile:
    """A file descriptor of a ``.log`` file.

    It is closed when the last reference goes away, not before: regions of it may be on their way to a socket when their
    segment is closed or deleted. Positions and sizes are in bytes. All methods raise ``OSError``.
    """

    __slots__ = ("fd", "path")

    def __init__(self, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        self.fd = -1
        self.path = path
        access = os.O_RDONLY if read_only else os.O_RDWR
        self.fd = os.open(path, access | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o644)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def size(self) -> int:
        """Current size of the file."""
        return os.fstat(self.fd).st_size

    def read_at(self, length: int, position: int) -> bytes:
        """``length`` bytes from ``position``; fewer only where the file ends."""
        data = os.pread(self.fd, length, position)
        while len(data) < length:
            more = os.pread(self.fd, length - len(data), position + len(data))
            if not more:
                break
            data += more
        return data

    def read_into(self, target: memoryview, position: int) -> int:
        """Fill ``target`` from ``position``; returns how many bytes were there."""
        done = 0
        while done < len(target):
            count = os.preadv(self.fd, [target[done:]], position + done)
            if count == 0:
                break
            done += count
        return done

    def write_at(self, pieces: Sequence[Buffer], position: int) -> None:
        """Write the pieces one behind the other from ``position``. After an error any part of them may be there."""
        if len(pieces) > _MAX_PIECES:
            for first in range(0, len(pieces), _MAX_PIECES):
                part = pieces[first : first + _MAX_PIECES]
                self.write_at(part, position)
                position += sum(map(len, part))
            return
        written = os.pwritev(self.fd, pieces, position)
        if written == sum(map(len, pieces)):
            return
        for piece in pieces:  # the rest of a short write
            if written >= len(piece):
                written -= len(piece)
            else:
                rest = memoryview(piece)[written:]
                written = 0
                start = position + len(piece) - len(rest)
                while rest:
                    count = os.pwrite(self.fd, rest, start)
                    rest, start = rest[count:], start + count
            position += len(piece)

    def truncate(self, size: int) -> None:
        """Cut the file to ``size``."""
        os.ftruncate(self.fd, size)

    def sync(self) -> None:
        """Make everything written so far, and the size, durable."""
        _datasync(self.fd)

    def forget_cached_pages(self, position: int) -> None:
        """Drop clean pages from ``position`` on from the page cache, so that the next read shows what is on the disk.

        After a failed write-back the kernel may hold pages that look written and are not.
        """
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, position, 0, os.POSIX_FADV_DONTNEED)
