"""What followers say of their disk, and when a leader lets another one lead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.replica.replica import Replica
from fluss_server.runtime import InlineWorkers, ManualClock
from fluss_server.runtime.disk import DiskUsage
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.tablet.disk_write_lock import DiskMonitor, DiskWriteLock
from fluss_server.tablet.full_disk import HOLD_S, INTERVAL_S, MIN_FREE_BYTES, FullDisk

HOLD_MS, INTERVAL_MS = round(HOLD_S * 1000), round(INTERVAL_S * 1000)


class Server:
    """A server with two buckets, of which others can lead one."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.usage = DiskUsage(100 << 30, 50 << 30)
        self.resigned: list[tuple[object, ErrorCode, tuple[int, ...]]] = []
        self.leaders = [led(()), led((2, 3)), SimpleNamespace(followers=None)]
        server = self

        class Disk(SystemDisk):
            def usage(self, path: PurePath) -> DiskUsage:
                return server.usage

        runtime = system_runtime(clock=self.clock, disk=Disk(), workers=InlineWorkers())
        self.lock = DiskWriteLock(0.95, 0.9)
        self.monitor = DiskMonitor(directory, self.lock, 30.0, runtime)
        leaders = cast("list[Replica]", self.leaders)
        self.full_disk = FullDisk(self.lock, self.monitor, lambda: leaders, self._resign, self.clock)

    def _resign(self, replica: Replica, error: FlussError, candidates: tuple[int, ...]) -> None:
        self.resigned.append((replica, error.code, candidates))

    def look(self, free_bytes: int, total_bytes: int = 100 << 30) -> bool | None:
        self.usage = DiskUsage(total_bytes, free_bytes)
        asyncio.run(self.monitor.look())
        return self.full_disk.state


def led(with_space: tuple[int, ...]) -> Any:
    return SimpleNamespace(followers=SimpleNamespace(with_space=with_space))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    asyncio.run(found.monitor.close())


def test_what_is_said_of_the_disk(server: Server) -> None:
    assert server.full_disk.state is None, "nobody has looked"
    assert server.look(50 << 30) is False
    assert server.look(MIN_FREE_BYTES - 1) is None
    assert server.look(1 << 20, total_bytes=100 << 20) is False, "a hundredth of a small disk is enough"
    server.lock.update(0.99)
    assert server.look(50 << 30) is None, "this server would refuse writes"
    server.lock.update(0.1)
    server.full_disk.noticed()
    assert server.look(50 << 30) is True
    server.clock.advance(HOLD_MS - 1)
    assert server.full_disk.state is True
    server.clock.advance(1)
    assert server.full_disk.state is False


def test_who_can_lead_does_so_at_most_once_in_an_interval(server: Server) -> None:
    server.look(50 << 30)
    for _ in range(3):
        server.full_disk.write_refused()
    assert server.resigned == [(server.leaders[1], ErrorCode.DISK_WRITE_LOCKED, (2, 3))]
    assert server.full_disk.state is True
    server.clock.advance(INTERVAL_MS)
    server.full_disk.write_refused()
    assert len(server.resigned) == 2


def test_a_disk_that_is_only_nearly_full_can_follow(server: Server) -> None:
    server.look(50 << 30)
    server.lock.update(0.99)
    server.full_disk.write_refused()
    assert len(server.resigned) == 1
    assert server.full_disk.state is None
