"""Three tablet servers and their coordinator lose power at once: real processes, on disks that keep what was synced.

``FLUSS_POWER_ROUNDS`` sets how often, ``FLUSS_POWER_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from cluster_support import ClusterServer
from crash.lossy_disk import LossyDisk
from crash.machine import on_disk
from crash.test_power_loss import RELAXED, ROUNDS, SEED, SMALL
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test
from simulation.cluster_clients import ClusterClient, KeyedWriter, Reader, Writer, create_table, pause_after
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA

BUCKETS = 2
DEADLINE_S = 60.0
ARGUMENTS = ("--grpc-port", "none")
NO_FLUSHES = {**RELAXED, "log.flush.interval": "1 h"}

pytestmark = [pytest.mark.crash, pytest.mark.slow]


class PoweredServer(ClusterServer):
    """A server with a disk of its own."""

    def __init__(self, role: str, home: Path, options: Mapping[str, str], *arguments: str) -> None:
        home.mkdir()
        self._disk = LossyDisk(home, SEED)
        super().__init__(role, self._disk.data, options, (*arguments, *ARGUMENTS))

    def start(self, *, new_port: bool = False) -> None:
        with on_disk(self._disk):
            super().start(new_port=new_port)

    def lose_power(self, *, everything: bool) -> None:
        """As :meth:`LossyDisk.lose_power`; the process must be dead."""
        self._disk.lose_power(everything=everything)
        self._directory = self._disk.data


class PoweredCluster:
    """A coordinator, which keeps the metadata, and three tablet servers."""

    def __init__(self, directory: Path, options: Mapping[str, str]) -> None:
        self.coordinator = PoweredServer("coordinator", directory / "coordinator", options)
        self.coordinator.start()
        options = {**options, "coordinator.address": self.coordinator.address}
        self.servers = [
            PoweredServer("tablet-server", directory / f"server-{number}", options, "--id", str(number))
            for number in range(3)
        ]
        for server in self.servers:
            server.start()

    @property
    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("FLUSS", "127.0.0.1", server.port) for server in self.servers]

    @property
    def coordinator_endpoint(self) -> Endpoint:
        return Endpoint("FLUSS", "127.0.0.1", self.coordinator.port)

    def lose_power(self, *, everything: bool) -> None:
        """End all of them within a moment, and start them again on what their disks have kept."""
        processes = [self.coordinator, *self.servers]
        for process in processes:
            process.kill()
        for process in processes:
            process.lose_power(everything=everything)
            process.start()

    def stop(self) -> None:
        for process in (*self.servers, self.coordinator):
            process.stop()


@contextlib.contextmanager
def powered_cluster(directory: Path, **options: str) -> Iterator[PoweredCluster]:
    print(f"repeat with FLUSS_POWER_SEED={SEED} FLUSS_POWER_ROUNDS={ROUNDS}")
    cluster = PoweredCluster(directory, {**SMALL, "log.replica.min-in-sync-replicas-number": "2", **options})
    try:
        yield cluster
    finally:
        cluster.stop()


@contextlib.asynccontextmanager
async def client_of(cluster: PoweredCluster) -> AsyncIterator[ClusterClient]:
    client = ClusterClient(system_runtime().network, lambda: cluster.endpoints, Random(SEED))
    try:
        yield client
    finally:
        await client.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async def wait() -> None:
        while not await condition():  # noqa: ASYNC110 - state of other processes
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), DEADLINE_S)


async def all_in_sync(cluster: PoweredCluster) -> bool:
    endpoint = cluster.coordinator_endpoint
    async with await RpcClient.connect(endpoint.host, endpoint.port) as client:
        health = await client.call(ApiKey.GET_CLUSTER_HEALTH, pb.GetClusterHealthRequest())
    return int(health.in_sync_replicas) == 3 * (BUCKETS + 1)


async def rows_of(client: ClusterClient, table: str, table_id: int, bucket: int) -> list[int]:
    """Ids of all rows that are there, in the order of their offsets."""
    reader = Reader(client, table, table_id, bucket)

    async def at_the_end() -> bool:
        try:
            return not await reader.read()
        except FlussError as error:
            await pause_after(client, error)
            return False

    await until(at_the_end)
    return reader.rows


def test_what_is_acknowledged_survives_when_all_servers_lose_power(tmp_path: Path) -> None:
    """Default flush; each server keeps another part of what it had not synced, or nothing of it."""
    asyncio.run(lose_power_again_and_again(tmp_path))


async def lose_power_again_and_again(tmp_path: Path) -> None:
    random, network = Random(SEED), system_runtime().network
    with powered_cluster(tmp_path) as cluster:
        at = cluster.coordinator_endpoint
        log = await create_table(network, at, "log", LOG_SCHEMA, buckets=BUCKETS, replicas=3)
        keyed = await create_table(network, at, "keyed", KEYED_SCHEMA, buckets=1, replicas=3)
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(cluster)) for _ in range(BUCKETS + 1)]
            writers = [Writer(clients[b], "log", log, b, acks=-1, number=b + 1) for b in range(BUCKETS)]
            upserter = KeyedWriter(clients[BUCKETS], "keyed", keyed)
            tasks = [asyncio.create_task(writer.run()) for writer in writers]
            tasks.append(asyncio.create_task(upserter.run()))

            async def acknowledged(count: int) -> None:
                """Wait for so many more acknowledgements of each of them."""
                goals = [len(writer.acknowledged) + count for writer in writers]
                calls = upserter.calls + count

                async def reached() -> bool:
                    for task in tasks:
                        if task.done():
                            task.result()
                    rows = [len(writer.acknowledged) for writer in writers]
                    return upserter.calls >= calls and all(map(int.__ge__, rows, goals))

                await until(reached)

            for number in range(ROUNDS):
                await acknowledged(20)
                await asyncio.sleep(0.2 * random.random())  # a random moment, not a wait for a state
                await asyncio.to_thread(cluster.lose_power, everything=number % 2 == 0)
            await acknowledged(1)
            upserter.stopped = True
            for writer in writers:
                writer.stopped = True
            await asyncio.gather(*tasks)
            for writer in writers:
                assert await rows_of(clients[0], "log", log, writer.bucket) == writer.acknowledged
            await upserter.look_up_all()
            print(f"{sum(len(writer.acknowledged) for writer in writers)} rows, {upserter.looked_up} lookups")
        await until(lambda: all_in_sync(cluster))


@async_test
async def test_without_a_flush_rows_are_lost_when_all_servers_lose_power(tmp_path: Path) -> None:
    """What the test above would see if acknowledgements did not wait for the disk."""
    network = system_runtime().network
    with powered_cluster(tmp_path, **NO_FLUSHES) as cluster:
        log = await create_table(network, cluster.coordinator_endpoint, "log", LOG_SCHEMA, buckets=1, replicas=3)
        async with client_of(cluster) as client:
            writer = Writer(client, "log", log, 0, acks=-1, number=1)
            task = asyncio.create_task(writer.run())

            async def has_rows() -> bool:
                return len(writer.acknowledged) >= 20

            await until(has_rows)
            writer.stopped = True
            await task
            await asyncio.to_thread(cluster.lose_power, everything=True)
            assert await rows_of(client, "log", log, 0) == []
