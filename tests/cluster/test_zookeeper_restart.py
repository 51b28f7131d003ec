"""Clients that read and write data do not notice that ZooKeeper is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from cluster.test_standby import endpoint, until_in_sync
from cluster_support import ProcessCluster
from fluss_server.runtime.runtime import system_runtime
from official_tree import raw_tree
from rpc_support import async_test
from simulation.cluster_clients import ClusterClient, KeyedWriter, Writer, create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA
from zookeeper_support import ZooKeeperServer

pytestmark = pytest.mark.java

DOWN_S = 3.0
LONGEST_GAP_S = 1.5
"""A client makes several calls in a second; without leases none has an effect for several seconds."""

CALLS_AFTERWARDS = 20
DEADLINE_S = 40.0


@pytest.fixture
def zookeeper() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer() as server:
        yield server


class Gaps:
    """The longest time in which a count did not grow."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._known = count()
        self._grown_at = asyncio.get_running_loop().time()
        self.longest_s = 0.0

    def look(self) -> None:
        now = asyncio.get_running_loop().time()
        self.longest_s = max(self.longest_s, now - self._grown_at)
        if (count := self._count()) != self._known:
            self._known, self._grown_at = count, now


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def restart(zookeeper: ZooKeeperServer) -> None:
    await asyncio.to_thread(zookeeper.stop)
    await asyncio.sleep(DOWN_S)
    await asyncio.to_thread(zookeeper.start)


@pytest.mark.parametrize("coordinators", [1, 2])
@async_test
async def test_appends_upserts_and_lookups_go_on_while_zookeeper_is_restarted(
    tmp_path: Path, zookeeper: ZooKeeperServer, coordinators: int
) -> None:
    network = system_runtime().network
    options = {
        "zookeeper.path.root": "/fluss",
        "zookeeper.client.session-timeout": "60s",
        "log.replica.min-in-sync-replicas-number": "2",
    }
    with ProcessCluster(
        tmp_path, tablet_servers=2, coordinators=coordinators, zookeeper=zookeeper.address, options=options
    ) as cluster:
        coordinator = endpoint(cluster.coordinators[0].address)
        log_id = await create_table(network, coordinator, "log", LOG_SCHEMA, buckets=1, replicas=2)
        keyed_id = await create_table(network, coordinator, "keyed", KEYED_SCHEMA, buckets=1, replicas=2)
        await until_in_sync(cluster, 4)

        def servers() -> ClusterClient:
            return ClusterClient(network, lambda: [endpoint(each.address) for each in cluster.servers], Random(1))

        writer = Writer(servers(), "log", log_id, 0, acks=-1, number=1)
        keyed = KeyedWriter(servers(), "keyed", keyed_id)
        working = [asyncio.ensure_future(writer.run()), asyncio.ensure_future(keyed.run())]
        await until(lambda: len(writer.acknowledged) > 0 and keyed.calls > 0)
        with raw_tree(zookeeper, "/fluss") as tree:
            epoch = tree.value("/coordinators/epoch")
        gaps = [Gaps(lambda: len(writer.acknowledged)), Gaps(lambda: keyed.calls)]
        restarting = asyncio.ensure_future(restart(zookeeper))
        while not restarting.done():
            for gap in gaps:
                gap.look()
            await asyncio.sleep(0.01)
        await restarting
        calls = keyed.calls + CALLS_AFTERWARDS
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        while keyed.calls < calls:
            assert asyncio.get_running_loop().time() < deadline, "upserts and lookups do not go on"
            for gap in gaps:
                gap.look()
            await asyncio.sleep(0.01)
        assert max(gap.longest_s for gap in gaps) < LONGEST_GAP_S
        writer.stopped = keyed.stopped = True
        await asyncio.gather(*working)
        await keyed.look_up_all()
        await create_table(network, coordinator, "after", LOG_SCHEMA, buckets=1, replicas=2)
        with raw_tree(zookeeper, "/fluss") as tree:
            assert tree.value("/coordinators/epoch") == epoch, "no coordinator has begun another epoch"
