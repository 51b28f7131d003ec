"""Where logs diverge, against logs as lists of records: elections, lost tails, retention, lost histories."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path, PurePosixPath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from example_support import examples
from fluss_server.log.file_names import LEADER_EPOCHS
from fluss_server.log.leader_epochs import (
    UNKNOWN_EPOCH,
    EpochStart,
    LeaderEpochs,
    decode_epochs,
    divergence,
    encode_epochs,
    is_history,
)
from fluss_server.simulation.disk import SimulatedDisk

REPLICAS = 3
Record = tuple[int, int]
"""Epoch and number of a record."""


def equal_records(one: list[Record], other: list[Record]) -> int:
    """How many records two logs begin with in common."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


@dataclass
class Replica:
    """One log: the record of offset ``n`` is ``records[n]``, also when retention has deleted it."""

    disk: SimulatedDisk
    directory: PurePosixPath
    records: list[Record] = field(default_factory=list)
    start: int = 0
    durable: int = 0
    verified: int = -1  # epoch in which it was compared with its leader

    def __post_init__(self) -> None:
        self.disk.view().make_directories(self.directory)
        self.load()

    def load(self) -> None:
        self.epochs = LeaderEpochs(self.directory, self.disk.view())
        self.epochs.load(self.start, self.end)

    @property
    def end(self) -> int:
        return len(self.records)

    @property
    def history(self) -> tuple[EpochStart, ...]:
        return self.epochs.known(self.start, self.end)


class Bucket:
    """Three replicas of one bucket, elected and acknowledging as a coordinator and leaders would."""

    def __init__(self, random: Random) -> None:
        self.random = random
        disk = SimulatedDisk(Path("/nonexistent"), Random(1))
        self.replicas = [Replica(disk, PurePosixPath(f"/{number}")) for number in range(REPLICAS)]
        self.epoch = -1
        self.leader: Replica | None = None
        self.isr = list(range(REPLICAS))
        self.committed: list[Record] = []
        self.number = 0
        self.results: Counter[str] = Counter()

    # ---------------------------------------------------------------- leadership

    def elect(self) -> None:
        """A member of the ISR becomes leader, whatever has become of the one before."""
        self.leader = self.replicas[self.random.choice(self.isr)]
        self.epoch += 1
        self.leader.epochs.begin(self.epoch, self.leader.start, self.leader.end, may_continue=False)
        self.leader.verified = self.epoch

    def append(self) -> None:
        if not self.leader:
            return
        for _ in range(self.random.randint(1, 4)):
            self.number += 1
            self.leader.records.append((self.epoch, self.number))

    def change_isr(self) -> None:
        if not self.leader:
            return
        members = self.random.sample(range(REPLICAS), self.random.randint(0, REPLICAS))
        leader = self.replicas.index(self.leader)
        caught_up = {
            number
            for number in members
            if self.replicas[number].verified == self.epoch
            and self.replicas[number].durable >= len(self.committed)
            and self.replicas[number].end >= len(self.committed)
        }
        self.isr = sorted({leader, *caught_up})

    def commit(self) -> None:
        """What every member of the ISR has, durably and compared with the leader, is acknowledged."""
        if not self.leader:
            return
        members = [self.replicas[number] for number in self.isr]
        if all(member.verified == self.epoch for member in members):
            mark = min(min(member.durable, member.end) for member in members)
            if mark > len(self.committed):
                self.committed = self.leader.records[:mark]

    # ---------------------------------------------------------------- followers

    def fetch(self) -> None:
        replica, leader = self.random.choice(self.replicas), self.leader
        if not leader or replica is leader:
            return
        if replica.verified != self.epoch or replica.end < leader.start:
            self.compare(replica, leader)
        bases = range(replica.end, min(replica.end + self.random.randint(0, 9), leader.end))
        if bases:
            replica.epochs.follow(leader.history, replica.start, bases, bases[-1] + 1)
            replica.records += leader.records[bases[0] : bases[-1] + 1]

    def compare(self, replica: Replica, leader: Replica) -> None:
        common = equal_records(replica.records, leader.records)
        kept = divergence(replica.history, replica.end, leader.history, leader.end)
        self.results["nothing" if kept is None else "all" if kept == replica.end else "a part"] += 1
        if kept is None or kept < max(replica.start, leader.start):
            if self.knows(replica, leader):
                lost = min(common, len(self.committed))
                assert lost <= leader.start or lost <= replica.start, "acknowledged records that both have are dropped"
            replica.records = leader.records[: leader.start]
            replica.start = replica.durable = leader.start
            replica.epochs.truncate(replica.start, replica.start)
        else:
            assert kept <= common, f"{kept} records are kept, {common} are equal"
            if self.knows(replica, leader):
                assert kept >= min(common, len(self.committed)), "acknowledged records that both have are dropped"
            del replica.records[kept:]
            replica.durable = min(replica.durable, kept)
            if kept < replica.end or replica.history:
                replica.epochs.truncate(replica.start, kept)
        number = self.replicas.index(replica)
        if replica.end < len(self.committed) and number in self.isr:
            self.isr.remove(number)  # the leader notices that a member of the ISR has lost its log
        replica.verified = self.epoch
        assert replica.records == leader.records[: replica.end]

    @staticmethod
    def knows(*replicas: Replica) -> bool:
        return all(entry.epoch != UNKNOWN_EPOCH for replica in replicas for entry in replica.history)

    # ---------------------------------------------------------------- disks

    def flush(self) -> None:
        replica = self.random.choice(self.replicas)
        replica.durable = replica.end

    def lose_power(self) -> None:
        replica = self.random.choice(self.replicas)
        replica.durable = min(replica.durable, replica.end)
        del replica.records[self.random.randint(replica.durable, replica.end) :]
        self.restart(replica)

    def restart(self, replica: Replica) -> None:
        replica.load()
        replica.durable = replica.end
        replica.verified = -1
        if replica is self.leader:
            self.leader = None

    def lose_history(self) -> None:
        """Nothing wrong may be kept then; that too much is dropped cannot be helped."""
        replica = self.random.choice(self.replicas)
        view = replica.disk.view()
        path = replica.directory / LEADER_EPOCHS
        if self.random.random() < 0.5 and view.exists(path):
            replica.disk.flip_bit(path, 9, 3)
        else:
            view.remove(path, missing_ok=True)
        self.restart(replica)

    def delete_old_records(self) -> None:
        replica = self.random.choice(self.replicas)
        limit = equal_records(replica.records, self.committed)
        if limit > replica.start:
            replica.durable = replica.end
            replica.start = self.random.randint(replica.start, limit)

    # ---------------------------------------------------------------- always

    def check(self) -> None:
        if self.leader:
            assert self.leader.records[: len(self.committed)] == self.committed
        for replica in self.replicas:
            history = replica.history
            assert is_history(history)
            assert bool(history) or replica.start == replica.end
            ends = [entry.start_offset for entry in history[1:]] + [replica.end]
            for (epoch, first), end in zip(history, ends, strict=False):
                assert epoch == UNKNOWN_EPOCH or all(
                    record[0] == epoch for record in replica.records[max(first, replica.start) : end]
                )


