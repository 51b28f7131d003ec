"""Losses of power at every step of a truncation and of a new beginning, and what comes after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path, PurePosixPath
from random import Random
from typing import NamedTuple

import pytest

from example_support import examples
from fluss_server.log.leader_epochs import UNKNOWN_EPOCH
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_tablet import LogTablet
from fluss_server.runtime import ManualClock, system_runtime
from fluss_server.simulation.disk import SimulatedDisk
from log_support import NOW_MS, all_batches, make_batch, read_all

DIRECTORY = PurePosixPath("/data/log-0")
CONFIG = LogConfig(segment_bytes=800, index_interval_bytes=150, recovery_point_bytes=1500)
BATCHES = 40
WRITERS = 3


class KilledError(BaseException):
    """The process ends here."""


class Scenario(NamedTuple):
    """What a log looks like before it is truncated.

    Attributes:
        flush_at: batches after which it is flushed.
        close_at: batches after which it is closed and opened again.
        delete_at: offset below which retention deletes segments at the end.
    """

    flush_at: tuple[int, ...] = (BATCHES,)
    close_at: int = 0
    delete_at: int = 0


SCENARIOS = {
    "flushed": Scenario(),
    "flushed often": Scenario(tuple(range(1, BATCHES + 1, 3))),
    "closed at the end": Scenario(close_at=BATCHES),
    "closed before": Scenario((30, BATCHES), close_at=12),
    "old segments deleted": Scenario((20, BATCHES), delete_at=25),
}


CASES = list(product(SCENARIOS, [26, 31, 54, 61, 79], range(4)))
"""Name, offset to truncate to, seed."""
NEW_BEGINNINGS = list(product(SCENARIOS, [0, 12, 36, 61, 79, 80, 81, 500], range(4)))


def some(cases: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """A few of them in the fast tier, one for each scenario; more on request."""
    return [case for name in SCENARIOS for case in Random(name).sample([c for c in cases if c[0] == name], examples(1))]


def crash_points(case: str) -> Iterator[int]:
    """Numbers of changes of the disk after which a process is killed: every one with many examples, else some."""
    step = max(1, 4 // examples(2))
    yield from range(Random(case).randrange(step), 1000, step)


class Machine:
    """A disk and a process with one log; the process may be killed after any change of the disk."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.disk = SimulatedDisk(Path("/nonexistent"), Random(seed), on_change=self.changed)
        self.clock = ManualClock(NOW_MS)
        self.changes_left = -1
        self.open()
        for number in range(BATCHES):
            if number % 9 == 0:
                self.log.begin_epoch(number // 9)
            self.append(number, b"a")
            if number + 1 == scenario.close_at:
                self.log.close()
                self.open()
                if (number + 1) % 9:
                    self.log.begin_epoch(number // 9, may_continue=True)
            if number + 1 in scenario.flush_at:
                self.log.flush()
        self.log.delete_below(scenario.delete_at)
        self.batches = all_batches(self.log)
        self.epochs = self.log.epochs
        self.start = self.log.start_offset

    def open(self) -> None:
        self.view = self.disk.view()
        self.log = LogTablet.open(DIRECTORY, CONFIG, system_runtime(clock=self.clock, disk=self.view))

    def append(self, number: int, fill: bytes) -> None:
        size = 60 + 31 * number % 150
        self.log.append(make_batch(2, size, number % WRITERS, number // WRITERS, fill))
        self.clock.advance(1)

    def changed(self, what: str, data: bytes) -> None:
        if self.changes_left == 0:
            self.view.detach()
            raise KilledError
        self.changes_left -= 1

    def run(self, action: Callable[[], object], changes: int) -> bool:
        """Run ``action``, kill the process after that many changes, lose power; returns whether it was finished."""
        self.changes_left = changes
        finished = True
        try:
            action()
        except KilledError:
            finished = False
        self.changes_left = -1
        self.lose_power()
        return finished

    def lose_power(self) -> None:
        self.disk.lose_power()
        self.open()
        assert not self.log.recovery.lost_acknowledged

    def check_contents(self) -> int:
        """The log has the first batches of what it had, and finds them in every way; returns how many."""
        found = all_batches(self.log)
        assert found == self.batches[: len(found)]
        assert read_all(self.log) == b"".join(data for _, data in found)
        for header, _ in found:
            assert self.log.offset_for_timestamp(header.commit_timestamp) == header.base_offset
        self.check_epochs()
        return len(found)

    def check_prefix(self) -> int:
        """As :meth:`check_contents`; and the log knows what its writers have sent."""
        count = self.check_contents()
        sent = self.batches[0][0].base_offset // 2 + count
        for number in range(max(sent - 4 * WRITERS, 0), sent):
            assert self.log.find_duplicate(number % WRITERS, number // WRITERS) is not None
        return count

    def check_epochs(self) -> None:
        """What the history says of each batch is right."""
        history = self.log.epochs
        for header, _ in all_batches(self.log):
            number = header.base_offset
            epoch = [entry.epoch for entry in history if entry.start_offset <= number][-1]
            expected = [entry.epoch for entry in self.epochs if entry.start_offset <= number][-1]
            assert epoch in (expected, UNKNOWN_EPOCH)


@pytest.mark.parametrize(("name", "cut", "seed"), some(CASES))
def test_a_loss_of_power_within_a_truncation(name: str, cut: int, seed: int) -> None:
    for changes in crash_points(f"{name} {cut} {seed}"):
        machine = Machine(SCENARIOS[name], seed)
        finished = machine.run(lambda: machine.log.truncate(cut), changes)  # noqa: B023
        assert machine.log.start_offset == machine.start
        kept = machine.check_prefix()
        end = machine.log.end_offset
        assert end >= cut - cut % 2
        if finished:
            assert end == cut - cut % 2
            assert machine.log.recovery.scanned_bytes == 0
            assert all(entry.start_offset < end for entry in machine.log.epochs)
        go_on(machine, kept)
        if finished:
            assert changes > 5
            return
    raise AssertionError("a truncation takes fewer changes")


def go_on(machine: Machine, kept: int) -> None:
    """Whatever else was in the log is gone for good."""
    machine.log.begin_epoch(100)
    first = machine.log.end_offset // 2
    for number in range(first, first + 12):
        machine.append(number, b"b")
    assert machine.log.flush() == 2 * (first + 12)
    machine.lose_power()
    found = all_batches(machine.log)
    assert found[:kept] == machine.batches[:kept]
    assert [data[-1:] for _, data in found[kept:]] == [b"b"] * 12
    assert machine.log.epochs[-1] == (100, 2 * first)
    for number in range(first, first + 12):
        assert machine.log.find_duplicate(number % WRITERS, number // WRITERS) is not None


def test_a_crash_after_the_recovery_point_was_moved_back_scans_one_segment() -> None:
    for name, cut in (("closed at the end", 61), ("flushed", 61)):
        for changes in crash_points(name):
            machine = Machine(SCENARIOS[name], 1)
            finished = machine.run(lambda: machine.log.truncate(cut), changes)  # noqa: B023
            assert machine.log.recovery.scanned_from > 40
            if finished:
                break


@pytest.mark.parametrize(("name", "offset", "seed"), some(NEW_BEGINNINGS))
def test_a_loss_of_power_within_a_new_beginning(name: str, offset: int, seed: int) -> None:
    """The log is what it was, or the first part of it, or empty and begins where it was told to."""
    for changes in crash_points(f"{name} {offset} {seed}"):
        machine = Machine(SCENARIOS[name], seed)
        finished = machine.run(lambda: machine.log.restart_at(offset), changes)  # noqa: B023
        log = machine.log
        if log.start_offset == log.end_offset == offset:
            assert (log.size_bytes, log.writer_count) == (0, 0)
            assert not finished or log.epochs == ()
        else:
            assert not finished
            assert log.start_offset == machine.start
            machine.check_contents()
            log.restart_at(offset)
        log.begin_epoch(100)
        for number in range(12):
            machine.append(number, b"b")
        log.flush()
        machine.lose_power()
        found = all_batches(machine.log)
        assert [header.base_offset for header, _ in found] == list(range(offset, offset + 24, 2))
        assert [data[-1:] for _, data in found] == [b"b"] * 12
        assert machine.log.epochs == ((100, offset),)
        for number in range(12):
            assert machine.log.find_duplicate(number % WRITERS, number // WRITERS) is not None
        if finished:
            assert changes > 5
            return
    raise AssertionError("a new beginning takes fewer changes")
