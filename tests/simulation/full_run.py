"""One run of the simulated cluster of whole processes: clients write and read while everything goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from fluss_server.coordinator.cluster_state import BucketState
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import AssignmentRecord, table_assignment_path
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.simulation import Simulation
from simulation.cluster_checks import Observer, content_of
from simulation.cluster_clients import REPEATED
from simulation.full_cluster import FullCluster
from simulation.full_faults import Faults
from simulation.scenario import Outcome, TwoTables, repeated_with

BUCKETS = 3
WHILE_DISKS_FAIL = REPEATED | {
    ErrorCode.STORAGE_EXCEPTION,
    ErrorCode.LOG_STORAGE_EXCEPTION,
    ErrorCode.KV_STORAGE_EXCEPTION,
    ErrorCode.DISK_WRITE_LOCKED,
    ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
}


def run_full(seed: int, *, seconds: float = 15.0) -> Outcome:
    """Run one seed.

    Raises:
        Exception: whatever was wrong, after printing how to repeat it.
    """
    with Simulation(seed) as simulation:
        run = FullRun(simulation, seconds)
        with repeated_with(simulation, "cluster", seed, seconds):
            simulation.run(run.run())
        return run.outcome(run.faults.counts)


class FullObserver(Observer):
    """Looks at what is stored instead of what a coordinator knows, and at the replicas that were assigned."""

    def __init__(self, cluster: FullCluster, *, durable: bool) -> None:
        super().__init__(cluster, durable=durable)  # type: ignore[arg-type]
        self._full = cluster
        self.assignments: dict[TableBucket, tuple[int, ...]] = {}

    def learn(self, table_id: int) -> list[TableBucket]:
        """Read where the replicas of a table are; returns its buckets."""
        path = table_assignment_path(table_id)
        node = self._full.ensemble.tree.get(path)
        assert node is not None
        found = {
            TableBucket(table_id, None, number): tuple(replicas)
            for number, replicas in AssignmentRecord.decode(path, node.value).buckets.items()
        }
        self.assignments |= found
        return list(found)

    def _buckets(self) -> dict[TableBucket, BucketState]:
        return self._full.bucket_states(self.assignments)

    def is_quiet(self, buckets: Sequence[TableBucket]) -> bool:
        states = self._buckets()
        for bucket in buckets:
            state = states.get(bucket)
            if state is None or state.record is None or set(state.record.isr) != set(state.replicas):
                return False
            node = self._full.nodes.get(state.record.leader)
            try:
                if node is None:
                    return False
                end = node.server.replicas.replica(bucket).high_watermark.value
            except (FlussError, AttributeError):
                return False
            logs = [self.log_of(server_id, bucket) for server_id in state.replicas]
            if any(log is None or log.end_offset != end for log in logs):
                return False
            if any(not self._has_applied(server_id, bucket, end) for server_id in state.record.standby_replicas):
                return False
        return True

    def _has_applied(self, server_id: int, bucket: TableBucket, end: int) -> bool:
        """Whether a standby replica has all rows."""
        try:
            return self._follower_rows(server_id, bucket).applied_offset >= end
        except (KeyError, StopIteration, AssertionError, AttributeError):  # it has not begun to be one
            return False

    def check_equal(self, buckets: Sequence[TableBucket]) -> None:
        for bucket in buckets:
            contents = {content_of(self.log_of(server_id, bucket)) for server_id in self.assignments[bucket]}
            assert len(contents) == 1, f"replicas of {bucket} differ"


class FullRun(TwoTables):
    """See the module.

    Args:
        simulation: that it happens in.
        seconds: how long things go wrong.
    """

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        random = Random(simulation.random.getrandbits(64))
        flushes = random.random() < 0.8
        options = {
            "log.replica.min-in-sync-replicas-number": str(random.choice((1, 2))),
            "log.replica.max-lag-time": random.choice(("500 ms", "2 s", "10 s")),
            "log.segment.file-size": random.choice(("2kb", "64kb", "64mb")),
            "log.flush.before-acknowledge": str(flushes).lower(),
            "server.data-disk.check-interval": "1 s",
        }
        self.cluster = FullCluster(simulation, options)
        self.faults = Faults(self.cluster, Random(random.getrandbits(64)), loses_power=flushes)
        self.observer = FullObserver(self.cluster, durable=flushes)
        super().__init__(
            simulation,
            self.cluster,
            self.observer,
            random,
            buckets=BUCKETS,
            seconds=seconds,
            repeated=WHILE_DISKS_FAIL,
            repeated_at_end=REPEATED | {ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION},
        )

    def first_endpoint(self) -> Endpoint:
        return self.cluster.endpoints()[0]

    def learn(self, table_id: int, buckets: int) -> list[TableBucket]:
        return self.observer.learn(table_id)

    async def do_harm(self) -> None:
        await self.faults.run(self._seconds)

    def endpoints(self) -> list[Endpoint]:
        return self.cluster.endpoints()

    async def run(self) -> None:
        await super().run()
        self.cluster.running_ensemble.cancel()
