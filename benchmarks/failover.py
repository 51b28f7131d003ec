"""How long clients wait when a server of a cluster fails: the leader of their bucket, or the active coordinator.

Three tablet servers and two coordinators over ZooKeeper, replication factor 3, min ISR 2. Clients write rows and look
them up without a pause, and repeat a call as official clients do. In every round one process is killed (SIGKILL),
stopped in an orderly way (SIGTERM) or paused for longer than every time-out (SIGSTOP). The figure of a round is the
longest time between two acknowledgements. An operation has failed when a client gets an error that it does not repeat.
A round begins when all replicas are in sync and the standby replica of the primary-key table has nearly all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from random import Random

from chaos.clients import Actor, Appender, Target, Upserter, Visitor
from chaos.history import UNKNOWN, History, longest_gap
from chaos.report import put_into
from cluster_support import ClusterServer, ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.metadata.records import LeaderAndIsrRecord, leader_and_isr_path
from fluss_server.metadata.store import MetadataStore
from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore
from fluss_server.model.schema import Schema
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.system_network import SystemNetwork
from simulation.cluster_clients import KEY_ENCODER, create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA, ROWS, path_of
from support import print_table
from zookeeper_support import ZooKeeperServer

RESULTS = Path(__file__).resolve().parent / "failover.md"
REPLICAS = 3
PACE_S = 0.004
CALL_TIMEOUT_S = 1.0
"""A client that has no response for so long asks for the leader again."""

PAUSE_S = 6.0
RECOVERY_LIMIT_S = 60.0
STANDBY_LIMIT_S = 300.0
STANDBY_LAG_ROWS = 1_000
"""A standby replica that lacks no more is ready; clients write a thousand rows in a second."""

METRICS = {"metrics.reporters": "prometheus", "metrics.reporter.prometheus.port": "0"}
_STANDBYS = re.compile(r"^\w*server_standbyReplicaCount(?:\{.*\})? (\S+)$", re.MULTILINE)
_LAG = re.compile(r"^\w*server_standbyMaxLag(?:\{.*\})? (\S+)$", re.MULTILINE)
LOG, KEYED, COORDINATOR = "log table", "primary-key table", "coordinator"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
TARGETS = {
    (LOG, signal.SIGKILL): (1.0, 3.0),
    (LOG, signal.SIGTERM): (0.5, 0.5),
    (LOG, signal.SIGSTOP): (4.0, 4.0),
    (COORDINATOR, signal.SIGKILL): (0.5, 0.5),
    (COORDINATOR, signal.SIGTERM): (0.5, 0.5),
}
"""Seconds, median and maximum; those of log tables are those of primary-key tables, too."""

Key = tuple[str, signal.Signals, str]


class Failover:
    """Rounds over one cluster.

    Args:
        cluster: that runs.
        store: its metadata.
        rows: of the primary-key table.
    """

    def __init__(self, cluster: ProcessCluster, store: MetadataStore, rows: int) -> None:
        self._cluster = cluster
        self._store = store
        self._rows = rows
        self._history = History()
        self._begin = time.monotonic()
        self._actors: list[Actor] = []
        self.waits: defaultdict[Key, list[float]] = defaultdict(list)
        self.failed: defaultdict[tuple[str, signal.Signals], int] = defaultdict(int)

    def _now(self) -> float:
        return time.monotonic() - self._begin

    async def run(self, rounds: int, what: set[str]) -> None:
        """All rounds, with the clients beside them."""
        log, keyed = await self._create(LOG, LOG_SCHEMA), await self._create(KEYED, KEYED_SCHEMA)
        await self._fill(keyed)
        owner = Upserter(keyed, 0, 1, Random(1))
        visitor = Visitor(keyed, owner, Random(2))
        self._actors = [Appender(log, 0, 1, Random(3)), owner, visitor]
        tasks = [asyncio.ensure_future(actor.run()) for actor in self._actors]
        try:
            await self._all_in_sync()
            await self._standby_is_ready()
            print(f"{self._rows:,} rows and their standby after {self._now():.0f} s", flush=True)
            for number in range(rounds):
                for hit in (LOG, KEYED, COORDINATOR):
                    for how in SIGNALS:
                        if not what or hit in what:
                            await self._round(hit, how)
                print(f"round {number + 1} of {rounds} after {self._now():.0f} s", flush=True)
        finally:
            for actor in self._actors:
                actor.stopped = True
            await asyncio.wait(tasks, timeout=10.0)
            for task in tasks:
                task.cancel()

    async def _round(self, hit: str, how: signal.Signals) -> None:
        await asyncio.sleep(0.5)
        server = await self._coordinator() if hit == COORDINATOR else await self._leader(hit)
        unknown = self._failed_operations()
        begin = self._now()
        if how is signal.SIGSTOP:
            server.process.send(how)
            await asyncio.sleep(PAUSE_S)
            await self._everything_goes_on()
            server.process.send(signal.SIGCONT)
        else:
            await asyncio.to_thread(server.process.end, how, 30.0)
            await self._everything_goes_on()
            await asyncio.to_thread(server.start)
        end = self._now()
        operations = {LOG: ("append",), KEYED: ("upsert", "lookup"), COORDINATOR: ("append", "upsert", "lookup")}[hit]
        for operation in operations:
            gap = longest_gap(self._history.acknowledged[operation, 0], begin, end)
            self.waits[hit, how, operation].append(gap)
            print(f"{hit:18} {how.name:8} {operation:7} {gap:6.3f} s", flush=True)
        await self._all_in_sync()
        await self._standby_is_ready()
        self.failed[hit, how] += self._failed_operations() - unknown

    def _failed_operations(self) -> int:
        return sum(count for (_, outcome), count in self._history.operations.items() if outcome == UNKNOWN)

    # ------------------------------------------------------------------ tables

    async def _create(self, name: str, schema: Schema) -> Target:
        table = name.replace(" ", "_").replace("-", "_")
        endpoint = Endpoint("CLIENT", "127.0.0.1", self._cluster.servers[0].port)
        table_id = await create_table(SystemNetwork(), endpoint, table, schema, buckets=1, replicas=REPLICAS)
        endpoints = [Endpoint("CLIENT", "127.0.0.1", server.port) for server in self._cluster.servers]
        return Target(table, table_id, endpoints, self._history, self._now, PACE_S, CALL_TIMEOUT_S)

    async def _fill(self, keyed: Target) -> None:
        """Rows that nobody changes later, so that the table is as large as wanted."""
        actor = Actor(keyed, 0, Random(4))
        part = 5_000
        for first in range(0, self._rows, part):
            records = [
                (KEY_ENCODER.encode((-key - 1,)), ROWS.encode((-key - 1, f"row {key}")))
                for key in range(first, first + part)
            ]
            request = pb.PutKvRequest(acks=-1, table_id=keyed.table_id, timeout_ms=10_000)
            request.buckets_req.add(bucket_id=0, records=build_kv_batch(1, records))
            await actor.call("fill", ApiKey.PUT_KV, request, lambda response: response.buckets_resp[0])
        await actor.client.close()

    # ------------------------------------------------------------------ what there is

    async def _metadata(self) -> pb.MetadataResponse:
        request = pb.MetadataRequest(table_path=[path_of(actor.target.name) for actor in self._actors[:2]])
        while True:
            for server in self._cluster.servers:
                try:
                    async with await RpcClient.connect("127.0.0.1", server.port, timeout_s=0.5) as client:
                        found: pb.MetadataResponse = await client.call(ApiKey.GET_METADATA, request, timeout_s=0.5)
                        return found
                except FlussError:
                    await asyncio.sleep(0.02)

    async def _leader(self, table: str) -> ClusterServer:
        index = 0 if table == LOG else 1
        while True:
            [bucket] = (await self._metadata()).table_metadata[index].bucket_metadata
            if bucket.HasField("leader_id") and bucket.leader_id >= 0:
                return self._cluster.servers[bucket.leader_id]
            await asyncio.sleep(0.02)

    async def _coordinator(self) -> ClusterServer:
        while True:
            port = (await self._metadata()).coordinator_server.port
            for coordinator in self._cluster.coordinators:
                if coordinator.port == port and coordinator.process.is_running:
                    return coordinator
            await asyncio.sleep(0.02)

    async def _all_in_sync(self) -> None:
        await self._until(self._is_in_sync, "all replicas in sync")

    async def _standby_is_ready(self) -> None:
        def is_ready() -> bool:
            found = [lag for server in self._cluster.servers for lag in standby_lags(metrics_of(server))]
            return bool(found) and max(found) <= STANDBY_LAG_ROWS

        async def is_ready_somewhere() -> bool:
            return await asyncio.to_thread(is_ready)

        await self._until(is_ready_somewhere, "standby replica that is ready", STANDBY_LIMIT_S, 0.25)

    async def _is_in_sync(self) -> bool:
        for actor in self._actors[:2]:
            path = leader_and_isr_path(actor.target.table_id, 0)
            node = await self._store.get(path)
            if node is None or len(LeaderAndIsrRecord.decode(path, node.value).isr) < REPLICAS:
                return False
        return True

    async def _everything_goes_on(self) -> None:
        begin = self._now()

        async def goes_on() -> bool:
            times = self._history.acknowledged
            return all(times[each, 0] and times[each, 0][-1] > begin + 0.2 for each in ("append", "upsert", "lookup"))

        await self._until(goes_on, "writes and lookups")

    async def _until(
        self,
        condition: Callable[[], Awaitable[bool]],
        what: str,
        limit_s: float = RECOVERY_LIMIT_S,
        interval_s: float = 0.02,
    ) -> None:
        deadline = time.monotonic() + limit_s
        while not await condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {what} in {limit_s:g} s")
            await asyncio.sleep(interval_s)


def metrics_of(server: ClusterServer) -> str:
    """What a server reports; nothing while it does not."""
    try:
        with urllib.request.urlopen(server.metrics_url, timeout=5.0) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def standby_lags(metrics: str) -> list[float]:
    """How many rows the standby replicas of a server lack at most, from its metrics; empty without such replicas."""
    counts = map(float, _STANDBYS.findall(metrics))
    return [float(lag) for lag in _LAG.findall(metrics)] if any(counts) else []


async def measure(
    cluster: ProcessCluster, zookeeper: ZooKeeperServer, rows: int, rounds: int, what: set[str]
) -> Failover:
    """Run all rounds."""
    store = await ZooKeeperMetadataStore.connect(zookeeper.settings("/fluss"), system_runtime())
    try:
        failover = Failover(cluster, store, rows)
        await failover.run(rounds, what)
        return failover
    finally:
        await store.close()


def table_of(failover: Failover) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the result."""
    header = [
        "what fails",
        "how",
        "clients' operation",
        "rounds",
        "median s",
        "maximum s",
        "failed operations",
        "target",
    ]
    rows = []
    for (hit, how, operation), waits in failover.waits.items():
        goal = TARGETS.get((LOG if hit == KEYED else hit, how))
        median, maximum = statistics.median(waits), max(waits)
        if goal is None:
            verdict = ""
        else:
            met = median <= goal[0] and maximum <= goal[1]
            verdict = f"{goal[0]:g}, {goal[1]:g}: {'met' if met else 'missed'}"
        failed = str(failover.failed[hit, how])
        rows.append([hit, how.name, operation, str(len(waits)), f"{median:.2f}", f"{maximum:.2f}", failed, verdict])
    return header, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the primary-key table")
    parser.add_argument("--only", action="append", default=[], choices=[LOG, KEYED, COORDINATOR])
    parser.add_argument(
        "--output", type=Path, help=f"where the table goes; 20 rounds of everything write {RESULTS.name}"
    )
    parser.add_argument("--publish", type=Path, metavar="DOCUMENT", help="put the table into docs/fault-report.md")
    parsed = parser.parse_args()
    load = os.getloadavg()[0]
    with ZooKeeperServer() as zookeeper, tempfile.TemporaryDirectory(prefix="fluss-failover-") as directory:
        options = {"log.replica.min-in-sync-replicas-number": "2", **METRICS}
        with ProcessCluster(
            Path(directory), tablet_servers=REPLICAS, coordinators=2, zookeeper=zookeeper.address, options=options
        ) as cluster:
            failover = asyncio.run(measure(cluster, zookeeper, parsed.rows, parsed.rounds, set(parsed.only)))
    header, rows = table_of(failover)
    print_table("Fail-over", header, rows)
    title = (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, {parsed.rounds} rounds,"
        f" {parsed.rows:,} rows under keys; load before the run {load:.1f}. Longest time between two acknowledgements."
    )
    lines = [title, "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    output = parsed.output or (RESULTS if parsed.rounds >= 20 and not parsed.only else None)
    text = "\n".join(lines) + "\n"
    if output is not None:
        output.write_text(text)
    if parsed.publish is not None:
        put_into(parsed.publish, "failover", text)
    sys.exit(0)


if __name__ == "__main__":
    main()
