"""A coordinator and three tablet servers in this process, over real sockets, and calls of whoever leads a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cluster_nodes import CoordinatorNode, TabletNode
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from fluss_server.log.log_tablet import LogTablet
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.schema import Schema
from fluss_server.replica.follower_replica import FollowerReplica
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.runtime import system_runtime
from fluss_server.tablet.metrics import TabletMetrics
from table_rpc import create_table

DEADLINE_S = 20.0
ALL = (1, 2, 3)


class Cluster:
    """A coordinator and tablet servers, and calls of whoever leads a bucket."""

    def __init__(self, directory: Path, options: dict[str, str]) -> None:
        self.directory = directory
        self.options = options
        self.runtime = system_runtime()
        self.coordinator = CoordinatorNode(self.runtime, directory / "coordinator", options)
        self.tablets: dict[int, TabletNode] = {}

    async def start_server(self, server_id: int) -> None:
        node = TabletNode(
            server_id, self.coordinator, self.runtime, self.directory / f"tablet-{server_id}", self.options
        )
        self.tablets[server_id] = node
        await node.start()

    async def lose_server(self, server_id: int) -> None:
        """It says good-bye to nobody."""
        await self.tablets.pop(server_id).close()

    async def create(
        self,
        name: str,
        schema: Schema,
        replicas: int = 3,
        properties: Mapping[str, str] | None = None,
        *,
        buckets: int = 1,
    ) -> int:
        endpoint = self.coordinator.endpoint("CLIENT")
        options = {"table.replication.factor": str(replicas), **(properties or {})}
        async with await RpcClient.connect(endpoint.host, endpoint.port) as client:
            return await create_table(client, name, schema, buckets=buckets, properties=options)

    def leader_of(self, bucket: TableBucket) -> int:
        """Server id of the leader that serves a bucket; -1 for none."""
        for server_id, node in self.tablets.items():
            try:
                node.server.replicas.replica(bucket)
            except FlussError:
                continue
            return server_id
        return -1

    def has_other_leader(self, bucket: TableBucket, before: int) -> bool:
        return self.leader_of(bucket) not in (-1, before)

    def isr_of(self, bucket: TableBucket) -> set[int]:
        record = self.coordinator.server.controller.queue.state.buckets[bucket].record
        return set() if record is None else set(record.isr)

    def log_of(self, server_id: int, bucket: TableBucket) -> LogTablet:
        replicas = self.tablets[server_id].server.replicas.replicas()
        return next(replica.log for replica in replicas if replica.bucket == bucket)

    def content_of(self, server_id: int, bucket: TableBucket) -> bytes:
        log = self.log_of(server_id, bucket)
        return b"".join(data for _, data in log.batches(log.start_offset, log.end_offset))

    def follower(self, server_id: int, bucket: TableBucket) -> FollowerReplica:
        replicas = self.tablets[server_id].server.replicas.replicas()
        follower = next(replica for replica in replicas if replica.bucket == bucket)
        assert isinstance(follower, FollowerReplica)
        return follower

    def pause_follower(self, server_id: int, bucket: TableBucket) -> FollowerReplica:
        """Let a follower fetch no more."""
        follower = self.follower(server_id, bucket)
        self.tablets[server_id].server.replicas._roles.stop_fetching(follower)
        return follower

    async def call_leader(self, bucket: TableBucket, key: ApiKey, request: Any) -> Any:
        await until(lambda: self.leader_of(bucket) >= 0)
        endpoint = self.tablets[self.leader_of(bucket)].endpoint("CLIENT")
        async with await RpcClient.connect(endpoint.host, endpoint.port) as client:
            return await client.call(key, request)

    async def close(self) -> None:
        for node in self.tablets.values():
            await node.close()
        await self.coordinator.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state, for a bounded time."""

    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - plain state of the servers under test
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), DEADLINE_S)


@asynccontextmanager
async def cluster(
    directory: Path, *, other_options: dict[str, str] | None = None, **options: str
) -> AsyncIterator[Cluster]:
    """Started; ``options`` as keyword arguments without ``log.replica.`` and with ``_`` for ``-``."""
    named = {f"log.replica.{key.replace('_', '-')}": value for key, value in options.items()}
    running = Cluster(directory, {**named, **(other_options or {})})
    try:
        await running.coordinator.start()
        for server_id in ALL:
            await running.start_server(server_id)
        yield running
    finally:
        await running.close()


def figures(running: Cluster, server_id: int) -> dict[str, Any]:
    """Metrics of a server without labels."""
    server = running.tablets[server_id].server
    metrics = TabletMetrics(
        server.replicas,
        server.scanners,
        server.reads.parked,
        server.disk,
        server.isr,
        server.membership,
        max_buckets=10,
    )
    return {sample.name: sample.value for sample in metrics.samples() if not sample.labels}
