"""A disk that loses what was not synced.

A file is an inode with its content as running processes see it and, apart from that, what is durable. Names become
durable when their directory is synced. Of everything else a loss of power keeps what chance lets through: some sectors
of a file's unsynced writes, in any order, and the first few of the unsynced changes of names of each directory.

RocksDB opens files by itself: its directories are real ones, in a temporary directory of the run. A crash copies them
as they are then, so a store loses what its process had not handed to the system; RocksDB syncs what its manifest
names.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from random import Random
from typing import TypeAlias
from zlib import crc32

from fluss_server.runtime.disk import Buffer, DirectoryLock, DiskFile, DiskUsage, FileStatus

SECTOR_BYTES = 512
"""What a torn write keeps or loses as a whole."""

OnChange: TypeAlias = Callable[[str, bytes], None]


@dataclass
class _Inode:
    """One file: ``content`` as processes see it, ``durable`` as a loss of power leaves it at least."""

    number: int
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes]] = field(default_factory=list)  # unsynced; see _apply
    changes: int = 0
    mode: int = 0o644

    def settle(self) -> None:
        """The unsynced writes are durable; not those that a failed sync has lost."""
        for position, data in self.writes:
            _apply(self.durable, position, data)
        self.writes.clear()

    def forget_clean_pages(self) -> None:
        """Show what is on the disk, with the unsynced writes on top."""
        self.content = bytearray(self.durable)
        for position, data in self.writes:
            _apply(self.content, position, data)

    def lose_power(self, random: Random) -> None:
        """Keep what is durable and some of what is not."""
        for position, data in self.writes:
            if position < 0:
                if random.random() < 0.5:
                    _apply(self.durable, position, data)
                continue
            for start in range(0, len(data), SECTOR_BYTES):
                if random.random() < 0.5:
                    _apply(self.durable, position + start, data[start : start + SECTOR_BYTES])
        self.writes.clear()
        self.content = bytearray(self.durable)


@dataclass
class _Native:
    """A directory of a library that opens files by itself."""

    real: Path


@dataclass
class _Directory:
    """A directory: its entries as processes see them, and those that are durable."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    durable: dict[str, _Entry] = field(default_factory=dict)
    changes: list[tuple[str, _Entry | None]] = field(default_factory=list)  # unsynced; None = the name is gone
    mode: int = 0o755

    def set(self, name: str, entry: _Entry | None) -> None:
        if entry is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = entry
        self.changes.append((name, entry))

    def settle(self) -> None:
        self.durable = dict(self.entries)
        self.changes.clear()

    def lose_power(self, random: Random) -> None:
        """Keep the durable names and the first few of the unsynced changes."""
        self.entries = dict(self.durable)
        for name, entry in self.changes[: random.randint(0, len(self.changes))]:
            if entry is None:
                self.entries.pop(name, None)
            else:
                self.entries[name] = entry
        self.settle()


_Entry: TypeAlias = "_Inode | _Directory | _Native"


