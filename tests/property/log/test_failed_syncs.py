"""Failing syncs, ends of the process and losses of power, in any order, on a disk that behaves as Linux does.

After a failed sync the pages count as clean, and a process that is started later reads from memory what is not on the
disk. Whatever a flush has promised must survive all the same.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import PurePosixPath
from random import Random

import pytest

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_tablet import LogTablet
from fluss_server.runtime import ManualClock, system_runtime
from fluss_server.simulation import disk as simulated
from fluss_server.simulation.disk import SimulatedDisk
from log_support import all_batches, make_batch
from scratch_support import scratch_directory

DIRECTORY = PurePosixPath("/data/log-0")
FILES = (".log", ".log", ".index", ".timeindex", ".writer_snapshot.tmp", "recovery-point.tmp", "log-0")
CONFIG = LogConfig(segment_bytes=1000, index_interval_bytes=150, recovery_point_bytes=400)


class Machine:
    """A disk, a process that writes one log, and what it has promised."""

    def __init__(self, disk: SimulatedDisk, random: Random) -> None:
        self.disk, self.random = disk, random
        self.clock = ManualClock()
        self.sent: list[bytes] = []  # bodies of what is in the log or may be
        self.promised = 0
        self.number = 0
        self.open()

    def open(self) -> None:
        self.log = LogTablet.open(DIRECTORY, CONFIG, system_runtime(clock=self.clock, disk=self.disk.view()))
        found = [data[25:] for _, data in all_batches(self.log)]
        assert found == self.sent[: len(found)], "batches that nobody has written"
        assert len(found) >= self.promised, f"{self.promised} batches were promised, {len(found)} are there"
        assert not self.log.recovery.lost_acknowledged
        self.sent = found
        self.promised = len(found)  # a replica acknowledges what it finds

    def append(self) -> None:
        self.number += 1
        batch = make_batch(2, self.random.choice([60, 100, 700]), fill=bytes([self.number % 256]))
        if self.attempt(lambda: self.log.append(batch)):
            self.sent.append(batch[25:])

    def flush(self) -> None:
        if self.attempt(self.log.flush):
            self.promised = len(self.sent)

    def fail_a_sync(self) -> None:
        self.disk.fail_next("sync", self.random.choice(FILES), errno.EIO)

    def kill(self) -> None:
        self.disk.kill_processes()
        self.restart()

    def lose_power(self) -> None:
        self.disk.lose_power()
        self.restart()

    def restart(self) -> None:
        """Until it works: the disk fails at most a few times."""
        for _ in range(20):
            if self.attempt(self.open):
                return
            self.disk.kill_processes()
        raise AssertionError("the log cannot be opened")

    @staticmethod
    def attempt(action: Callable[[], object]) -> bool:
        """Whether it has worked; only the disk may be the reason if not."""
        failure = None
        try:
            action()
        except FlussError as error:
            failure = error
        assert failure is None or "Input/output error" in failure.message, failure
        return failure is None

    def time_passes(self) -> None:
        self.clock.advance(self.random.choice([1, 11_000, 60_000]))


@pytest.mark.parametrize("drops_pages", [True, False], ids=["pages can be dropped", "pages stay"])
def test_what_was_promised_survives(monkeypatch: pytest.MonkeyPatch, drops_pages: bool) -> None:
    if not drops_pages:
        monkeypatch.setattr(simulated._File, "drop_cached_pages", lambda file, position: None)
    for seed in range(examples(60)):
        random = Random(seed)
        scratch = scratch_directory()
        try:
            machine = Machine(SimulatedDisk(scratch, random), random)
            steps = [machine.append] * 6 + [machine.flush] * 3
            steps += [machine.fail_a_sync, machine.fail_a_sync, machine.kill, machine.lose_power, machine.time_passes]
            for _ in range(60):
                random.choice(steps)()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            shutil.rmtree(scratch)


def test_a_sync_that_failed_before_the_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tail that the kernel holds in clean pages is written again, not only synced."""
    monkeypatch.setattr(simulated._File, "drop_cached_pages", lambda file, position: None)
    scratch = scratch_directory()
    disk = SimulatedDisk(scratch, Random(1))

    def open_log() -> LogTablet:
        return LogTablet.open(DIRECTORY, LogConfig(), system_runtime(clock=ManualClock(), disk=disk.view()))

    log = open_log()
    log.append(make_batch())
    log.flush()
    log.append(make_batch())
    disk.fail_next("sync", ".log", errno.EIO)
    with pytest.raises(FlussError) as caught:
        log.flush()
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
    disk.kill_processes()
    log = open_log()
    assert log.end_offset == log.flushed_offset == 2  # so a replica acknowledges both
    log.append(make_batch())
    log.flush()
    disk.lose_power()
    assert [header.base_offset for header, _ in all_batches(open_log())] == [0, 1, 2]
    shutil.rmtree(scratch)
