"""A coordinator and two tablet servers between which requests get lost, come twice, and come late.

A script creates, alters and drops tables and partitions. Meanwhile control requests or their responses are lost, copies
of requests arrive seconds later, links stop for a while, and servers are killed. When everything is quiet again, every
tablet server must know and host exactly what the coordinator has.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from random import Random
from typing import Any, TypeVar

from cluster_nodes import CoordinatorNode, Node, TabletNode
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cluster.messages import (
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    RegisterServer,
    ServerNode,
    StopReplicas,
    StopReplicasResponse,
    UpdateMetadata,
)
from fluss_server.cluster.remote_tablet_server import RemoteTabletServer
from fluss_server.coordinator.cluster_state import BucketStatus
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.runtime import Runtime
from fluss_server.security.internal_calls import internal_endpoint
from fluss_server.simulation import Simulation
from simulation.scenario import repeated_with
from table_rpc import descriptor, table_path

_T = TypeVar("_T")

COORDINATOR, TABLETS, LATE, CLIENT = "coordinator", ("tablet-1", "tablet-2"), "late", "client"
DIRECTORY = PurePosixPath("/data")
MAX_LATE_S = 4.0
CALL_TIMEOUT_S = 40.0
QUIET_LIMIT_S = 120.0
PARTITIONED = descriptor(
    schema={
        "version": 1,
        "columns": [
            {"name": "id", "data_type": {"type": "INTEGER"}, "id": 0},
            {"name": "day", "data_type": {"type": "STRING"}, "id": 1},
        ],
        "highest_field_id": 1,
    },
    partition_key=["day"],
    bucket_count=2,
)


class FaultyTabletServer(RemoteTabletServer):
    """Loses requests and responses, and has copies of requests sent later by somebody else."""

    def __init__(self, run: ControlFaults, node: CoordinatorNode, server: ServerNode) -> None:
        name = f"tablet server {server.server_id}"
        endpoint = internal_endpoint(server.endpoints, node.internal, name)
        super().__init__(node.connection(name, lambda: endpoint), max_part_bytes=run.max_part_bytes)
        self._run, self._node = run, server

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        return await self._with_faults(
            super().notify_leader_and_isr, request, lambda other: other.notify_leader_and_isr(request)
        )

    async def update_metadata(self, request: UpdateMetadata) -> None:
        await self._with_faults(super().update_metadata, request, lambda other: other.update_metadata(request))

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        return await self._with_faults(super().stop_replicas, request, lambda other: other.stop_replicas(request))

    async def _with_faults(
        self,
        send: Callable[[Any], Awaitable[_T]],
        request: Any,
        again: Callable[[RemoteTabletServer], Awaitable[object]],
    ) -> _T:
        run = self._run
        fault = run.fault()
        if fault in ("late", "lost"):
            if fault == "late":
                run.send_later(self._node, again)
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, f"the request is {fault}")
        response = await send(request)
        if fault == "twice":
            run.send_later(self._node, again)
        elif fault == "no response":
            raise FlussError(ErrorCode.NETWORK_EXCEPTION, "the response is lost")
        return response


class FaultyCoordinatorNode(CoordinatorNode):
    """Reaches tablet servers through faults."""

    def __init__(self, run: ControlFaults, runtime: Runtime) -> None:
        super().__init__(runtime, DIRECTORY, host=COORDINATOR)
        self._run = run

    def reach(self, registration: RegisterServer) -> RemoteTabletServer:
        return FaultyTabletServer(self._run, self, registration.server)


class ControlFaults:
    """One run.

    Args:
        simulation: that it happens in.
        operations: changes of tables and partitions.
        max_part_bytes: about the longest UPDATE_METADATA; short, so that snapshots come in parts.

    Attributes:
        counts: faults, and what became of requests that came late.
    """

    def __init__(self, simulation: Simulation, *, operations: int = 60, max_part_bytes: int = 600) -> None:
        self.simulation = simulation
        self.max_part_bytes = max_part_bytes
        self.counts: Counter[str] = Counter()
        self._operations = operations
        self._random = Random(simulation.random.getrandbits(64))
        self._faults = True
        self._late: list[asyncio.Task[None]] = []
        self._machines = {name: simulation.machine(name) for name in (COORDINATOR, *TABLETS, LATE, CLIENT)}
        self._coordinator: FaultyCoordinatorNode
        self._tablets: dict[str, TabletNode] = {}
        self._names: list[str] = []

    # ------------------------------------------------------------------ faults

    def fault(self) -> str | None:
        """What happens to the next control request."""
        if not self._faults or self._random.random() > 0.3:
            return None
        fault = self._random.choice(["lost", "late", "twice", "no response"])
        self.counts[fault] += 1
        return fault

    def send_later(self, server: ServerNode, send: Callable[[RemoteTabletServer], Awaitable[object]]) -> None:
        """Have a copy of a request arrive over a connection of its own."""
        node, delay_s = self._late_node, self._random.random() * MAX_LATE_S

        async def arrive() -> None:
            await asyncio.sleep(delay_s)
            endpoint = internal_endpoint(server.endpoints, node.internal, "a tablet server")
            other = RemoteTabletServer(node.connection("a tablet server", lambda: endpoint))
            try:
                await send(other)
                self.counts["repeated without effect"] += 1
            except FlussError as error:
                self.counts[f"late: {error.code.name}"] += 1
            finally:
                await other.close()

        self._late.append(self._machines[LATE].start(arrive()))

    async def _disturb(self) -> None:
        """Stop links and kill servers, one after the other."""
        while self._faults:
            await asyncio.sleep(self._random.random() * 8.0)
            what = self._random.choice(["block", "block", "kill tablet", "kill coordinator"])
            self.counts[what] += 1
            if what == "block":
                ends = (COORDINATOR, self._random.choice(TABLETS))
                ends = ends if self._random.random() < 0.5 else (ends[1], ends[0])
                self.simulation.network.block(*ends)
                await asyncio.sleep(self._random.random() * 4.0)
                self.simulation.network.unblock(*ends)
                continue
            name = self._random.choice(TABLETS) if what == "kill tablet" else COORDINATOR
            self._machines[name].kill()
            await asyncio.sleep(self._random.random() * 3.0)
            await (self._start_coordinator() if name == COORDINATOR else self._start_tablet(name))

    # ------------------------------------------------------------------ servers

    async def _start_coordinator(self) -> None:
        machine = self._machines[COORDINATOR]
        node = FaultyCoordinatorNode(self, machine.runtime())
        await machine.start(node.start())
        self._coordinator = node
        for tablet in self._tablets.values():
            tablet.coordinator = node

    async def _start_tablet(self, name: str) -> None:
        machine = self._machines[name]
        number = TABLETS.index(name) + 1
        node = self._tablets[name] = TabletNode(number, self._coordinator, machine.runtime(), DIRECTORY, host=name)
        machine.start(node.start()).add_done_callback(_report)  # it ends when a coordinator has taken it in

    # ------------------------------------------------------------------ the script

    async def run(self) -> None:
        """Change tables, be quiet, and compare."""
        self._late_node = Node(self._machines[LATE].runtime(), DIRECTORY, host=LATE)
        await self._machines[LATE].start(self._late_node.bind())
        await self._start_coordinator()
        for name in TABLETS:
            await self._start_tablet(name)
        await self._until(lambda: len(self._live()) == 2)
        disturbing = asyncio.ensure_future(self._disturb())
        network = self._machines[CLIENT].runtime().network
        for _ in range(self._operations):
            await asyncio.sleep(self._random.random())
            await self._machines[CLIENT].start(self._change(network))
        self._faults = False
        await disturbing
        while late := [task for task in self._late if not task.done()]:
            await asyncio.wait(late)
        await self._until(lambda: len(self._live()) == 2 and not self._differences())

    def _live(self) -> list[int]:
        """Members whose processes are the present ones."""
        servers = self._coordinator.server.controller.queue.state.servers
        ports = {node.server_id: node.endpoint("CLIENT").port for node in self._tablets.values() if node.bound}
        found = []
        for server_id, live in servers.items():
            endpoint = live.node.endpoint("CLIENT")
            if endpoint is not None and endpoint.port == ports.get(server_id):
                found.append(server_id)
        return found

    async def _change(self, network: Any) -> None:
        """One statement; one that fails is not repeated."""
        endpoint = self._coordinator.endpoint("CLIENT")
        try:
            client = await RpcClient.connect(endpoint.host, endpoint.port, network=network, timeout_s=2.0)
        except FlussError:
            self.counts["no coordinator"] += 1
            return
        statement = self._random.choice(["create", "create", "partitioned", "partition", "partition", "alter", "drop"])
        try:
            await self._execute(client, statement)
            self.counts[statement] += 1
        except FlussError as error:
            self.counts[f"{statement}: {error.code.name}"] += 1
        finally:
            await client.close()

    async def _execute(self, client: RpcClient, statement: str) -> None:
        async def call(key: ApiKey, request: Any) -> None:
            await client.call(key, request, timeout_s=CALL_TIMEOUT_S)

        if statement in ("create", "partitioned") or not self._names:
            name = f"{'p' if statement == 'partitioned' else 't'}{sum(self.counts.values())}"
            self._names.append(name)
            document = PARTITIONED if statement == "partitioned" else descriptor(bucket_count=2)
            request = pb.CreateTableRequest(
                table_path=table_path(name), table_json=json.dumps(document).encode(), ignore_if_exists=False
            )
            await call(ApiKey.CREATE_TABLE, request)
            return
        name = self._random.choice(self._names)
        if statement == "drop":
            await call(ApiKey.DROP_TABLE, pb.DropTableRequest(table_path=table_path(name), ignore_if_not_exists=True))
        elif statement == "alter":
            column = pb.PbAddColumn(
                column_name=f"c{sum(self.counts.values())}",
                data_type_json=b'{"type":"STRING","nullable":true}',
                column_position_type=0,
            )
            alter = pb.AlterTableRequest(table_path=table_path(name), ignore_if_not_exists=True, add_columns=[column])
            await call(ApiKey.ALTER_TABLE, alter)
        else:
            spec = pb.PbPartitionSpec(
                partition_key_values=[pb.PbKeyValue(key="day", value=str(self._random.randint(0, 3)))]
            )
            if self._random.random() < 0.6:
                create = pb.CreatePartitionRequest(
                    table_path=table_path(name), partition_spec=spec, ignore_if_not_exists=True
                )
                await call(ApiKey.CREATE_PARTITION, create)
            else:
                drop = pb.DropPartitionRequest(
                    table_path=table_path(name), partition_spec=spec, ignore_if_not_exists=True
                )
                await call(ApiKey.DROP_PARTITION, drop)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not condition():  # noqa: ASYNC110 - the state of servers that run beside the script
                await asyncio.sleep(0.1)

        try:
            await asyncio.wait_for(wait(), QUIET_LIMIT_S)
        except asyncio.TimeoutError:
            raise AssertionError("\n".join([f"members: {self._live()}", *self._differences()])) from None

    # ------------------------------------------------------------------ what must be true

    def _differences(self) -> list[str]:
        """Where a tablet server knows or hosts something else than the coordinator says."""
        found = []
        state = self._coordinator.server.controller.queue.state
        for bucket, entry in state.buckets.items():
            if entry.status is not BucketStatus.ONLINE or not entry.active:
                found.append(f"{bucket} has no leader: {entry}")
        for node in self._tablets.values():
            metadata = node.server.metadata
            known = {table.table_id: table for table in metadata.tables()}
            expected = {table_id: table.table for table_id, table in state.tables.items()}
            if known != expected:
                found.append(f"server {node.server_id} knows tables {sorted(known)}, not {sorted(expected)}")
            for physical, physical_state in state.physical_tables.items():
                for seen in metadata.buckets(physical.table_id, physical.partition_id):
                    stored = state.buckets[physical.bucket(seen.bucket)]
                    if (seen.leader, seen.replicas) != (stored.leader, stored.replicas):
                        found.append(f"server {node.server_id} sees {physical} {seen}, not {stored}")
                if physical_state.visible and not metadata.buckets(physical.table_id, physical.partition_id):
                    found.append(f"server {node.server_id} does not see {physical}")
                partition_id = physical.partition_id
                if partition_id is not None and metadata.partition(partition_id) is None:
                    found.append(f"server {node.server_id} does not know {physical}")
            for table in known.values():
                for number, partition in metadata._partitions.items():
                    if partition.table_id == table.table_id and not any(
                        physical.partition_id == number for physical in state.physical_tables
                    ):
                        found.append(f"server {node.server_id} knows dropped partition {number}")
            hosted = {replica.bucket for replica in node.server.replicas.replicas()}
            leading = {bucket for bucket in hosted if node.server.replicas.find(bucket) is not None}
            assigned = {bucket for bucket, entry in state.buckets.items() if node.server_id in entry.replicas}
            led = {bucket for bucket, entry in state.buckets.items() if entry.leader == node.server_id}
            if hosted != assigned or leading != led:
                found.append(
                    f"server {node.server_id} hosts {sorted(map(str, hosted ^ assigned))} wrongly,"
                    f" leads {sorted(map(str, leading ^ led))} wrongly"
                )
        return found


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


def disturbed(seed: int) -> tuple[str, Counter[str], float]:
    """One run; its trace hash, what happened in it, and how long it took in virtual seconds."""
    with Simulation(seed) as simulation:
        run = ControlFaults(simulation)
        with repeated_with(simulation, "control-requests", seed, 0.0):
            simulation.run(run.run())
        return simulation.trace.digest(), run.counts, simulation.loop.time()