class SimulatedDisk:
    """A disk that outlives the processes that use it; give each process a :meth:`view`.

    Args:
        scratch: an empty real directory for RocksDB, removed by the caller.
        random: decides what a loss of power leaves.
        on_change: told of every change: what, with its bytes.
        capacity_bytes: its size; writes beyond fail with ``ENOSPC``.
    """

    def __init__(
        self,
        scratch: Path,
        random: Random,
        *,
        on_change: OnChange | None = None,
        capacity_bytes: int = 1 << 40,
    ) -> None:
        self._scratch = scratch
        self._random = random
        self._on_change = on_change or (lambda what, data: None)
        self.capacity_bytes = capacity_bytes
        self._root = _Directory()
        self._inodes = 0
        self._natives = 0
        self._used_bytes = 0
        self._locked: set[PurePath] = set()
        self._faults: list[tuple[str, str, int]] = []

    # ---- for tests

    def view(self) -> DiskView:
        """The disk as one process uses it."""
        return DiskView(self)

    def lose_power(self) -> None:
        """Every process is gone, and so is what was not durable."""
        self._on_change("power lost", b"")
        self._locked.clear()
        self._visit(self._root, lambda entry: entry.lose_power(self._random))
        self._move_natives(self._root)

    def kill_processes(self) -> None:
        """Every process is gone; what they handed to the system stays."""
        self._locked.clear()
        self._move_natives(self._root)

    def fail_next(self, operation: str, suffix: str, number: int) -> None:
        """Have the next call of ``operation`` (``write``, ``sync``, ``read``, ``open``) on a file fail.

        Args:
            operation: as above.
            suffix: how the file's path ends.
            number: ``errno`` of the error.
        """
        self._faults.append((operation, suffix, number))

    def fail_no_more(self) -> None:
        """Withdraw what :meth:`fail_next` has announced and did not happen."""
        self._faults.clear()

    def flip_bit(self, path: PurePath, position: int, bit: int) -> None:
        """Damage a file, durably and without a word."""
        inode = self._file(path)
        inode.content[position] ^= 1 << bit
        inode.settle()
        inode.durable[position] = inode.content[position]

    def real_path(self, path: PurePath) -> Path:
        """Where the files of a library's directory are."""
        entry = self._find(path)
        assert isinstance(entry, _Native), f"{path} is not a library's directory"
        return entry.real

    # ---- for views

    def changed(self, what: str, path: PurePath, data: bytes = b"") -> None:
        self._on_change(f"{what} {path}", data)

    def check_fault(self, operation: str, path: PurePath) -> None:
        for index, (name, suffix, number) in enumerate(self._faults):
            if name == operation and str(path).endswith(suffix):
                del self._faults[index]
                self.changed(f"{operation} fails with {errno.errorcode[number]}", path)
                raise OSError(number, os.strerror(number), str(path))

    def reserve(self, size: int) -> None:
        if self._used_bytes + size > self.capacity_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._used_bytes += size

    def discard(self, entry: _Entry) -> None:
        """The space of a removed file or tree is free again."""
        if isinstance(entry, _Native):
            shutil.rmtree(entry.real, ignore_errors=True)
        elif isinstance(entry, _Inode):
            self._used_bytes -= len(entry.content)
        else:
            for child in entry.entries.values():
                self.discard(child)

    def used_bytes(self) -> int:
        return self._used_bytes

    def lock(self, directory: PurePath) -> bool:
        if directory in self._locked:
            return False
        self._locked.add(directory)
        return True

    def unlock(self, directory: PurePath) -> None:
        self._locked.discard(directory)

    def new_inode(self, mode: int) -> _Inode:
        self._inodes += 1
        return _Inode(self._inodes, mode=mode)

    def new_native(self) -> _Native:
        self._natives += 1
        real = self._scratch / str(self._natives)
        real.mkdir()
        return _Native(real)

    def _find(self, path: PurePath) -> _Entry | None:
        entry: _Entry = self._root
        for index, part in enumerate(path.parts[1:] if path.is_absolute() else path.parts):
            if isinstance(entry, _Native):
                rest = path.parts[1:][index:] if path.is_absolute() else path.parts[index:]
                return entry if entry.real.joinpath(*rest).exists() else None
            if not isinstance(entry, _Directory) or (found := entry.entries.get(part)) is None:
                return None
            entry = found
        return entry

    def find(self, path: PurePath) -> _Entry | None:
        return self._find(path)

    def directory(self, path: PurePath) -> _Directory:
        entry = self._find(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not isinstance(entry, _Directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return entry

    def _file(self, path: PurePath) -> _Inode:
        entry = self._find(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not isinstance(entry, _Inode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return entry

    def file(self, path: PurePath) -> _Inode:
        return self._file(path)

    def _visit(self, entry: _Entry, action: Callable[[_Inode | _Directory], None]) -> None:
        """Directories before what is in them, in the order of their names; also what only has a durable name."""
        if isinstance(entry, _Native):
            return
        action(entry)
        if isinstance(entry, _Directory):
            for name in sorted(entry.entries):
                self._visit(entry.entries[name], action)

    def _move_natives(self, directory: _Directory) -> None:
        """Processes that are gone must not change the stores any more: give the next ones copies."""
        for name in sorted(directory.entries):
            entry = directory.entries[name]
            if isinstance(entry, _Native):
                copy = self.new_native()
                shutil.copytree(entry.real, copy.real, dirs_exist_ok=True)
                directory.entries[name] = directory.durable[name] = copy
            elif isinstance(entry, _Directory):
                self._move_natives(entry)


class DiskView:
    """See :class:`fluss_server.runtime.disk.Disk`. After :meth:`detach` every call fails: its process is gone."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._shared = disk
        self._detached = False

    def detach(self) -> None:
        """The process was killed."""
        self._detached = True

    @property
    def disk(self) -> SimulatedDisk:
        if self._detached:
            raise OSError(errno.EIO, "the process that used this disk was killed")
        return self._shared

    def open(self, path: PurePath, *, create: bool = False, read_only: bool = False, mode: int = 0o644) -> DiskFile:
        self.disk.check_fault("open", path)
        entry = self.disk.find(path)
        if entry is None and create:
            directory = self.disk.directory(path.parent)
            entry = self.disk.new_inode(mode)
            directory.set(path.name, entry)
            self.disk.changed("create", path)
        return _File(self, path, self.disk.file(path), read_only)

    def read_file(self, path: PurePath) -> bytes:
        self.disk.check_fault("read", path)
        return bytes(self.disk.file(path).content)

    def replace_file(self, path: PurePath, data: Buffer, *, mode: int = 0o644) -> None:
        temporary = path.with_name(path.name + ".tmp")
        file = self.open(temporary, create=True, mode=mode)
        file.truncate(0)
        file.write([data], 0)
        file.sync()
        self.rename(temporary, path)
        self.sync_directory(path.parent)

    def rename(self, source: PurePath, target: PurePath) -> None:
        before, after = self.disk.directory(source.parent), self.disk.directory(target.parent)
        entry = before.entries.get(source.name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
        after.set(target.name, entry)
        before.set(source.name, None)
        self.disk.changed(f"rename {source} to", target)

    def remove(self, path: PurePath, *, missing_ok: bool = False) -> None:
        entry = self.disk.find(path)
        if entry is None:
            if missing_ok:
                return
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self.disk.discard(self.disk.file(path))
        self.disk.directory(path.parent).set(path.name, None)
        self.disk.changed("remove", path)

    def remove_tree(self, path: PurePath) -> None:
        entry = self.disk.find(path)
        if entry is None:
            return
        self.disk.discard(entry)
        self.disk.directory(path.parent).set(path.name, None)
        self.disk.changed("remove tree", path)

    def remove_directory(self, path: PurePath) -> None:
        if self.disk.directory(path).entries:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        self.disk.directory(path.parent).set(path.name, None)
        self.disk.changed("remove directory", path)

    def make_directories(self, path: PurePath, *, mode: int = 0o755) -> None:
        if self.disk.find(path) is not None:
            return
        self.make_directories(path.parent, mode=mode)
        parent = self.disk.directory(path.parent)
        parent.set(path.name, _Directory(mode=mode))
        parent.settle()
        self.disk.changed("make directory", path)

    def sync_directory(self, path: PurePath) -> None:
        self.disk.check_fault("sync", path)
        self.disk.directory(path).settle()
        self.disk.changed("sync directory", path)

    def list(self, path: PurePath) -> list[str]:
        entry = self.disk.find(path)
        if isinstance(entry, _Native):
            return sorted(os.listdir(entry.real))
        return sorted(self.disk.directory(path).entries)

    def exists(self, path: PurePath) -> bool:
        return self.disk.find(path) is not None

    def is_directory(self, path: PurePath) -> bool:
        return isinstance(self.disk.find(path), _Directory | _Native)

    def size(self, path: PurePath) -> int:
        return len(self.disk.file(path).content)

    def status(self, path: PurePath) -> FileStatus:
        entry = self.disk.find(path)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if isinstance(entry, _Inode):
            return FileStatus(len(entry.content), entry.mode, (entry.number, entry.changes))
        return FileStatus(0, entry.mode if isinstance(entry, _Directory) else 0o755, (0,))

    def usage(self, path: PurePath) -> DiskUsage:
        capacity = self.disk.capacity_bytes
        return DiskUsage(capacity, capacity - self.disk.used_bytes())

    def lock(self, directory: PurePath) -> DirectoryLock:
        return _Lock(self, directory)

    def native_path(self, path: PurePath) -> str:
        entry = self.disk.find(path)
        if entry is None:
            self.make_directories(path.parent)
            entry = self.disk.new_native()
            parent = self.disk.directory(path.parent)
            parent.set(path.name, entry)
            parent.settle()  # RocksDB syncs the directory that it creates
        if not isinstance(entry, _Native):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        return str(entry.real)


class _File:
    """See :class:`fluss_server.runtime.disk.DiskFile`."""

    def __init__(self, view: DiskView, path: PurePath, inode: _Inode, read_only: bool) -> None:
        self._view = view
        self._path = path
        self._inode = inode
        self._read_only = read_only
        self._closed = False

    @property
    def path(self) -> PurePath:
        return self._path

    def _use(self, operation: str) -> SimulatedDisk:
        disk = self._view.disk
        if self._closed or (self._read_only and operation in ("write", "truncate")):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(self._path))
        disk.check_fault(operation, self._path)
        return disk

    def size(self) -> int:
        self._use("size")
        return len(self._inode.content)

    def read(self, length: int, position: int) -> bytes:
        self._use("read")
        return bytes(self._inode.content[position : position + length])

    def read_into(self, target: memoryview, position: int) -> int:
        data = self.read(len(target), position)
        target[: len(data)] = data
        return len(data)

    def write(self, pieces: Sequence[Buffer], position: int) -> None:
        disk = self._use("write")
        data = b"".join(pieces)
        inode = self._inode
        disk.reserve(max(0, position + len(data) - len(inode.content)))
        _apply(inode.content, position, data)
        inode.writes.append((position, data))
        inode.changes += 1
        disk.changed(f"write at {position}", self._path, crc32(data).to_bytes(4, "little"))

    def truncate(self, size: int) -> None:
        disk = self._use("truncate")
        disk.reserve(size - len(self._inode.content))
        _apply(self._inode.content, -size - 1, b"")
        self._inode.writes.append((-size - 1, b""))
        self._inode.changes += 1
        disk.changed(f"truncate to {size}", self._path)

    def sync(self) -> None:
        disk = self._view.disk
        try:
            self._use("sync")
        except OSError:
            self._inode.writes.clear()  # the kernel holds the pages for clean; the bytes are not on the disk
            raise
        self._inode.settle()
        disk.changed("sync", self._path)

    def is_cached(self, position: int, length: int) -> bool:
        self._use("is_cached")
        return True

    def drop_cached_pages(self, position: int) -> None:
        self._use("drop")
        self._inode.forget_clean_pages()

    def close(self) -> None:
        self._closed = True


class _Lock:
    """See :class:`fluss_server.runtime.disk.DirectoryLock`."""

    def __init__(self, view: DiskView, directory: PurePath) -> None:
        self._view = view
        self._directory = directory
        self._held = False

    def acquire(self) -> bool:
        self._held = self._view.disk.lock(self._directory)
        return self._held

    def release(self) -> None:
        if self._held:
            self._held = False
            self._view.disk.unlock(self._directory)


def _apply(content: bytearray, position: int, data: bytes) -> None:
    """Write ``data`` at a position; a negative position -n - 1 cuts or extends the file to n bytes."""
    if position < 0:
        size = -position - 1
        if size < len(content):
            del content[size:]
        else:
            content.extend(bytes(size - len(content)))
        return
    if position > len(content):
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data
