"""Two coordinators over a real ZooKeeper: one is active, the other one takes over."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.pyfluss_support import connection, new_table
from cluster.test_processes import SCHEMA, append, read_ids, rows
from cluster_support import ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from official_tree import Tree, raw_tree
from rpc_support import async_test
from table_rpc import create_from, descriptor, rpc_client, table_path
from zookeeper_support import ZooKeeperServer

pytestmark = pytest.mark.java
TAKE_OVER_S = 20.0


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, zookeeper: ZooKeeperServer) -> Iterator[ProcessCluster]:
    root = {"zookeeper.path.root": f"/{tmp_path.name}"}
    with ProcessCluster(
        tmp_path, tablet_servers=2, coordinators=2, zookeeper=zookeeper.address, options=root
    ) as running:
        yield running


async def create_somewhere(cluster: ProcessCluster, name: str) -> None:
    """Create a table through any tablet server; again while there is no active coordinator."""
    deadline = asyncio.get_running_loop().time() + TAKE_OVER_S
    while True:
        try:
            async with rpc_client(cluster.servers[0].address) as client:
                await create_from(client, name, descriptor())
            return
        except FlussError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def coordinator_port(cluster: ProcessCluster) -> int:
    async with rpc_client(cluster.servers[0].address) as client:
        return int((await client.call(ApiKey.GET_METADATA, pb.MetadataRequest())).coordinator_server.port)


@async_test
async def test_a_standby_passes_calls_to_the_active_coordinator(cluster: ProcessCluster) -> None:
    for number, coordinator in enumerate(cluster.coordinators):
        async with rpc_client(coordinator.address) as client:
            await create_from(client, f"by_{number}", descriptor())
            seen = await client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="fluss"))
            assert list(seen.table_name) == [f"by_{earlier}" for earlier in range(number + 1)]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@async_test
async def test_the_standby_takes_over(how: signal.Signals, cluster: ProcessCluster) -> None:
    first, second = cluster.coordinators
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, "t", SCHEMA, bucket_count=4)
        await append(table, rows(0, 100))
        first.process.end(how, 30.0)
        await append(table, rows(100, 100))
        assert await read_ids(table, 200) == list(range(200)), "data needs no coordinator"
        await create_somewhere(cluster, "after")
        assert await coordinator_port(cluster) == second.port
        first.start()
        await append(table, rows(200, 100))
        assert await read_ids(table, 300) == list(range(300))


@async_test
async def test_the_standby_does_not_wait_for_sessions(tmp_path: Path, zookeeper: ZooKeeperServer) -> None:
    options = {"zookeeper.path.root": f"/{tmp_path.name}", "zookeeper.client.session-timeout": "60s"}
    with ProcessCluster(
        tmp_path, tablet_servers=2, coordinators=2, zookeeper=zookeeper.address, options=options
    ) as cluster:
        first, second = cluster.coordinators
        for number, (killed, other) in enumerate([(first, second), (second, first)]):
            await create_somewhere(cluster, f"before_{number}")
            assert await coordinator_port(cluster) == killed.port
            killed.kill()
            await create_somewhere(cluster, f"after_{number}")
            assert await coordinator_port(cluster) == other.port
            killed.start()
        other.kill()  # and one that is back at once takes the place that it had itself
        other.start()
        await create_somewhere(cluster, "at_its_own_place")
        port = await coordinator_port(cluster)
        active = next(each for each in (first, second) if each.port == port)
        active.process.send(signal.SIGSTOP)
        await create_somewhere(cluster, "while_one_stands_still")
        active.process.send(signal.SIGCONT)


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + TAKE_OVER_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def records_of(tree: Tree, table: int) -> list[dict[str, Any]]:
    """Leaders and ISRs of the buckets of a table."""
    values = tree.values()
    paths = [path for path in values if path.startswith(f"/tabletservers/tables/{table}/")]
    return [json.loads(values[path]) for path in paths if path.endswith("/leader_isr")]


def nodes_below(tree: Tree, path: str) -> int:
    return sum(each.startswith(path) for each in tree.paths())


def leaders_of(tree: Tree, table: int) -> set[int]:
    return {record["leader"] for record in records_of(tree, table)}


def is_in_sync(tree: Tree, table: int) -> bool:
    return all(len(record["isr"]) == 2 and record["leader"] >= 0 for record in records_of(tree, table))


@pytest.mark.parametrize("session_timeout", ["2s", "60s"])
@async_test
async def test_a_coordinator_that_stood_still_changes_nothing(
    session_timeout: str, zookeeper: ZooKeeperServer, tmp_path: Path
) -> None:
    """What it remembers is wrong: a leader died meanwhile, a table was dropped, another one created. Its session may
    have ended, or live on.
    """
    options = {"zookeeper.path.root": f"/{tmp_path.name}", "zookeeper.client.session-timeout": session_timeout}
    with ProcessCluster(
        tmp_path, tablet_servers=2, coordinators=2, zookeeper=zookeeper.address, options=options
    ) as cluster:
        await stand_still(cluster, zookeeper, tmp_path.name, session_ends=session_timeout == "2s")


async def stand_still(cluster: ProcessCluster, zookeeper: ZooKeeperServer, root: str, *, session_ends: bool) -> None:
    first, second = cluster.coordinators
    replicated = descriptor(bucket_count=2, properties={"table.replication.factor": "2"})
    with raw_tree(zookeeper, f"/{root}") as tree:
        async with (
            rpc_client(first.address) as client,
            rpc_client(first.address) as other,
            rpc_client(first.address) as third,
        ):
            stays, goes = [await create_from(client, name, replicated) for name in ("stays", "goes")]
            active = json.loads(tree.value("/coordinators/active"))["id"]
            first.process.send(signal.SIGSTOP)
            try:
                await until(lambda: f"/coordinators/ids/{active}" not in tree.paths() or not session_ends)
                await create_somewhere(cluster, "comes")
                assert await coordinator_port(cluster) == second.port
                cluster.servers[1].kill()
                await until(lambda: leaders_of(tree, stays) == {0})
                dropping = pb.DropTableRequest(table_path=table_path("goes"), ignore_if_not_exists=False)
                async with rpc_client(second.address) as successor:
                    await successor.call(ApiKey.DROP_TABLE, dropping)
                cluster.servers[1].start()
                await until(lambda: is_in_sync(tree, stays) and f"/tabletservers/tables/{goes}" not in tree.paths())
                document, path = json.dumps(replicated).encode(), table_path("comes")
                creation = pb.CreateTableRequest(table_path=path, table_json=document, ignore_if_exists=False)
                database = pb.CreateDatabaseRequest(database_name="late", ignore_if_exists=False)
                # These wait in its socket, and would be done if it went by its memory.
                late = [
                    asyncio.ensure_future(connected.call(key, request, timeout_s=60))
                    for connected, key, request in (
                        (client, ApiKey.CREATE_DATABASE, database),
                        (other, ApiKey.CREATE_TABLE, creation),
                        (third, ApiKey.DROP_TABLE, dropping),
                    )
                ]
                assert await coordinator_port(cluster) == second.port
                before, values = tree.transactions(), tree.values()
            finally:
                first.process.send(signal.SIGCONT)
            outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(outcome, FlussError) for outcome in outcomes[1:]), outcomes
        await until(
            lambda: nodes_below(tree, "/coordinators/ids/") == nodes_below(tree, "/coordinators/election/") == 2
        )
        async with rpc_client(first.address) as client:  # it is a standby now
            seen = await client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="fluss"))
            databases = await client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest())
        assert list(seen.table_name) == ["comes", "stays"]
        # It may have been a standby before it read the requests, and have passed them on.
        is_passed_on = "late" in databases.database_name
        assert isinstance(outcomes[0], FlussError) is not is_passed_on, outcomes
        assert ("/metadata/databases/late" in tree.paths()) is is_passed_on, "only its successor creates anything"
        after = tree.transactions()
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        its_own = ("/coordinators/ids/", "/coordinators/election/", "/commits/", "/metadata/databases/late")
        assert [path for path in sorted(changed) if not path.startswith(its_own)] == []
        assert {path: tree.value(path) for path in values if not path.startswith(its_own)} == {
            path: value for path, value in values.items() if not path.startswith(its_own)
        }
    await create_somewhere(cluster, "afterwards")
    assert await coordinator_port(cluster) == second.port


@async_test
async def test_a_restart_of_zookeeper_is_survived(cluster: ProcessCluster, zookeeper: ZooKeeperServer) -> None:
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, "t", SCHEMA, bucket_count=4)
        await append(table, rows(0, 100))
        zookeeper.restart()
        await append(table, rows(100, 100))
        await create_somewhere(cluster, "after")
        assert await read_ids(table, 200) == list(range(200))
