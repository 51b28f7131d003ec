"""A disk in memory that loses what was not synced, and whose operations can be made to fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import PurePath

from fluss_server.runtime.disk import Buffer, DirectoryLock, DiskUsage, FileStatus

PAGE = 64  # small, so that few bytes already are several pages

Fault = Callable[[str, PurePath], int | None]
"""Given an operation and the file or directory, the ``errno`` with which it fails, or None."""


class _Content:
    """The bytes of one file: what processes see, and what is on disk."""

    def __init__(self) -> None:
        self.cached = bytearray()
        self.durable = bytearray()
        self.dirty: set[int] = set()

    def write(self, data: bytes, position: int) -> None:
        missing = position + len(data) - len(self.cached)
        self.cached += bytes(max(0, missing))
        self.cached[position : position + len(data)] = data
        self.dirty.update(range(position // PAGE, (position + len(data) + PAGE - 1) // PAGE))

    def truncate(self, size: int) -> None:
        self.write(b"", size)
        del self.cached[size:]
        self.dirty.add(size // PAGE)

    def sync(self, *, failing: bool) -> None:
        """Like the kernel: after a failure the pages count as clean, although they are not on disk."""
        if not failing:
            del self.durable[len(self.cached) :]
            self.durable += bytes(len(self.cached) - len(self.durable))
            for page in self.dirty:
                piece = slice(page * PAGE, (page + 1) * PAGE)
                self.durable[piece] = self.cached[piece]
        self.dirty.clear()


class _File:
    def __init__(self, disk: LossyMemoryDisk, path: PurePath, content: _Content) -> None:
        self._disk = disk
        self._path = path
        self._content = content

    @property
    def path(self) -> PurePath:
        return self._path

    def size(self) -> int:
        return len(self._content.cached)

    def read(self, length: int, position: int) -> bytes:
        return bytes(self._content.cached[position : position + length])

    def read_into(self, target: memoryview, position: int) -> int:
        data = self.read(len(target), position)
        target[: len(data)] = data
        return len(data)

    def write(self, pieces: Sequence[Buffer], position: int) -> None:
        data = b"".join(pieces)
        if (number := self._disk.failure("write", self._path)) is not None:
            self._content.write(data[: len(data) // 2], position)
            raise OSError(number, os.strerror(number))
        self._content.write(data, position)

    def truncate(self, size: int) -> None:
        self._disk.check("truncate", self._path)
        self._content.truncate(size)

    def sync(self) -> None:
        number = self._disk.failure("sync", self._path)
        self._content.sync(failing=number is not None)
        if number is not None:
            raise OSError(number, os.strerror(number))

    def drop_cached_pages(self, position: int) -> None:
        pass

    def close(self) -> None:
        pass


class LossyMemoryDisk:
    """Files in one flat directory tree; directories exist when something was made in them.

    Attributes:
        fault: decides which operations fail.
        operations: name and path of everything that was tried and could be made to fail.
    """

    def __init__(self) -> None:
        self.fault: Fault = lambda operation, path: None
        self.operations: list[tuple[str, PurePath]] = []
        self._names: dict[PurePath, _Content] = {}
        self._durable_names: dict[PurePath, _Content] = {}

    def failure(self, operation: str, path: PurePath) -> int | None:
        """The ``errno`` with which an operation is to fail."""
        self.operations.append((operation, path))
        return self.fault(operation, path)

    def check(self, operation: str, path: PurePath) -> None:
        """Fail if the operation is to fail."""
        if (number := self.failure(operation, path)) is not None:
            raise OSError(number, os.strerror(number))

    def lose_power(self) -> None:
        """Only what was synced is left."""
        self._names = dict(self._durable_names)
        for content in self._names.values():
            content.cached = bytearray(content.durable)
            content.dirty.clear()

    def open(self, path: PurePath, *, create: bool = False, read_only: bool = False, mode: int = 0o644) -> _File:
        self.check("open", path)
        if path not in self._names:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
            self._names[path] = _Content()
        return _File(self, path, self._names[path])

    def read_file(self, path: PurePath) -> bytes:
        return bytes(self.open(path)._content.cached)

    def replace_file(self, path: PurePath, data: Buffer, *, mode: int = 0o644) -> None:
        temporary = path.with_name(path.name + ".tmp")
        file = self.open(temporary, create=True)
        file.truncate(0)
        file.write([data], 0)
        file.sync()
        self.rename(temporary, path)
        self.sync_directory(path.parent)

    def rename(self, source: PurePath, target: PurePath) -> None:
        self.check("rename", target)
        self._names[target] = self._names.pop(source)

    def remove(self, path: PurePath, *, missing_ok: bool = False) -> None:
        if path in self._names:
            del self._names[path]
        elif not missing_ok:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))

    def remove_tree(self, path: PurePath) -> None:
        for name in [name for name in self._names if path in name.parents]:
            del self._names[name]

    def make_directories(self, path: PurePath, *, mode: int = 0o755) -> None:
        pass

    def remove_directory(self, path: PurePath) -> None:
        pass

    def sync_directory(self, path: PurePath) -> None:
        self.check("sync", path)
        kept = {name: content for name, content in self._durable_names.items() if name.parent != path}
        here = {name: content for name, content in self._names.items() if name.parent == path}
        self._durable_names = {**kept, **here}

    def list(self, path: PurePath) -> list[str]:
        return sorted({name.relative_to(path).parts[0] for name in self._names if path in name.parents})

    def exists(self, path: PurePath) -> bool:
        return path in self._names or self.is_directory(path)

    def is_directory(self, path: PurePath) -> bool:
        return any(path in name.parents for name in self._names)

    def size(self, path: PurePath) -> int:
        return self.open(path).size()

    def status(self, path: PurePath) -> FileStatus:
        return FileStatus(self.size(path), 0o644, (id(self._names[path]),))

    def usage(self, path: PurePath) -> DiskUsage:
        return DiskUsage(1 << 40, 1 << 39)

    def lock(self, directory: PurePath) -> DirectoryLock:
        raise NotImplementedError("one process uses a disk in memory")

    def native_path(self, path: PurePath) -> str:
        raise NotImplementedError("native libraries cannot use a disk in memory")
