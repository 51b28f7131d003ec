"""One run of the simulated cluster: clients write and read while servers crash and links break."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.simulation import Simulation
from simulation.cluster import SimulatedCluster
from simulation.cluster_checks import Observer, check_rows
from simulation.cluster_clients import ClusterClient, KeyedWriter, Reader, Writer, create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA

TABLE, KEYED_TABLE = "log", "keyed"
BUCKETS = 2
REPLICAS = 3
QUIET_LIMIT_S = 120.0
"""How long it may take until everything is replicated after the last fault."""


@dataclass(frozen=True)
class Outcome:
    """What happened in a run.

    Attributes:
        trace: its hash.
        acknowledged: rows that were acknowledged by all replicas in sync.
        read: rows in the end.
        faults: by kind.
        checks: how often the observer has looked.
        standbys: replicas of the primary-key bucket that had the rows in the end, the leader among them.
        promotions: how often a standby replica went on as the leader.
        seconds: of virtual time.
    """

    trace: str
    acknowledged: int
    read: int
    faults: dict[str, int]
    checks: int
    standbys: int
    promotions: int
    seconds: float


def run_cluster(seed: int, *, seconds: float = 20.0) -> Outcome:
    """Run one seed.

    Raises:
        Exception: whatever was wrong, after printing how to repeat it.
    """
    with Simulation(seed) as simulation:
        run = ClusterRun(simulation, seconds)
        try:
            simulation.run(run.run())
        except BaseException:
            print("\n".join(simulation.trace.tail(50)))
            print(f"repeat with: make simulation CLUSTER=1 SEED={seed}")
            raise
        return Outcome(
            simulation.trace.digest(),
            sum(len(writer.acknowledged) for writer in run.writers if writer.acks == -1),
            sum(len(reader.rows) for reader in run.final),
            dict(run.cluster.faults),
            run.observer.checks,
            run.standbys,
            run.observer.promotions,
            simulation.loop.time(),
        )


class ClusterRun:
    """See the module.

    Args:
        simulation: that it happens in.
        seconds: how long things go wrong.
    """

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        self._simulation = simulation
        self._seconds = seconds
        self._random = random = Random(simulation.random.getrandbits(64))
        flushes = random.random() < 0.75
        options = {
            "log.replica.min-in-sync-replicas-number": str(random.choice((1, 2))),
            "log.replica.max-lag-time": random.choice(("500 ms", "2 s", "10 s")),
            "log.segment.file-size": random.choice(("2kb", "64kb", "64mb")),
            "log.flush.before-acknowledge": str(flushes).lower(),
            "kv.standby-replica.number": random.choice(("0", "1", "1", "2")),
            "kv.persist.interval": "500 ms",
            "kv.persist.after-offsets": random.choice(("1", "100", "100000")),
        }
        # Without flushes what all members of an ISR have in memory counts as acknowledged.
        self.cluster = SimulatedCluster(simulation, options, loses_power=flushes)
        self.observer = Observer(self.cluster, durable=flushes)
        self.keyed: KeyedWriter
        self.writers: list[Writer] = []
        self.readers: list[Reader] = []
        self.final: list[Reader] = []
        self.standbys = 0

    async def run(self) -> None:
        """Begin, go on while servers crash, and check everything at the end."""
        await self.cluster.start()
        machine = self._simulation.machine("client")
        network = machine.runtime().network
        coordinator = self.cluster.coordinator.endpoint("CLIENT")
        table_id = await machine.start(
            create_table(network, coordinator, TABLE, LOG_SCHEMA, buckets=BUCKETS, replicas=REPLICAS)
        )
        keyed_id = await machine.start(
            create_table(network, coordinator, KEYED_TABLE, KEYED_SCHEMA, buckets=1, replicas=REPLICAS)
        )
        buckets = [*(TableBucket(table_id, None, number) for number in range(BUCKETS)), TableBucket(keyed_id, None, 0)]

        def client() -> ClusterClient:
            return ClusterClient(network, self._endpoints, Random(self._random.getrandbits(64)))

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
            harm = asyncio.ensure_future(self.cluster.do_harm(self._seconds))
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

    async def _while(
        self, clients: list[asyncio.Task[None]], observing: asyncio.Task[None], *tasks: asyncio.Task[None]
    ) -> None:
        """Wait for the tasks; what fails meanwhile ends the run."""
        waiting = asyncio.ensure_future(self.cluster.until_failure(*tasks))
        watched = {waiting, observing, *clients}
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        assert waiting in done, "clients go on until they are stopped"

    async def _until_quiet(self, buckets: list[TableBucket]) -> None:
        deadline = self._simulation.loop.time() + QUIET_LIMIT_S
        while not self.observer.is_quiet(buckets):
            assert self._simulation.loop.time() < deadline, "the replicas do not come together"
            await asyncio.sleep(0.05)

    async def _read_all(self) -> None:
        for reader in self.final:
            while await reader.read():
                pass
            assert len(reader.rows) == reader.high_watermark

    def _endpoints(self) -> list[Endpoint]:
        found = []
        for _, node in sorted(self.cluster.nodes.items()):
            if hasattr(node, "endpoints"):
                found.append(node.endpoint("CLIENT"))
        return found
