"""What must be true of a simulated cluster at every moment, and when it is quiet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from unittest import mock

from fluss_server.coordinator.cluster_state import BucketState
from fluss_server.errors import FlussError
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.bucket_replica import BucketReplica
from fluss_server.replica.follower_replica import FollowerReplica
from fluss_server.replica.follower_rows import FollowerRows
from fluss_server.replica.replica import Replica
from kv_support import read_changelog, replay_changes
from simulation.cluster import SimulatedCluster
from simulation.cluster_clients import Reader, Writer
from simulation.conversation import KEYED_SCHEMA, ROWS

INTERVAL_S = 0.02


class Observer:
    """Looks into the servers while they run.

    * ISRs are within the assignment, leader epochs and bucket epochs grow.
    * At most one server leads a bucket in a leader epoch, and at most one serves it at a time.
    * What was committed stays: a leader that serves has it, and so has every member of the ISR.
    * Who comes into the ISR has the same bytes there as the leader.
    * Rows of a standby replica are of what was committed.

    It looks every few milliseconds, and besides at what concerns a bucket when a leader appends to it or commits.

    Args:
        cluster: to be looked at.
        durable: whether committed means on disk.

    Attributes:
        checks: how often it has looked.
        promotions: how often a leader went on with the rows of a standby replica.
    """

    def __init__(self, cluster: SimulatedCluster, *, durable: bool) -> None:
        self._cluster = cluster
        self._durable = durable
        self._leaders: dict[tuple[TableBucket, int], int] = {}
        self._epochs: dict[TableBucket, tuple[int, int]] = {}
        self._isrs: dict[TableBucket, tuple[int, ...]] = {}
        self._committed: Counter[TableBucket] = Counter()
        self._violation: AssertionError | None = None
        self.checks = 0
        self.promotions = 0

    async def run(self) -> None:
        """Look every few milliseconds, until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(INTERVAL_S)

    def check(self) -> None:
        """Look at everything.

        Raises:
            AssertionError: something is wrong, or was when something happened.
        """
        if self._violation is not None:
            raise self._violation
        self.checks += 1
        self._check_coordinator()
        serving: dict[TableBucket, int] = {}
        for server_id, node in self._cluster.nodes.items():
            if not hasattr(node, "server"):
                continue
            for replica in node.server.replicas.leaders():
                if replica.followers is not None:
                    self._check_leader(replica.bucket, replica.followers.leader_epoch, server_id)
                self._committed[replica.bucket] = max(self._committed[replica.bucket], replica.high_watermark.value)
            self._check_standbys(server_id, node.server.replicas.replicas())
            for replica in node.server.replicas.leaders():
                try:
                    node.server.replicas.replica(replica.bucket)
                except FlussError:
                    continue
                other = serving.setdefault(replica.bucket, server_id)
                assert other == server_id, f"{other} and {server_id} serve {replica.bucket} at the same time"
        self._check_committed(serving)

    def _check_standbys(self, server_id: int, replicas: Iterable[BucketReplica]) -> None:
        for replica in replicas:
            if isinstance(replica, FollowerReplica) and replica.rows is not None:
                bucket, applied = replica.bucket, replica.rows.applied_offset
                self._committed[bucket] = max(self._committed[bucket], replica.high_watermark.value)
                assert applied <= self._committed[bucket], (
                    f"{bucket}: the standby replica {server_id} has applied up to {applied}, only"
                    f" {self._committed[bucket]} was committed"
                )

    @contextmanager
    def events(self) -> Iterator[None]:
        """Looks when something happens, too, as long as this lasts."""
        append, begin, take = Replica.append, Replica.begin, FollowerRows.hand_over

        def appended(replica: Replica, records: memoryview) -> AppendResult:
            result = append(replica, records)
            self._note(partial(self._check_append, replica))
            return result

        def begun(replica: Replica) -> None:
            replica.high_watermark.add_reader(partial(self._note, partial(self._check_commit, replica)))
            begin(replica)

        def taken(rows: FollowerRows) -> KvTablet | None:
            kv = take(rows)
            self.promotions += kv is not None
            return kv

        with (
            mock.patch.object(Replica, "append", appended),
            mock.patch.object(Replica, "begin", begun),
            mock.patch.object(FollowerRows, "hand_over", taken),
        ):
            yield

    def _note(self, check: Callable[[], None]) -> None:
        """Make a check in the middle of what a server does; it does not notice what is wrong."""
        self.checks += 1
        try:
            check()
        except AssertionError as error:
            self._violation = self._violation or error

    def _check_append(self, replica: Replica) -> None:
        """A leader has accepted an append."""
        if replica.followers is None:
            return
        serving = []
        for server_id, node in self._cluster.nodes.items():
            if not hasattr(node, "server"):
                continue
            if node.server.replicas.find(replica.bucket) is replica:
                self._check_leader(replica.bucket, replica.followers.leader_epoch, server_id)
            with suppress(FlussError):
                node.server.replicas.replica(replica.bucket)
                serving.append(server_id)
        assert len(serving) <= 1, f"{serving} serve {replica.bucket} at the same time"

    def _check_commit(self, replica: Replica) -> None:
        """The high watermark of a leader has moved."""
        bucket, committed = replica.bucket, replica.high_watermark.value
        if committed > self._committed[bucket]:
            self._committed[bucket] = committed
            state = self._buckets().get(bucket)
            self._check_members(bucket, () if state is None or state.record is None else state.record.isr)

    def _check_leader(self, bucket: TableBucket, leader_epoch: int, server_id: int) -> None:
        known = self._leaders.setdefault((bucket, leader_epoch), server_id)
        assert known == server_id, f"{known} and {server_id} lead {bucket} in epoch {leader_epoch}"

    def _buckets(self) -> dict[TableBucket, BucketState]:
        """What the coordinator knows of the buckets; nothing while it does not run."""
        if not self._cluster.coordinator_runs:
            return {}
        return self._cluster.coordinator.server.controller.queue.state.buckets

    def _check_coordinator(self) -> None:
        for bucket, state in self._buckets().items():
            record = state.record
            if record is None:
                continue
            assert set(record.isr) <= set(state.replicas), f"ISR {record.isr} of {bucket}, assigned {state.replicas}"
            epochs = record.leader_epoch, record.bucket_epoch
            before = self._epochs.get(bucket, (0, 0))
            assert epochs[0] >= before[0], f"leader epoch of {bucket}: {epochs} after {before}"
            assert epochs[1] >= before[1], f"bucket epoch of {bucket}: {epochs} after {before}"
            self._epochs[bucket] = epochs
            isr = self._isrs.get(bucket, ())
            if record.isr != isr:
                self._isrs[bucket] = record.isr
                self._check_new_members(bucket, record.leader, set(record.isr) - set(isr))

    def _check_new_members(self, bucket: TableBucket, leader: int, members: Iterable[int]) -> None:
        """Their logs are the leader's as far as it is committed."""
        committed, ours = self._committed[bucket], self.log_of(leader, bucket)
        for server_id in members:
            theirs = self.log_of(server_id, bucket)
            if ours is None or theirs is None or theirs is ours:
                continue
            with suppress(FlussError):  # it is being closed
                expected, found = content_of(ours, committed), content_of(theirs, committed)
                assert found == expected, (
                    f"{bucket}: server {server_id} came into the ISR with another content below {committed} than that"
                    f" of the leader {leader}"
                )

    def _check_committed(self, serving: dict[TableBucket, int]) -> None:
        states = self._buckets()
        for bucket, committed in self._committed.items():
            if bucket in serving:
                leader = self._cluster.nodes[serving[bucket]].server.replicas.replica(bucket)
                assert leader.high_watermark.value >= committed, (
                    f"{bucket}: server {serving[bucket]} serves up to {leader.high_watermark.value}, {committed} was"
                    " committed"
                )
            record = states[bucket].record if bucket in states else None
            self._check_members(bucket, () if record is None else record.isr)

    def _check_members(self, bucket: TableBucket, isr: Sequence[int]) -> None:
        """Everybody in the ISR has what was committed."""
        committed = self._committed[bucket]
        for server_id in isr:
            log = self.log_of(server_id, bucket)
            if log is not None:
                end = log.flushed_offset if self._durable else log.end_offset
                assert end >= committed, (
                    f"{bucket}: server {server_id} is in the ISR {isr} with {end}, {committed} was committed"
                )

    def log_of(self, server_id: int, bucket: TableBucket) -> LogTablet | None:
        """The open log of a bucket on a server; None if there is none."""
        node: Any = self._cluster.nodes.get(server_id)
        if node is None or not hasattr(node, "server"):
            return None
        hosted = node.server.replicas._hosted.get(bucket)
        return None if hosted is None else hosted.replica.log

    def is_quiet(self, buckets: Sequence[TableBucket]) -> bool:
        """Whether every replica is in sync and has everything, and everything is committed."""
        states = self._buckets()
        for bucket in buckets:
            state = states.get(bucket)
            record = None if state is None else state.record
            if state is None or record is None or record.leader not in self._cluster.nodes:
                return False
            if set(record.isr) != set(state.replicas):
                return False
            try:
                leader = self._cluster.nodes[record.leader].server.replicas.replica(bucket)
            except FlussError:
                return False
            logs = [self.log_of(server_id, bucket) for server_id in state.replicas]
            end = leader.high_watermark.value
            if any(log is None or log.end_offset != end for log in logs):
                return False
            for server_id in record.standby_replicas:
                if self._follower_rows(server_id, bucket).applied_offset < end:
                    return False
        return True

    def _follower_rows(self, server_id: int, bucket: TableBucket) -> FollowerRows:
        replicas = self._cluster.nodes[server_id].server.replicas.replicas()
        follower = next(replica for replica in replicas if replica.bucket == bucket)
        assert isinstance(follower, FollowerReplica)
        assert follower.rows is not None, "the table has a primary key"
        return follower.rows

    def check_keyed(self, bucket: TableBucket) -> int:
        """The rows of a quiet bucket are those of its changelog, on the leader and on each standby replica.

        Returns:
            on how many servers.
        """
        record = self._buckets()[bucket].record
        assert record is not None
        leader = self._cluster.nodes[record.leader].server.replicas.replica(bucket)
        changes = read_changelog(leader.log, KEYED_SCHEMA)
        expected = {key: row[1] for (key,), row in replay_changes(KEYED_SCHEMA, changes).items()}
        tablets = [leader.kv, *(self._follower_rows(server, bucket).kv for server in record.standby_replicas)]
        for kv in tablets:
            if expected or kv is not None:
                assert kv is not None, "a standby replica has the rows"
                rows = dict(ROWS.decode(value[2:]) for value in kv.limit_scan(1_000))
                assert rows == expected, f"rows of {bucket} are {rows}, the changelog says {expected}"
        return len(tablets)

    def check_equal(self, buckets: Sequence[TableBucket]) -> None:
        """All replicas of a quiet bucket have the same bytes."""
        for bucket in buckets:
            replicas = self._buckets()[bucket].replicas
            contents = [content_of(self.log_of(server_id, bucket)) for server_id in replicas]
            assert all(content == contents[0] for content in contents), f"replicas of {bucket} differ"


