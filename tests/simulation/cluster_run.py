"""One run of the simulated cluster: clients write and read while servers crash and links break."""

from __future__ import annotations

from random import Random

from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.simulation import Simulation
from simulation.cluster import SimulatedCluster
from simulation.cluster_checks import Observer
from simulation.scenario import Outcome, TwoTables, repeated_with

BUCKETS = 2


def run_cluster(seed: int, *, seconds: float = 20.0) -> Outcome:
    """Run one seed.

    Raises:
        Exception: whatever was wrong, after printing how to repeat it.
    """
    with Simulation(seed) as simulation:
        run = ClusterRun(simulation, seconds)
        with repeated_with(simulation, "replication", seed, seconds):
            simulation.run(run.run())
        return run.outcome(run.cluster.faults)


class ClusterRun(TwoTables):
    """See the module.

    Args:
        simulation: that it happens in.
        seconds: how long things go wrong.
    """

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        random = Random(simulation.random.getrandbits(64))
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
        observer = Observer(self.cluster, durable=flushes)
        super().__init__(simulation, self.cluster, observer, random, buckets=BUCKETS, seconds=seconds)

    def first_endpoint(self) -> Endpoint:
        return self.cluster.coordinator.endpoint("CLIENT")

    def learn(self, table_id: int, buckets: int) -> list[TableBucket]:
        return [TableBucket(table_id, None, number) for number in range(buckets)]

    async def do_harm(self) -> None:
        await self.cluster.do_harm(self._seconds)

    def endpoints(self) -> list[Endpoint]:
        return self.cluster.endpoints()
