"""The file system of the operating system."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import PurePath

from fluss_server.runtime.disk import Buffer, DirectoryLock, DiskFile, DiskUsage, FileStatus

_MAX_PIECES = 1024
"""Pieces one ``pwritev`` takes (IOV_MAX of Linux)."""

_datasync = getattr(os, "fdatasync", os.fsync)


class SystemFile:
    """See :class:`fluss_server.runtime.disk.DiskFile`."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: PurePath, *, create: bool = False, read_only: bool = False, mode: int = 0o644) -> None:
        self._fd = -1
        self._path = path
        access = os.O_RDONLY if read_only else os.O_RDWR
        self._fd = os.open(path, access | os.O_CLOEXEC | (os.O_CREAT if create else 0), mode)

    def __del__(self) -> None:
        self.close()

    @property
    def path(self) -> PurePath:
        return self._path

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, length: int, position: int) -> bytes:
        data = os.pread(self._fd, length, position)
        while len(data) < length:
            more = os.pread(self._fd, length - len(data), position + len(data))
            if not more:
                break
            data += more
        return data

    def read_into(self, target: memoryview, position: int) -> int:
        done = 0
        while done < len(target):
            count = os.preadv(self._fd, [target[done:]], position + done)
            if count == 0:
                break
            done += count
        return done

    def is_cached(self, position: int, length: int) -> bool:
        if not hasattr(os, "RWF_NOWAIT"):
            return False
        # The first and the last page stand for the others: files are read and written in one piece.
        return all(self._has_page(byte) for byte in (position, position + length - 1))

    def _has_page(self, position: int) -> bool:
        try:
            return os.preadv(self._fd, [bytearray(1)], position, os.RWF_NOWAIT) == 1
        except OSError:  # BlockingIOError, or this file system cannot tell
            return False

    def write(self, pieces: Sequence[Buffer], position: int) -> None:
        if len(pieces) > _MAX_PIECES:
            for first in range(0, len(pieces), _MAX_PIECES):
                part = pieces[first : first + _MAX_PIECES]
                self.write(part, position)
                position += sum(map(len, part))
            return
        written = os.pwritev(self._fd, pieces, position)
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
                    count = os.pwrite(self._fd, rest, start)
                    rest, start = rest[count:], start + count
            position += len(piece)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        _datasync(self._fd)

    def drop_cached_pages(self, position: int) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, position, 0, os.POSIX_FADV_DONTNEED)


class SystemDisk:
    """See :class:`fluss_server.runtime.disk.Disk`."""

    def __init__(self) -> None:
        self._creating = threading.Lock()
        self._unsynced: set[PurePath] = set()  # directories whose names may not be durable

    def open(self, path: PurePath, *, create: bool = False, read_only: bool = False, mode: int = 0o644) -> DiskFile:
        return SystemFile(path, create=create, read_only=read_only, mode=mode)

    def read_file(self, path: PurePath) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def replace_file(self, path: PurePath, data: Buffer, *, mode: int = 0o644) -> None:
        temporary = path.with_name(path.name + ".tmp")
        file = SystemFile(temporary, create=True, mode=mode)
        try:
            file.truncate(0)
            file.write([data], 0)
            file.sync()
        finally:
            file.close()
        os.replace(temporary, path)
        self.sync_directory(path.parent)

    def rename(self, source: PurePath, target: PurePath) -> None:
        os.replace(source, target)

    def remove(self, path: PurePath, *, missing_ok: bool = False) -> None:
        with contextlib.suppress(*([FileNotFoundError] if missing_ok else [])):
            os.unlink(path)

    def remove_tree(self, path: PurePath) -> None:
        import shutil  # loads three compression libraries, 0.6 MB and 5 ms; most servers drop no table

        shutil.rmtree(path, ignore_errors=True)

    def make_directories(self, path: PurePath, *, mode: int = 0o755) -> None:
        with self._creating:  # what another thread has made is durable when it counts as there
            missing = []
            current = path
            while current in self._unsynced or not os.path.exists(current):
                missing.append(current)
                current = current.parent
            for directory in reversed(missing):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(directory, mode)
                self._unsynced.add(directory)
                self.sync_directory(directory.parent)
                self._unsynced.discard(directory)

    def remove_directory(self, path: PurePath) -> None:
        os.rmdir(path)

    def sync_directory(self, path: PurePath) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def list(self, path: PurePath) -> list[str]:
        return sorted(os.listdir(path))

    def exists(self, path: PurePath) -> bool:
        return os.path.lexists(path)

    def is_directory(self, path: PurePath) -> bool:
        return os.path.isdir(path)

    def size(self, path: PurePath) -> int:
        return os.stat(path).st_size

    def status(self, path: PurePath) -> FileStatus:
        found = os.stat(path)
        identity = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return FileStatus(found.st_size, found.st_mode & 0o7777, identity)

    def usage(self, path: PurePath) -> DiskUsage:
        found = os.statvfs(path)
        return DiskUsage(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def lock(self, directory: PurePath) -> DirectoryLock:
        return SystemDirectoryLock(directory)

    def native_path(self, path: PurePath) -> str:
        self.make_directories(path)
        return str(path)


class SystemDirectoryLock:
    """See :class:`fluss_server.runtime.disk.DirectoryLock`: a lock of the kernel on the file ``.lock``."""

    def __init__(self, directory: PurePath) -> None:
        self._path = directory / ".lock"
        self._fd: int | None = None

    def acquire(self) -> bool:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        # The process id only helps people; a full disk must not prevent the start.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