@pytest.mark.parametrize("lose_histories", [False, True])
def test_nothing_else_is_kept_and_nothing_acknowledged_is_dropped(lose_histories: bool) -> None:
    results: Counter[str] = Counter()
    for seed in range(examples(300)):
        random = Random(seed)
        bucket = Bucket(random)
        steps = [bucket.append] * 4 + [bucket.fetch] * 10 + [bucket.flush] * 4 + [bucket.commit] * 3
        steps += [bucket.elect] * 2 + [bucket.change_isr, bucket.lose_power, bucket.delete_old_records]
        steps += [bucket.lose_history] * lose_histories
        try:
            bucket.elect()
            for _ in range(80):
                random.choice(steps)()
                bucket.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        results += bucket.results
    assert min(results[kind] for kind in ("nothing", "all", "a part")) > examples(300) / 4, results


_HISTORIES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=6).map(
    lambda pairs: [EpochStart(*pair) for pair in zip(sorted({p[0] for p in pairs}), sorted({p[1] for p in pairs}))]  # noqa: B905
)


@given(_HISTORIES, st.integers(0, 40), _HISTORIES, st.integers(0, 40))
def test_the_result_lies_in_both_logs_and_the_roles_do_not_matter(
    own: list[EpochStart], own_end: int, leaders: list[EpochStart], leader_end: int
) -> None:
    result = divergence(own, own_end, leaders, leader_end)
    assert result is None or result <= min(own_end, leader_end)
    assert result == divergence(leaders, leader_end, own, own_end)
    assert divergence(own, own_end, own, own_end) == (own_end if own else None)


@given(_HISTORIES, st.data())
def test_a_file_that_is_not_whole_is_no_history(entries: list[EpochStart], data: st.DataObject) -> None:
    image = encode_epochs(entries)
    assert decode_epochs(image) == tuple(entries)
    assert decode_epochs(image[: data.draw(st.integers(0, len(image) - 1))]) is None
    damaged = bytearray(image)
    damaged[data.draw(st.integers(0, len(image) - 1))] ^= data.draw(st.integers(1, 255))
    assert decode_epochs(bytes(damaged)) is None
