"""Many buckets on a cluster: how long tables take to create, coordinators to take over, buckets to get new leaders.

ZooKeeper, two coordinators and three tablet servers. After each number of tables: how long a table took, the memory of
the processes, the CPU time while nothing happens, the start of the only coordinator, its replacement by the standby
after SIGKILL, and the kill of a tablet server that leads a third of the buckets. A coordinator counts as started when a
table can be created, a bucket as led when surviving tablet servers tell clients of a leader that runs.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster_support import ClusterServer, ProcessCluster
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableDescriptor
from fluss_server.rpc.client import RpcClient
from simulation.conversation import LOG_SCHEMA, path_of
from support import cpu_seconds, median, percentile, print_table, resident_mb
from zookeeper_support import ZooKeeperServer

HOST = "127.0.0.1"
CREATORS = 4
"""Tables that are created at the same time."""

CALL_TIMEOUT_S = 120.0
LIMIT_S = 600.0
TABLES_OF_REQUEST = 50
IDLE_S = 10.0
HEADER = ["step", "buckets", "figure", ""]


@dataclass
class Scale:
    """Measures one cluster.

    Args:
        cluster: that runs.
        buckets: of each table.
        replicas: of each bucket.
    """

    cluster: ProcessCluster
    buckets: int
    replicas: int
    tables: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def note(self, step: str, figure: str, remark: str = "") -> None:
        """Keep and print a figure."""
        self.rows.append([step, f"{len(self.tables) * self.buckets:,}", figure, remark])
        print(" | ".join(self.rows[-1]), flush=True)

    # ------------------------------------------------------------------ steps

    async def grow(self, tables: int) -> None:
        """Create tables until there are so many, and wait until all their buckets have leaders."""
        names = iter([f"t{number}" for number in range(len(self.tables), tables)])
        cpu, begin = self._cpu(), time.monotonic()
        found = await asyncio.gather(*(self._create(names) for _ in range(CREATORS)))
        seconds = [each for times in found for each in times]
        new = [f"t{number}" for number in range(len(self.tables), tables)]
        self.tables += new
        created = time.monotonic() - begin
        await self.until_led(new, {server for server, _ in enumerate(self.cluster.servers)})
        took = time.monotonic() - begin
        used = self._used(cpu)
        count = len(new) * self.buckets
        self.note("create tables", f"{created:.1f} s", f"{len(new)} tables, {len(new) / created:.1f} tables/s")
        self.note("create tables, until all have leaders", f"{took:.1f} s", f"{count / took:,.0f} buckets/s")
        self.note("create one table, p50 and maximum", f"{percentile(seconds, 0.5):.3f}, {max(seconds):.3f} s")
        shares = ", ".join(f"{name} {cpu_s / count * 1e3:.2f}" for name, cpu_s in used.items())
        self.note("CPU of a new bucket", f"{sum(used.values()) / count * 1e3:.2f} ms", shares)

    def memory(self, empty: dict[str, float]) -> None:
        """Note how much memory a bucket costs.

        Args:
            empty: MB of the processes before there were tables.
        """
        count = len(self.tables) * self.buckets
        replicas = count * self.replicas / len(self.cluster.servers)
        now = self.megabytes()
        coordinators = [now[name] - empty[name] for name in now if name.startswith("coordinator")]
        servers = [now[name] - empty[name] for name in now if name.startswith("server")]
        self.note("memory of a bucket, active coordinator", f"{max(coordinators) / count * 1024:.1f} KB")
        per_replica = median(servers) / replicas * 1024
        self.note("memory of a replica, tablet server", f"{per_replica:.1f} KB", f"{replicas:,.0f} replicas in each")
        self.note(
            "memory of all processes", f"{sum(now.values()):,.0f} MB", f"{sum(empty.values()):,.0f} MB when empty"
        )

    async def idle(self) -> None:
        """Note the CPU time of the processes while nobody calls them."""
        await self._until_in_sync()
        cpu = self._cpu()
        await asyncio.sleep(IDLE_S)
        used = self._used(cpu)
        shares = ", ".join(f"{name} {seconds / IDLE_S:.1%}" for name, seconds in used.items())
        self.note("CPU of the idle cluster", f"{sum(used.values()) / IDLE_S:.1%} of a core", shares)

    async def coordinator_start(self) -> None:
        """Stop both coordinators, and start one."""
        for coordinator in self.cluster.coordinators:
            await asyncio.to_thread(coordinator.stop)
        cpu, begin = self._cpu(), time.monotonic()
        await asyncio.to_thread(self.cluster.coordinators[0].start)
        await self._until_active(self.cluster.coordinators[0])
        self._note_time("start of the coordinator", begin, cpu, "until a table is created")
        await asyncio.to_thread(self.cluster.coordinators[1].start)
        await asyncio.sleep(2.0)

    async def coordinator_fail_over(self) -> None:
        """Kill the active coordinator."""
        active = await self._active()
        [standby] = [each for each in self.cluster.coordinators if each is not active]
        cpu, begin = self._cpu(), time.monotonic()
        await asyncio.to_thread(active.kill)
        await self._until_active(standby)
        self._note_time("fail-over of the coordinator", begin, cpu, "SIGKILL, until a table is created")
        await asyncio.to_thread(active.start)

    async def server_fail_over(self) -> None:
        """Kill the tablet server that leads the first bucket; wait for leaders, and for it to come back."""
        victim = (await self._leaders(self.tables[:1]))[self.tables[0], 0]
        led = sum(leader == victim for leader in (await self._leaders(self.tables)).values())
        cpu, begin = self._cpu(), time.monotonic()
        await asyncio.to_thread(self.cluster.servers[victim].kill)
        others = {server for server, _ in enumerate(self.cluster.servers)} - {victim}
        await self.until_led(self.tables, others)
        self._note_time("fail-over of a tablet server", begin, cpu, f"SIGKILL; it led {led:,} buckets")
        cpu, begin = self._cpu(), time.monotonic()
        await asyncio.to_thread(self.cluster.servers[victim].start)
        self._note_time("start of that tablet server", begin, cpu, "until it is ready")
        await self._until_in_sync()
        self._note_time("until all replicas are in sync", begin, cpu, "since that start")

    def _note_time(self, step: str, begin: float, cpu: dict[tuple[str, int], float], remark: str) -> None:
        """Note how long a step took, and the CPU time of the processes meanwhile."""
        took = time.monotonic() - begin
        shares = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._used(cpu).items())
        self.note(step, f"{took:.2f} s", f"{remark}; CPU s: {shares}")

    # ------------------------------------------------------------------ parts

    async def _create(self, names: Iterator[str]) -> list[float]:
        seconds = []
        async with await RpcClient.connect(HOST, self.cluster.coordinators[0].port) as client:
            for name in names:
                begin = time.monotonic()
                await client.call(ApiKey.CREATE_TABLE, self._request(name), timeout_s=CALL_TIMEOUT_S)
                seconds.append(time.monotonic() - begin)
        return seconds

    def _request(self, name: str) -> pb.CreateTableRequest:
        document = TableDescriptor(
            LOG_SCHEMA, bucket_count=self.buckets, properties={"table.replication.factor": str(self.replicas)}
        ).to_json_bytes()
        return pb.CreateTableRequest(table_path=path_of(name), table_json=document, ignore_if_exists=True)

    async def _until_active(self, coordinator: ClusterServer) -> None:
        """Until it creates a table: one with a single bucket, which is dropped."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                async with await RpcClient.connect(HOST, coordinator.port, timeout_s=1.0) as client:
                    one = Scale(self.cluster, 1, self.replicas)
                    await client.call(ApiKey.CREATE_TABLE, one._request("probe"), timeout_s=CALL_TIMEOUT_S)
                    drop = pb.DropTableRequest(table_path=path_of("probe"), ignore_if_not_exists=True)
                    await client.call(ApiKey.DROP_TABLE, drop, timeout_s=CALL_TIMEOUT_S)
                    return
            except FlussError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)

    async def until_led(self, tables: Sequence[str], servers: set[int]) -> None:
        """Wait until all buckets of tables have leaders among some servers, whose clients are told so."""
        waiting, deadline = list(tables), time.monotonic() + LIMIT_S
        while waiting:
            leaders = await self._leaders(waiting, sorted(servers))
            without = {
                table
                for table in waiting
                for bucket in range(self.buckets)
                if leaders.get((table, bucket)) not in servers
            }
            waiting = [table for table in waiting if table in without]
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(waiting)} tables have buckets without a leader")
            if waiting:
                await asyncio.sleep(0.05)

    async def _leaders(self, tables: Sequence[str], servers: Sequence[int] = (0, 1, 2)) -> dict[tuple[str, int], int]:
        """Leaders by table and bucket, as the first of some servers knows them."""
        found: dict[tuple[str, int], int] = {}
        async with await RpcClient.connect(HOST, self.cluster.servers[servers[0]].port) as client:
            for first in range(0, len(tables), TABLES_OF_REQUEST):
                paths = [path_of(table) for table in tables[first : first + TABLES_OF_REQUEST]]
                try:
                    request = pb.MetadataRequest(table_path=paths)
                    response = await client.call(ApiKey.GET_METADATA, request, timeout_s=CALL_TIMEOUT_S)
                except FlussError as error:
                    if error.code is not ErrorCode.TABLE_NOT_EXIST:  # a server that has not heard of it yet
                        raise
                    continue
                for table in response.table_metadata:
                    for bucket in table.bucket_metadata:
                        if bucket.HasField("leader_id"):
                            found[table.table_path.table_name, bucket.bucket_id] = bucket.leader_id
        return found

    async def _until_in_sync(self) -> None:
        wanted = len(self.tables) * self.buckets * self.replicas
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                async with await RpcClient.connect(HOST, (await self._active()).port) as client:
                    health = await client.call(ApiKey.GET_CLUSTER_HEALTH, pb.GetClusterHealthRequest(), timeout_s=10.0)
                if health.in_sync_replicas >= wanted:
                    return
            except FlussError:  # it has just been replaced
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all of {wanted:,} replicas are in sync")
            await asyncio.sleep(0.2)

    async def _active(self) -> ClusterServer:
        """The active coordinator, as tablet servers know it."""
        while True:
            for server in self.cluster.servers:
                if not server.process.is_running:
                    continue
                async with await RpcClient.connect(HOST, server.port) as client:
                    found = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(), timeout_s=CALL_TIMEOUT_S)
                for coordinator in self.cluster.coordinators:
                    if coordinator.port == found.coordinator_server.port and coordinator.process.is_running:
                        return coordinator
            await asyncio.sleep(0.05)

    def _processes(self) -> dict[str, ClusterServer]:
        named = {f"coordinator {number}": each for number, each in enumerate(self.cluster.coordinators)}
        return named | {f"server {number}": each for number, each in enumerate(self.cluster.servers)}

    def _cpu(self) -> dict[tuple[str, int], float]:
        """CPU seconds of the processes that run, by name and process id."""
        return {
            (name, each.process.pid): cpu_seconds(each.process.pid)
            for name, each in self._processes().items()
            if each.process.is_running
        }

    def _used(self, before: dict[tuple[str, int], float]) -> dict[str, float]:
        """CPU seconds by process since then; a process that was started since counts from its start."""
        return {process[0]: cpu - before.get(process, 0.0) for process, cpu in self._cpu().items()}

    def megabytes(self) -> dict[str, float]:
        """Resident memory of every process of ours."""
        return {name: resident_mb(each.process.pid) for name, each in self._processes().items()}


