"""A disk in memory that loses what was not synced, and whose operations fail while they are told to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path, PurePath
from random import Random

from fluss_server.simulation.disk import DiskView, SimulatedDisk

Fault = Callable[[str, PurePath], int | None]
"""Given an operation and the file or directory, the ``errno`` with which it fails, or None."""


def failing(number: int, *operations: tuple[str, str]) -> Fault:
    """A fault of these operations, each with the end of the name of a file."""

    def fault(operation: str, path: PurePath) -> int | None:
        return number if any(operation == name and path.name.endswith(end) for name, end in operations) else None

    return fault


class BreakableDisk(SimulatedDisk):
    """See the module; give the program under test a :meth:`view`.

    Attributes:
        fault: decides which operations fail.
        operations: name and path of everything that was tried and could be made to fail.
    """

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"), Random(1))
        self.fault: Fault = failing(0)
        self.operations: list[tuple[str, PurePath]] = []

    def view(self) -> DiskView:
        return _View(self)

    def check_fault(self, operation: str, path: PurePath) -> None:
        self.operations.append((operation, path))
        if (number := self.fault(operation, path)) is None:
            return
        if operation == "write" and number == errno.ENOSPC:  # a part of it still found a place
            inode = self.file(path)
            inode.writes.append((len(inode.content), b"some"))
            inode.content += b"some"
        raise OSError(number, os.strerror(number), str(path))


class _View(DiskView):
    def rename(self, source: PurePath, target: PurePath) -> None:
        self.disk.check_fault("rename", target)
        super().rename(source, target)
