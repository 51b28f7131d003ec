"""One run of the simulated cluster of whole processes: clients write and read while everything goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from fluss_server.coordinator.cluster_state import BucketState
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import AssignmentRecord, table_assignment_path
from fluss_server.model.identifiers import TableBucket
from fluss_server.simulation import Simulation
from simulation.cluster_checks import Observer, check_rows, content_of
from simulation.cluster_clients import REPEATED, ClusterClient, KeyedWriter, Reader, Writer, create_table
from simulation.cluster_run import QUIET_LIMIT_S, Outcome
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA
from simulation.full_cluster import FullCluster
from simulation.full_faults import Faults

TABLE, KEYED_TABLE = "log", "keyed"
BUCKETS = 3
REPLICAS = 3
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
        try:
            simulation.run(run.run())
        except BaseException:
            print("\n".join(simulation.trace.tail(50)))
            print(f"repeat with: make simulate SEED={seed}")
            raise
        return Outcome(
            simulation.trace.digest(),
            sum(len(writer.acknowledged) for writer in run.writers if writer.acks == -1),
            sum(len(reader.rows) for reader in run.final),
            dict(run.faults.counts),
            run.observer.checks,
            run.standbys,
            run.observer.promotions,
            simulation.loop.time(),
        )


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
        return True

    def check_equal(self, buckets: Sequence[TableBucket]) -> None:
        for bucket in buckets:
            contents = {content_of(self.log_of(server_id, bucket)) for server_id in self.assignments[bucket]}
            assert len(contents) == 1, f"replicas of {bucket} differ"


class FullRun:
    """See the module.

    Args:
        simulation: that it happens in.
        seconds: how long things go wrong.
    """

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        self._simulation = simulation
        self._seconds = seconds
        self._random = random = Random(simulation.random.getrandbits(64))
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
        self.keyed: KeyedWriter
        self.writers: list[Writer] = []
        self.readers: list[Reader] = []
        self.final: list[Reader] = []
        self.standbys = 0

    async def run(self) -> None:
        """Begin, go on while everything fails, and check at the end."""
        cluster = self.cluster
        await cluster.start()
        machine = self._simulation.machine("client")
        network = machine.runtime().network
        first = cluster.endpoints()[0]
        table_id = await machine.start(
            create_table(network, first, TABLE, LOG_SCHEMA, buckets=BUCKETS, replicas=REPLICAS)
        )
        keyed_id = await machine.start(
            create_table(network, first, KEYED_TABLE, KEYED_SCHEMA, buckets=1, replicas=REPLICAS)
        )
        buckets = [*self.observer.learn(table_id), *self.observer.learn(keyed_id)]

        def client() -> ClusterClient:
            return ClusterClient(network, cluster.endpoints, Random(self._random.getrandbits(64)), WHILE_DISKS_FAIL)

        kinds = [(bucket, acks) for bucket in range(BUCKETS) for acks in (-1, -1, 1)]
        self.writers = [
            Writer(client(), TABLE, table_id, bucket, acks=acks, number=number)
            for number, (bucket, acks) in enumerate(kinds)
        ]
        self.readers = [Reader(client(), TABLE, table_id, bucket) for bucket in range(BUCKETS)]
        self.keyed = KeyedWriter(client(), KEYED_TABLE, keyed_id)
        observing = asyncio.ensure_future(self.observer.run())
        with self.observer.appends():
            everybody: list[Writer | KeyedWriter | Reader] = [*self.writers, self.keyed, *self.readers]
            clients = [machine.start(one.run()) for one in everybody]
            harm = asyncio.ensure_future(self.faults.run(self._seconds))
            await self._while(clients, observing, harm)
            for one in everybody:
                one.stopped = True
            await self._while([], observing, *clients)
            await self._while([], observing, asyncio.ensure_future(self._until_quiet(buckets)))
        observing.cancel()
        self.observer.check_equal(buckets)
        self.final = [Reader(client(), TABLE, table_id, bucket) for bucket in range(BUCKETS)]
        await machine.start(self._read_all())
        check_rows(self.readers, self.final, self.writers)
        await machine.start(self.keyed.look_up_all())
        self.standbys = self.observer.check_keyed(buckets[-1])
        cluster.running_ensemble.cancel()

    async def _while(
        self, clients: list[asyncio.Task[None]], observing: asyncio.Task[None], *tasks: asyncio.Task[None]
    ) -> None:
        """Wait for the tasks; what fails meanwhile ends the run."""
        waiting = asyncio.ensure_future(self.cluster.until_failure(*tasks))
        done, _ = await asyncio.wait({waiting, observing, *clients}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        assert waiting in done, "clients go on until they are stopped"

    async def _until_quiet(self, buckets: list[TableBucket]) -> None:
        deadline = self._simulation.loop.time() + QUIET_LIMIT_S
        while not self.observer.is_quiet(buckets):
            assert self._simulation.loop.time() < deadline, "the replicas do not come together"
            await asyncio.sleep(0.05)

    async def _read_all(self) -> None:
        """Read everything there is; another coordinator may just be taking over, so that leases run out."""
        deadline = self._simulation.loop.time() + QUIET_LIMIT_S
        for reader in self.final:
            more = True
            while more:
                try:
                    more = await reader.read()
                except FlussError as error:
                    if error.code not in WHILE_DISKS_FAIL or self._simulation.loop.time() > deadline:
                        raise
                    await asyncio.sleep(0.1)
            assert len(reader.rows) == reader.high_watermark
