"""``fluss local`` with two tablet servers beside one: rows per second into a table of two buckets, run by run.

The client sends requests that were built before, so that it leaves the cores to the servers. Both buckets are written
at the same time. CPU is that of all processes of ``fluss local``, and of the client; *busy* is what both took of all
cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.system_network import SystemNetwork
from fluss_server.testing import LocalCluster
from simulation.cluster_clients import KEY_ENCODER, create_table
from simulation.conversation import KEYED_SCHEMA, LOG_SCHEMA, ROWS, log_batch, path_of
from support import cpu_seconds, median, print_table

HOST = "127.0.0.1"
BUCKETS = 2
SERVERS = (1, 2)
ROWS_OF_BATCH = 5_000
VALUE = "v" * 100
IN_FLIGHT = 3
"""Requests of a bucket that are sent before the first of them is acknowledged."""

HEADER = ["work", "tablet servers", "rows/s", "server CPU s per million", "client CPU s per million", "busy"]


@dataclass(frozen=True)
class Run:
    """What one run found.

    Attributes:
        rate: rows per second.
        server_cpu: seconds per million rows.
        client_cpu: seconds per million rows.
        busy: share of all cores that servers and client took.
    """

    rate: float
    server_cpu: float
    client_cpu: float
    busy: float


def median_of(runs: Sequence[Run]) -> Run:
    """Medians of every figure."""
    return Run(*(median(values) for values in zip(*(vars(run).values() for run in runs), strict=True)))


def verdict(work: str, one: Run, two: Run, cores: int) -> str:
    """How many times as fast two servers are, and what the cores allow.

    Args:
        work: its name.
        one: figures of one tablet server.
        two: figures of two.
        cores: of the machine.
    """
    most = cores / (two.server_cpu + two.client_cpu) * 1e6
    return (
        f"{work}: two tablet servers take {two.rate / one.rate:.2f} times the rows of one. Servers and client need"
        f" {two.server_cpu + two.client_cpu:.2f} CPU s per million rows, so {cores} cores allow {most:,.0f} rows/s at"
        f" most, {most / one.rate:.2f} times those of one."
    )


class Side:
    """A running ``fluss local`` with connections to the leaders of a table."""

    def __init__(self, tablet_servers: int) -> None:
        self.cluster = LocalCluster(tablet_servers=tablet_servers)
        self._tables = 0

    def cpu(self) -> float:
        return sum(map(cpu_seconds, [self.cluster.pid, *self.cluster.tablet_server_pids.values()]))

    async def run(self, batches: Sequence[Sequence[bytes]], *, keyed: bool) -> Run:
        """Write batches of every bucket to a new table."""
        self._tables += 1
        name = f"t{self._tables}"
        endpoint = Endpoint("CLIENT", HOST, self.cluster.port)
        schema = KEYED_SCHEMA if keyed else LOG_SCHEMA
        table_id = await create_table(SystemNetwork(), endpoint, name, schema, buckets=BUCKETS, replicas=1)
        leaders = await self._leaders(name)
        connections = [await RpcClient.connect(*leaders[bucket]) for bucket in range(BUCKETS)]
        try:
            os.sync()
            cpu, own, begin = self.cpu(), time.process_time(), time.perf_counter()
            await asyncio.gather(
                *(
                    self._write(client, table_id, bucket, batches[bucket], keyed=keyed)
                    for bucket, client in enumerate(connections)
                )
            )
            seconds = time.perf_counter() - begin
            server, client_cpu = self.cpu() - cpu, time.process_time() - own
        finally:
            for client in connections:
                await client.close()
        rows = sum(map(len, batches)) * ROWS_OF_BATCH
        busy = (server + client_cpu) / seconds / (os.cpu_count() or 1)
        return Run(rows / seconds, server / rows * 1e6, client_cpu / rows * 1e6, busy)

    async def _leaders(self, table: str) -> dict[int, tuple[str, int]]:
        while True:
            async with await RpcClient.connect(HOST, self.cluster.port) as client:
                try:
                    request = pb.MetadataRequest(table_path=[path_of(table)])
                    found = await client.call(ApiKey.GET_METADATA, request)
                except FlussError:
                    await asyncio.sleep(0.05)
                    continue
            addresses = {node.node_id: (node.host, node.port) for node in found.tablet_servers}
            leaders = {
                bucket.bucket_id: addresses[bucket.leader_id]
                for bucket in found.table_metadata[0].bucket_metadata
                if bucket.HasField("leader_id") and bucket.leader_id in addresses
            }
            if len(leaders) == BUCKETS:
                return leaders
            await asyncio.sleep(0.05)

    async def _write(
        self, client: RpcClient, table_id: int, bucket: int, batches: Sequence[bytes], *, keyed: bool
    ) -> None:
        waiting = iter(batches)

        async def send() -> None:
            for batch in waiting:
                request: Any
                if keyed:
                    request = pb.PutKvRequest(acks=-1, table_id=table_id, timeout_ms=30_000)
                else:
                    request = pb.ProduceLogRequest(acks=-1, table_id=table_id, timeout_ms=30_000)
                request.buckets_req.add(bucket_id=bucket, records=batch)
                response = await client.call(ApiKey.PUT_KV if keyed else ApiKey.PRODUCE_LOG, request, timeout_s=60.0)
                if response.buckets_resp[0].error_code:
                    raise RuntimeError(response.buckets_resp[0].error_message)

        await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))


def kv_batches(rows: int) -> list[list[bytes]]:
    """Upserts of different keys in no order, by bucket."""
    random = Random(1)
    found: list[list[bytes]] = []
    for bucket in range(BUCKETS):
        keys = [bucket + BUCKETS * number for number in range(rows // BUCKETS)]
        random.shuffle(keys)
        found.append(
            [
                build_kv_batch(
                    1,
                    [
                        (KEY_ENCODER.encode((key,)), ROWS.encode((key, VALUE)))
                        for key in keys[first : first + ROWS_OF_BATCH]
                    ],
                )
                for first in range(0, len(keys), ROWS_OF_BATCH)
            ]
        )
    return found


def log_batches(rows: int) -> list[list[bytes]]:
    """Appends, by bucket; the same batch again and again, for its content costs a server nothing."""
    batch = log_batch(list(range(ROWS_OF_BATCH)), -1, -1)
    return [[batch] * (rows // BUCKETS // ROWS_OF_BATCH)] * BUCKETS


async def measure(runs: int, append_rows: int, upsert_rows: int) -> list[tuple[str, int, Run]]:
    """Medians by work and number of tablet servers."""
    sides = {count: Side(count) for count in SERVERS}
    works: dict[str, Callable[[], tuple[list[list[bytes]], bool]]] = {
        "upsert new keys": lambda: (kv_batches(upsert_rows), True),
        "append": lambda: (log_batches(append_rows), False),
    }
    found: defaultdict[tuple[str, int], list[Run]] = defaultdict(list)
    try:
        for side in sides.values():
            side.cluster.start()
        for work, make in works.items():
            batches, keyed = make()
            for number in range(runs + 1):
                for count, side in sides.items():
                    run = await side.run(batches, keyed=keyed)
                    if number:  # the first one warms up
                        found[work, count].append(run)
                        print(f"{work:16} {count} tablet servers {run.rate:12,.0f} rows/s", flush=True)
    finally:
        for side in sides.values():
            side.cluster.stop()
    return [(work, count, median_of(each)) for (work, count), each in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--append-rows", type=int, default=4_000_000)
    parser.add_argument("--upsert-rows", type=int, default=600_000)
    parsed = parser.parse_args()
    found = asyncio.run(measure(parsed.runs, parsed.append_rows, parsed.upsert_rows))
    rows = [
        [
            work,
            str(count),
            f"{run.rate:,.0f}",
            f"{run.server_cpu:.2f}",
            f"{run.client_cpu:.2f}",
            f"{run.busy:.0%}",
        ]
        for work, count, run in found
    ]
    print_table(f"fluss local with 1 and 2 tablet servers, medians of {parsed.runs}", HEADER, rows)
    figures = {(work, count): run for work, count, run in found}
    for work in dict.fromkeys(work for work, _ in figures):
        print("\n" + verdict(work, figures[work, 1], figures[work, 2], os.cpu_count() or 1))


if __name__ == "__main__":
    main()
