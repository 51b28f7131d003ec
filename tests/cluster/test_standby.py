"""A primary-key table goes on within seconds when the process that leads it is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from cluster_support import ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import system_runtime
from replicated_cluster import until
from rpc_support import async_test
from simulation.cluster_clients import ClusterClient, KeyedWriter, create_table
from simulation.conversation import KEYED_SCHEMA, path_of

FAIL_OVER_S = 5.0


def endpoint(address: str) -> Endpoint:
    host, port = address.rsplit(":", 1)
    return Endpoint("FLUSS", host, int(port))


async def leader_of(cluster: ProcessCluster, address: str, table: str) -> int:
    """Position in ``cluster.servers`` of the leader of the only bucket."""
    server = endpoint(address)
    async with await RpcClient.connect(server.host, server.port) as client:
        response = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path_of(table)]))
    return int(response.table_metadata[0].bucket_metadata[0].leader_id)


async def until_in_sync(cluster: ProcessCluster, replicas: int) -> None:
    """Wait until all replicas are in sync: with fewer, the end of one more server can stop writes for longer."""
    coordinator = endpoint(cluster.coordinators[0].address)

    async def in_sync() -> int:
        async with await RpcClient.connect(coordinator.host, coordinator.port) as client:
            health = await client.call(ApiKey.GET_CLUSTER_HEALTH, pb.GetClusterHealthRequest())
        return int(health.in_sync_replicas)

    deadline = asyncio.get_running_loop().time() + 60
    while (found := await in_sync()) < replicas:
        assert asyncio.get_running_loop().time() < deadline, f"{found} of {replicas} replicas are in sync"
        await asyncio.sleep(0.1)


async def until_called(writer: KeyedWriter, writing: asyncio.Task[None], calls: int) -> None:
    """Wait for so many more calls, or until the writer has failed."""
    target = writer.calls + calls
    await until(lambda: writer.calls >= target or writing.done())


@async_test
async def test_lookups_and_upserts_go_on_when_the_leader_is_killed(tmp_path: Path) -> None:
    network, loop = system_runtime().network, asyncio.get_running_loop()
    with ProcessCluster(tmp_path, options={"log.replica.min-in-sync-replicas-number": "2"}) as cluster:
        coordinator = endpoint(cluster.coordinators[0].address)
        table_id = await create_table(network, coordinator, "keyed", KEYED_SCHEMA, buckets=1, replicas=3)
        running = [server.address for server in cluster.servers]
        client = ClusterClient(network, lambda: [endpoint(address) for address in running], Random(1))
        writer = KeyedWriter(client, "keyed", table_id)
        writing = asyncio.ensure_future(writer.run())
        for _ in range(2):
            await until_in_sync(cluster, 3)
            await until_called(writer, writing, 50)
            leader = cluster.servers[await leader_of(cluster, running[0], "keyed")]
            running.remove(leader.address)
            leader.kill()
            killed = loop.time()
            await until_called(writer, writing, 5)
            assert loop.time() - killed < FAIL_OVER_S
            leader.start()
            running.append(leader.address)
        writer.stopped = True
        await writing
        await writer.look_up_all()
        assert writer.looked_up > 0