def content_of(log: LogTablet | None, end: int | None = None) -> bytes:
    """All bytes of a log, or those up to an offset."""
    assert log is not None
    return b"".join(data for _, data in log.batches(log.start_offset, log.end_offset if end is None else end))


def check_rows(readers: Sequence[Reader], final: Sequence[Reader], writers: Sequence[Writer]) -> None:
    """Compare what was read, in the end and meanwhile, with what was written and acknowledged."""
    rows = {reader.bucket: reader.rows for reader in final}
    for reader in readers:
        seen = reader.rows
        assert rows[reader.bucket][: len(seen)] == seen, f"what a reader of bucket {reader.bucket} has seen changed"
    for bucket, found in rows.items():
        sent = {row for writer in writers if writer.bucket == bucket for row in writer.sent}
        counts = Counter(found)
        assert counts.keys() <= sent, f"rows of bucket {bucket} that nobody has written"
        twice = [row for row, count in counts.items() if count > 1]
        assert not twice, f"rows of bucket {bucket} that are there twice: {twice[:10]}"
        positions = {row: position for position, row in enumerate(found)}
        for writer in writers:
            if writer.bucket != bucket or writer.acks != -1:
                continue
            lost = [row for row in writer.acknowledged if row not in positions]
            assert not lost, f"acknowledged rows of bucket {bucket} are lost: {lost[:10]}"
            order = [positions[row] for row in writer.acknowledged]
            assert order == sorted(order), f"the rows of a writer of bucket {bucket} are not in its order"
