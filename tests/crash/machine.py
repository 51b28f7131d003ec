"""A server, its disk and its power supply."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from crash.lossy_disk import LossyDisk
from fluss_server.testing import LocalCluster


@contextlib.contextmanager
def on_disk(disk: LossyDisk) -> Iterator[None]:
    """Processes that are started meanwhile have this disk."""
    saved = dict(os.environ)
    os.environ.update(disk.environment)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # for programs of the tests
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


class _Cluster(LocalCluster):
    """A server that may be another program than the product's."""

    def __init__(self, data_dir: Path, options: dict[str, str], program: Sequence[str]) -> None:
        super().__init__(data_dir, options=options)
        self._program = list(program)

    def _command(self) -> list[str]:
        interpreter, module_option, _, *arguments = super()._command()
        return [interpreter, module_option, *self._program, *arguments]


class Machine:
    """A real server on a disk that keeps only what was synced.

    Args:
        home: a directory of its own, which is made.
        options: of the server.
        seed: of what a loss of power keeps.
        program: module that is the server, with arguments before those of the command.

    Attributes:
        disk: that the server uses.
        cluster: the server.
    """

    def __init__(
        self, home: Path, options: dict[str, str], seed: int, program: Sequence[str] = ("fluss_server",)
    ) -> None:
        home.mkdir()
        self.disk = LossyDisk(home, seed)
        self.cluster = _Cluster(self.disk.data, options, program)

    def start(self) -> None:
        """Start the server, on the disk as it is."""
        with on_disk(self.disk):
            self.cluster.start()

    def lose_power(self, *, everything: bool, start: bool = True) -> None:
        """End the server and the disk, and start again.

        Args:
            everything: as for :meth:`LossyDisk.lose_power`.
            start: whether to start again.
        """
        self.cluster.kill()
        self.disk.lose_power(everything=everything)
        self.cluster.data_dir = self.disk.data
        if start:
            self.start()
