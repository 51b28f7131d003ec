"""A server, its disk and its power supply."""

from __future__ import annotations

import os
from pathlib import Path

from crash.lossy_disk import LossyDisk
from fluss_server.testing import LocalCluster


class Machine:
    """A real server on a disk that keeps only what was synced.

    Args:
        home: a directory of its own, which is made.
        options: of the server.
        seed: of what a loss of power keeps.

    Attributes:
        disk: that the server uses.
        cluster: the server.
    """

    def __init__(self, home: Path, options: dict[str, str], seed: int) -> None:
        home.mkdir()
        self.disk = LossyDisk(home, seed)
        self.cluster = LocalCluster(self.disk.data, options=options)

    def start(self) -> None:
        """Start the server, on the disk as it is."""
        saved = dict(os.environ)
        os.environ.update(self.disk.environment)
        try:
            self.cluster.start()
        finally:
            os.environ.clear()
            os.environ.update(saved)

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