async def run(scale: Scale, counts: Sequence[int], *, fails_over: bool = True) -> None:
    """All steps, after each number of tables; without those that stop processes unless ``fails_over``."""
    empty = scale.megabytes()
    for count in counts:
        await scale.grow(count)
        scale.memory(empty)
        await scale.idle()
        if fails_over:
            await scale.coordinator_fail_over()
            await scale.server_fail_over()
            await scale.coordinator_start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, action="append", default=[], help="numbers of tables; 625 and 1,000")
    parser.add_argument("--buckets", type=int, default=16, help="of each table")
    parser.add_argument("--replicas", type=int, default=3, help="of each bucket")
    parser.add_argument("--growth-only", action="store_true", help="stop no processes")
    parsed = parser.parse_args()
    with ZooKeeperServer() as zookeeper, tempfile.TemporaryDirectory(prefix="fluss-scale-") as directory:
        options = {"zookeeper.client.session-timeout": "10s"}
        with ProcessCluster(
            Path(directory), tablet_servers=3, coordinators=2, zookeeper=zookeeper.address, options=options
        ) as cluster:
            scale = Scale(cluster, parsed.buckets, parsed.replicas)
            asyncio.run(run(scale, parsed.tables or [625, 1_000], fails_over=not parsed.growth_only))
    print_table("Growth of a cluster", HEADER, scale.rows)


if __name__ == "__main__":
    main()
