"""A Flink job goes on, exact and without a restart, through a restart of every server and the kill of a coordinator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_support import ClusterServer, ProcessCluster
from flink.sql import cancel, environment, insert, table_rows
from flink.standalone_flink import StandaloneFlink
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from table_rpc import rpc_client
from waiting import wait_until
from zookeeper_support import ZooKeeperServer

pytestmark = [pytest.mark.flink, pytest.mark.java, pytest.mark.slow]

COUNT, RATE = 24_000, 400
PRODUCTS = ("tea", "coffee", "milk", "bread")
REPLICATED = "'bucket.num' = '3', 'table.replication.factor' = '3'"
NO_RESTART = {
    "restart-strategy.type": "none",
    "execution.checkpointing.interval": "1s",
    "parallelism.default": "1",
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ProcessCluster]:
    with (
        ZooKeeperServer() as zookeeper,
        ProcessCluster(tmp_path, tablet_servers=3, coordinators=2, zookeeper=zookeeper.address) as running,
    ):
        yield running


async def _in_sync(address: str) -> bool:
    """Whether every bucket has a leader and all its replicas in sync."""
    try:
        async with rpc_client(address) as client:
            health = await client.call(ApiKey.GET_CLUSTER_HEALTH, pb.GetClusterHealthRequest())
    except FlussError:
        return False
    leaders = health.num_leader_replicas
    return bool(0 < leaders == health.active_leader_replicas and health.in_sync_replicas == health.num_replicas)


def wait_until_in_sync(server: ClusterServer) -> None:
    wait_until(lambda: asyncio.run(_in_sync(server.address)), "all replicas are in sync")


def restart(cluster: ProcessCluster, server: ClusterServer) -> None:
    """A clean stop and a start, as in a rolling upgrade; the next server comes when this one has caught up."""
    assert server.stop() == 0
    server.start()
    wait_until_in_sync(cluster.servers[0])


def rows_now(cluster: ProcessCluster) -> list[tuple[object, ...]]:
    """The result so far, sorted."""
    return sorted(table_rows(cluster.servers[0].port, "revenue"))


def expected() -> list[tuple[object, ...]]:
    """Name, number of orders, and their sum."""
    found: list[tuple[object, ...]] = []
    for product, name in enumerate(PRODUCTS):
        ids = range(product, COUNT, len(PRODUCTS))
        found.append((name, len(ids), sum(number % 7 * (product + 1) for number in ids)))
    return sorted(found)


def test_a_job_through_a_rolling_restart_and_a_killed_coordinator(
    flink: StandaloneFlink, cluster: ProcessCluster
) -> None:
    env = environment(flink, cluster.bootstrap_servers, NO_RESTART)
    env.execute_sql(f"CREATE TABLE orders (id BIGINT, product BIGINT, pieces BIGINT) WITH ({REPLICATED})")
    key = "PRIMARY KEY ({}) NOT ENFORCED"
    env.execute_sql(
        f"CREATE TABLE products (id BIGINT, name STRING, price BIGINT, {key.format('id')}) WITH ({REPLICATED})"
    )
    env.execute_sql(f"CREATE TABLE revenue (name STRING, c BIGINT, s BIGINT, {key.format('name')}) WITH ({REPLICATED})")
    values = ", ".join(f"({number}, '{name}', {number + 1})" for number, name in enumerate(PRODUCTS))
    insert(env, f"INSERT INTO products VALUES {values}")
    env.execute_sql(
        "CREATE TEMPORARY TABLE arriving (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence',"
        f" 'rows-per-second' = '{RATE}', 'fields.id.start' = '0', 'fields.id.end' = '{COUNT - 1}')"
    )
    wait_until_in_sync(cluster.servers[0])
    summing = env.execute_sql(
        "INSERT INTO revenue SELECT p.name, COUNT(*), SUM(o.pieces * p.price)"
        " FROM (SELECT *, PROCTIME() AS arrived FROM orders) AS o"
        " JOIN products FOR SYSTEM_TIME AS OF o.arrived AS p ON o.product = p.id GROUP BY p.name"
    )
    ordering = env.execute_sql("INSERT INTO orders SELECT id, MOD(id, 4), MOD(id, 7) FROM arriving")
    begin = time.monotonic()
    try:
        wait_until(lambda: len(rows_now(cluster)) == len(PRODUCTS), "first results")
        for server in cluster.servers:
            restart(cluster, server)
        cluster.coordinators[0].kill()
        wait_until_in_sync(cluster.servers[0])
        cluster.coordinators[0].start()
        restart(cluster, cluster.coordinators[1])
        assert time.monotonic() - begin < COUNT / RATE, "orders came all the time"
        ordering.wait()
        wait_until(lambda: rows_now(cluster) == expected(), "the result")
        for result in (summing, ordering):
            client = result.get_job_client()
            assert client is not None
            found = flink.get(f"/jobs/{client.get_job_id()}/exceptions")
            assert found is not None
            assert found["exceptionHistory"]["entries"] == []
    finally:
        cancel(ordering)
        cancel(summing)
