"""Three logs that replicate one another through elections, losses of power, truncations and retention.

A small model of what leaders and followers do with their logs. Whatever was acknowledged stays, exactly once; logs that
were compared are equal byte for byte, as far as both go.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path, PurePosixPath
from random import Random

from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import BatchHeader
from fluss_server.log.leader_epochs import divergence
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_tablet import LogTablet
from fluss_server.runtime import ManualClock, system_runtime
from fluss_server.simulation.disk import SimulatedDisk
from log_support import NOW_MS, all_batches, make_batch
from scratch_support import scratch_directory

DIRECTORY = PurePosixPath("/data/log-0")
CONFIG = LogConfig(segment_bytes=700, index_interval_bytes=150, recovery_point_bytes=1500)
REPLICAS = 3


class Server:
    """One of the logs, on a disk of its own."""

    def __init__(self, scratch: Path, random: Random) -> None:
        self.disk = SimulatedDisk(scratch, random)
        self.clock = ManualClock(NOW_MS + random.randrange(1000))
        self.verified = -1  # epoch in which it was compared with its leader
        self.open()

    def open(self) -> None:
        self.log = LogTablet.open(DIRECTORY, CONFIG, system_runtime(clock=self.clock, disk=self.disk.view()))
        assert not self.log.recovery.lost_acknowledged
        self.verified = -1

    def batches(self) -> dict[int, bytes]:
        return {header.base_offset: data for header, data in all_batches(self.log)}


class Bucket:
    """The servers, their coordinator, and a client with one idempotent writer."""

    def __init__(self, scratch: Path, random: Random) -> None:
        self.random = random
        self.servers = [Server(scratch, random) for _ in range(REPLICAS)]
        self.epoch = -1
        self.leader: Server | None = None
        self.isr = list(self.servers)
        self.high_watermark = 0
        self.committed: dict[int, bytes] = {}
        self.deleted = False
        self.writer_id, self.sequence = 0, 0
        self.unacknowledged: list[int] = []
        self.sent = 0
        self.seen: Counter[str] = Counter()
        self.elect()

    # ---------------------------------------------------------------- leadership

    def elect(self) -> None:
        self.leader = self.random.choice(self.isr)
        self.epoch += 1
        self.leader.log.begin_epoch(self.epoch)
        self.leader.verified = self.epoch
        assert self.leader.log.end_offset >= self.high_watermark
        for sequence in list(self.unacknowledged):
            self.send(sequence)

    def write(self) -> None:
        if self.leader and len(self.unacknowledged) < 4:
            self.unacknowledged.append(self.sequence)
            self.send(self.sequence)
            self.sequence += 1

    def send(self, sequence: int) -> None:
        assert self.leader
        size = self.random.choice([60, 90, 400])
        self.sent += 1
        fill = self.sent.to_bytes(4, "little")  # so that no two batches are equal by chance
        try:
            result = self.leader.log.append(make_batch(2, size, self.writer_id, sequence, fill))
        except FlussError as error:
            if error.code is not ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION:
                raise
            # Retention has deleted all that the leader could have known of the writer.
            assert self.deleted
            self.seen["forgotten writers"] += 1
            self.writer_id += 1
            self.sequence, self.unacknowledged = 0, []
        else:
            self.seen["duplicates"] += result.duplicate

    def change_isr(self) -> None:
        if self.leader:
            members = [
                s for s in self.servers if s.verified == self.epoch and s.log.flushed_offset >= self.high_watermark
            ]
            self.isr = [s for s in members if s is self.leader or self.random.random() < 0.7]

    def commit(self) -> None:
        if self.leader and all(server.verified == self.epoch for server in self.isr):
            mark = min(server.log.flushed_offset for server in self.isr)
            if mark > self.high_watermark:
                self.high_watermark = mark
                for header, data in all_batches(self.leader.log):
                    if header.next_offset <= mark:
                        assert self.committed.setdefault(header.base_offset, data) == data
                        if header.writer_id == self.writer_id and header.batch_sequence in self.unacknowledged:
                            self.unacknowledged.remove(header.batch_sequence)

    # ---------------------------------------------------------------- followers

    def fetch(self) -> None:
        server, leader = self.random.choice(self.servers), self.leader
        if leader is None or server is leader:
            return
        log, leading = server.log, leader.log
        if server.verified != self.epoch or log.end_offset < leading.start_offset:
            self.compare(server, leader)
        if log.end_offset < leading.end_offset:
            max_bytes = self.random.choice([1, 500, 10_000])
            piece = leading.read(log.end_offset, max_bytes, leading.end_offset, at_least_one=True)
            assert piece is not None
            log.append_replica(piece.region.read(), leading.epochs)
        log.delete_below(min(leading.start_offset, self.high_watermark))

    def compare(self, server: Server, leader: Server) -> None:
        log, leading = server.log, leader.log
        end = divergence(log.epochs, log.end_offset, leading.epochs, leading.end_offset)
        acknowledged = self.acknowledged_end(server)
        if end is None or end < max(log.start_offset, leading.start_offset):
            assert acknowledged <= max(log.start_offset, leading.start_offset)
            log.restart_at(leading.start_offset)
            self.seen["dropped"] += 1
        else:
            self.seen["truncated" if end < log.end_offset else "equal"] += 1
            assert end >= acknowledged
            assert log.truncate(end) == end
        server.verified = self.epoch
        self.check_equal(server, leader)

    def acknowledged_end(self, server: Server) -> int:
        """Up to where the log of the server has what was acknowledged."""
        end = server.log.start_offset
        for header, data in all_batches(server.log):
            if self.committed.get(header.base_offset) != data:
                break
            end = header.next_offset
        return end

    @staticmethod
    def check_equal(server: Server, leader: Server) -> None:
        """The log of the server has nothing that the leader's does not have, or has forgotten."""
        theirs, start = leader.batches(), leader.log.start_offset
        for offset, data in server.batches().items():
            assert offset < start or theirs[offset] == data

    # ---------------------------------------------------------------- disks, time

    def flush(self) -> None:
        self.random.choice(self.servers).log.flush()

    def lose_power(self) -> None:
        server = self.random.choice(self.servers)
        if self.random.random() < 0.7:
            server.disk.lose_power()
        else:
            server.disk.kill_processes()
        self.restarted(server)

    def restart(self) -> None:
        server = self.random.choice(self.servers)
        server.log.close()
        self.restarted(server)

    def restarted(self, server: Server) -> None:
        server.open()
        if server is self.leader:
            self.leader = None

    def delete_expired(self) -> None:
        if self.leader:
            start = self.leader.log.start_offset
            self.leader.log.delete_below(self.random.randint(start, self.high_watermark))
            if self.leader.log.start_offset > start:
                self.deleted = True

    def time_passes(self) -> None:
        for server in self.servers:
            server.clock.advance(self.random.choice([1, 30_000]))

    # ---------------------------------------------------------------- always

    def check(self) -> None:
        if self.leader is None:
            return
        batches = self.leader.batches()
        for offset, data in self.committed.items():
            assert offset < self.leader.log.start_offset or batches[offset] == data, f"offset {offset} is lost"
        headers = [header for header, _ in all_batches(self.leader.log)]
        self.check_sequences(headers)

    @staticmethod
    def check_sequences(headers: list[BatchHeader]) -> None:
        """No batch is in the log twice, and none is missing between others."""
        last: dict[int, int] = {}
        for header in headers:
            assert header.batch_sequence == last.get(header.writer_id, header.batch_sequence - 1) + 1
            last[header.writer_id] = header.batch_sequence


def test_replicas() -> None:
    seen: Counter[str] = Counter()
    for seed in range(examples(60)):
        random = Random(seed)
        scratch = scratch_directory()
        try:
            bucket = Bucket(scratch, random)
            steps = [bucket.write] * 8 + [bucket.fetch] * 10 + [bucket.flush] * 6 + [bucket.commit] * 4
            steps += [bucket.elect, bucket.elect, bucket.change_isr, bucket.lose_power, bucket.restart]
            steps += [bucket.time_passes, bucket.delete_expired]
            for number in range(150):
                random.choice(steps)()
                if number % 5 == 0:
                    bucket.check()
            bucket.check()
            seen += bucket.seen
        except (AssertionError, FlussError) as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            shutil.rmtree(scratch)
    assert min(seen[kind] for kind in ("dropped", "truncated", "equal", "duplicates")) > 5, seen
