"""A cluster of three tablet servers gets a fourth one, and gives it up again, while clients write and servers crash.

Three to four: a rebalance moves replicas to the new server. Four to three: it gets a tag, a rebalance moves everything
away, and it stops. Whenever the coordinator or a server crashes meanwhile, it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import RebalanceStatus, ServerTag
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime import Network
from fluss_server.simulation import Simulation
from simulation.cluster import SimulatedCluster
from simulation.cluster_checks import Observer, check_rows
from simulation.cluster_clients import CALL_TIMEOUT_S, ClusterClient, KeyedWriter, Reader, Writer, create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA
from simulation.scenario import Client, Scenario, repeated_with

LOG, SINGLE, KEYED = "log", "single", "keyed"
BUCKETS = 3
NEW_SERVER = 4
LIMIT_S = 300.0
"""How long a rebalance may take, with all faults."""


@dataclass(frozen=True)
class RebalanceOutcome:
    """What happened in a run.

    Attributes:
        trace: its hash.
        acknowledged: rows that were acknowledged.
        moved: moves that were made, of all rebalances.
        faults: by kind.
        seconds: of virtual time.
    """

    trace: str
    acknowledged: int
    moved: int
    faults: dict[str, int]
    seconds: float


def run_rebalance(seed: int, *, seconds: float = 12.0) -> RebalanceOutcome:
    """Run one seed.

    Raises:
        Exception: whatever was wrong, after printing how to repeat it.
    """
    with Simulation(seed) as simulation:
        run = RebalanceRun(simulation, seconds)
        with repeated_with(simulation, "rebalance", seed, seconds):
            simulation.run(run.run())
        acknowledged = sum(len(writer.acknowledged) for writer in run.writers)
        return RebalanceOutcome(
            simulation.trace.digest(),
            acknowledged,
            run.moved,
            dict(run.cluster.faults),
            simulation.loop.time(),
        )


class RebalanceRun(Scenario):
    """See the module.

    Args:
        simulation: that it happens in.
        seconds: how long things go wrong.
    """

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        random = Random(simulation.random.getrandbits(64))
        self._seconds = seconds
        options = {
            "log.replica.max-lag-time": random.choice(("500 ms", "2 s", "10 s")),
            "log.segment.file-size": random.choice(("2kb", "64mb")),
            "coordinator.rebalance.bucket-timeout": random.choice(("500 ms", "5 s")),
            "coordinator.rebalance.moves-per-server": random.choice(("1", "3")),
        }
        self.cluster = SimulatedCluster(simulation, options, loses_power=True)
        self.observer = Observer(self.cluster, durable=True)
        super().__init__(simulation, self.cluster, self.observer, random)
        self.writers: list[Writer] = []
        self.moved = 0

    async def run(self) -> None:
        """Begin, move, and check everything at the end."""
        await self.cluster.start()
        machine = self._simulation.machine("client")
        network = machine.runtime().network
        coordinator = self.cluster.coordinator.endpoint("CLIENT")
        ids = {}
        for name, schema, buckets, replicas in (
            (LOG, LOG_SCHEMA, BUCKETS, 2),
            (SINGLE, LOG_SCHEMA, BUCKETS, 1),
            (KEYED, KEYED_SCHEMA, 1, 2),
        ):
            creation = create_table(network, coordinator, name, schema, buckets=buckets, replicas=replicas)
            ids[name] = await machine.start(creation)

        def client() -> ClusterClient:
            return self.client(network)

        places = [(name, bucket) for name in (LOG, SINGLE) for bucket in range(BUCKETS)]
        self.writers = [
            Writer(client(), name, ids[name], bucket, acks=-1, number=number)
            for number, (name, bucket) in enumerate(places)
        ]
        readers = {place: Reader(client(), place[0], ids[place[0]], place[1]) for place in places}
        keyed = KeyedWriter(client(), KEYED, ids[KEYED])
        everybody: list[Client] = [*self.writers, keyed, *readers.values()]
        tables = [*((ids[name], bucket) for name, bucket in places), (ids[KEYED], 0)]
        everything = [TableBucket(table_id, None, number) for table_id, number in tables]
        with self.observer.events():
            await self.harm(everybody, self.cluster.do_harm(self._seconds), self._three_four_three(network))
            await self.settle(lambda: self.observer.is_quiet(everything))
        self._check_no_bucket_is_between()
        assert all(NEW_SERVER not in replicas for replicas in self._buckets().values()), "it was to have nothing"
        self.observer.check_equal(everything)
        for name in (LOG, SINGLE):
            final = [Reader(client(), name, ids[name], bucket) for bucket in range(BUCKETS)]
            await machine.start(self.read_all(final))
            seen = [readers[name, bucket] for bucket in range(BUCKETS)]
            check_rows(
                seen, final, [writer for writer, place in zip(self.writers, places, strict=True) if place[0] == name]
            )
        await machine.start(keyed.look_up_all())

    async def _three_four_three(self, network: Network) -> None:
        await asyncio.sleep(self._random.random())
        self.cluster.start_server(NEW_SERVER)
        self.cluster.servers = (*self.cluster.servers, NEW_SERVER)
        await self.until(lambda: NEW_SERVER in self._state_servers(), "the new server does not join", LIMIT_S)
        await self._rebalance(network)
        used = {server for state in self._buckets().values() for server in state}
        assert NEW_SERVER in used, "the new server has got something"
        if self._random.random() < 0.3:
            await self._canceled(network)
        while True:  # it may have crashed when the tag is set
            try:
                request = pb.AddServerTagRequest(server_ids=[NEW_SERVER], server_tag=ServerTag.PERMANENT_OFFLINE)
                await self._call(network, ApiKey.ADD_SERVER_TAG, request)
                break
            except FlussError as error:
                if error.code is not ErrorCode.SERVER_NOT_EXIST_EXCEPTION:
                    raise
                await asyncio.sleep(0.2)
        await self._until_rebalanced(
            network, lambda: all(NEW_SERVER not in state for state in self._buckets().values())
        )

    async def _canceled(self, network: Network) -> None:
        """A rebalance that ends early: no bucket has old and new replicas afterwards."""
        await self._call(network, ApiKey.REBALANCE, pb.RebalanceRequest(goals=[0, 1]))
        await asyncio.sleep(0.3 * self._random.random())
        await self._call(network, ApiKey.CANCEL_REBALANCE, pb.CancelRebalanceRequest())
        self._check_no_bucket_is_between()

    async def _rebalance(self, network: Network) -> None:
        await self._until_rebalanced(network, lambda: True)

    async def _until_rebalanced(self, network: Network, done: Callable[[], bool]) -> None:
        """Rebalance until one is complete; one during which servers were gone for too long has failed."""
        deadline = self._simulation.loop.time() + LIMIT_S
        while True:
            assert self._simulation.loop.time() < deadline, "no rebalance comes to its end"
            try:
                await self._call(network, ApiKey.REBALANCE, pb.RebalanceRequest())
            except FlussError as error:  # the response to the one before was lost, or no server is there
                if error.code is not ErrorCode.REBALANCE_FAILURE_EXCEPTION:
                    raise
            while True:
                assert self._simulation.loop.time() < deadline, "a rebalance does not come to its end"
                found = await self._call(network, ApiKey.LIST_REBALANCE_PROGRESS, pb.ListRebalanceProgressRequest())
                if found.HasField("rebalance_status") and RebalanceStatus(found.rebalance_status).is_final:
                    break
                await asyncio.sleep(0.1)
            statuses = [entry.rebalance_status for table in found.table_progress for entry in table.buckets_progress]
            self.moved += statuses.count(RebalanceStatus.COMPLETED)
            if found.rebalance_status == RebalanceStatus.COMPLETED and await self._holds(done):
                return
            await asyncio.sleep(0.2)

    async def _holds(self, done: Callable[[], bool]) -> bool:
        await self.until(lambda: self.cluster.coordinator_runs, "the coordinator does not come back", LIMIT_S)
        return done()

    async def _call(self, network: Network, key: ApiKey, request: Any) -> Any:
        """A call of the coordinator, until it responds."""
        while True:
            endpoint = self.cluster.coordinator.endpoint("CLIENT") if self.cluster.coordinator.bound else None
            try:
                if endpoint is not None:
                    async with await RpcClient.connect(
                        endpoint.host, endpoint.port, network=network, timeout_s=CALL_TIMEOUT_S
                    ) as client:
                        return await client.call(key, request, timeout_s=CALL_TIMEOUT_S)
            except FlussError as error:
                if not error.retriable and error.code is not ErrorCode.UNSUPPORTED_VERSION:
                    raise
            await asyncio.sleep(0.1)

    # ------------------------------------------------------------------ parts

    def _buckets(self) -> dict[TableBucket, tuple[int, ...]]:
        if not self.cluster.coordinator_runs:
            return {}
        state = self.cluster.coordinator.server.controller.queue.state
        return {bucket: found.replicas for bucket, found in state.buckets.items()}

    def _state_servers(self) -> set[int]:
        if not self.cluster.coordinator_runs:
            return set()
        return set(self.cluster.coordinator.server.controller.queue.state.servers)

    def _check_no_bucket_is_between(self) -> None:
        for bucket, replicas in self._buckets().items():
            assert len(replicas) <= 2, f"{bucket} has {replicas}"

    def endpoints(self) -> list[Endpoint]:
        return self.cluster.endpoints()
