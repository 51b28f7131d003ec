"""Writes stop before the disk is full, and begin again lower."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.runtime.disk import DiskUsage
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.tablet import disk_write_lock
from fluss_server.tablet.disk_write_lock import DiskMonitor, DiskWriteLock
from rpc_support import async_test, eventually


def test_the_lock_has_two_bounds() -> None:
    lock = DiskWriteLock(0.85, 0.80)
    states = []
    for usage in (0.0, 0.8499, 0.85, 0.81, 0.9, 0.8001, 0.80, 0.84, 0.86):
        lock.update(usage)
        states.append(lock.locked)
    assert states == [False, False, True, True, True, True, False, False, True]


def test_while_locked_writes_get_a_retriable_error() -> None:
    lock = DiskWriteLock(0.85, 0.80)
    lock.check()
    assert lock.update(0.912)
    with pytest.raises(FlussError) as raised:
        lock.check()
    assert raised.value.code is ErrorCode.DISK_WRITE_LOCKED
    assert raised.value.retriable
    assert str(raised.value) == (
        "91.2% of the server's disk are in use, writes are refused above 85.0%"
        " (free disk space; writes are accepted again at 80.0%)"
    )
    assert not lock.update(0.95)
    assert lock.update(0.5)
    lock.check()


def test_bounds_change_while_it_runs() -> None:
    lock = DiskWriteLock(0.85, 0.80)
    lock.update(0.5)
    lock.configure(0.4, 0.3)
    assert lock.locked
    with pytest.raises(FlussError) as raised:
        lock.configure(0.4, 0.6)
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    lock.configure(0.6, 0.3)
    assert not lock.locked, "although usage is above the lower bound"
    lock.configure(0.5, 0.4)
    assert lock.locked
    lock.configure(1.0, 0.4)
    assert not lock.locked, "1 switches it off"
    assert not lock.update(1.0)


@pytest.mark.parametrize(("limit", "recover"), [(0.8, 0.8), (1.0, 1.0), (0.5, 0.6)])
def test_bounds_that_are_equal_or_reversed_are_refused(limit: float, recover: float) -> None:
    lock = DiskWriteLock(0.85, 0.80)
    for refuse in (lambda: DiskWriteLock(limit, recover), lambda: lock.configure(limit, recover)):
        with pytest.raises(FlussError, match="is not below") as raised:
            refuse()
        assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION


@given(st.floats(0.01, 0.99), st.floats(0, 0.99), st.lists(st.floats(0, 1), max_size=30))
def test_any_history(limit: float, share: float, usages: list[float]) -> None:
    recover = limit * share
    lock = DiskWriteLock(limit, recover)
    for usage in usages:
        before = lock.locked
        assert lock.update(usage) == (lock.locked != before)
        assert lock.locked or usage < limit
        assert not lock.locked or usage > recover


@async_test
async def test_the_monitor_samples(tmp_path: Path) -> None:
    usage: float | OSError = 0.9
    samples = 0

    class FullDisk(SystemDisk):
        def usage(self, path: PurePath) -> DiskUsage:
            nonlocal samples
            samples += 1
            assert path == tmp_path
            if isinstance(usage, OSError):
                raise usage
            return DiskUsage(1000, round(1000 * (1 - usage)))

    lock = DiskWriteLock(0.85, 0.80)
    monitor = DiskMonitor(tmp_path, lock, 0.01, system_runtime(disk=FullDisk()))
    await monitor.start()
    assert lock.locked, "the first sample is taken before anything is served"
    usage, seen = OSError("gone"), samples
    await eventually(lambda: samples >= seen + 2)
    assert lock.locked, "a failed sample changes nothing"
    usage = 0.2
    await eventually(lambda: not lock.locked)
    await monitor.close()
    await asyncio.sleep(0)
    seen = samples
    await asyncio.sleep(0.03)
    assert samples == seen


@async_test
async def test_space_is_found_soon_while_writes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_bytes = 0

    class FilledDisk(SystemDisk):
        def usage(self, path: PurePath) -> DiskUsage:
            return DiskUsage(1000, free_bytes)

    monkeypatch.setattr(disk_write_lock, "LOCKED_INTERVAL_S", 0.01)
    lock = DiskWriteLock(0.85, 0.80)
    monitor = DiskMonitor(tmp_path, lock, 3600.0, system_runtime(disk=FilledDisk()))
    await monitor.start()
    assert lock.locked
    free_bytes = 900
    await eventually(lambda: not lock.locked)
    await monitor.close()


def test_usage_counts_what_is_not_available(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert SystemDisk().usage(tmp_path).share_in_use == pytest.approx(1 - found.f_bavail / found.f_blocks, abs=0.02)
    with pytest.raises(FileNotFoundError):
        SystemDisk().usage(tmp_path / "missing")
