"""The server through the real ``pyfluss``: append, scan, upsert, delete, time from append to visible.

Every figure is the median of ``--runs`` runs; CPU is the server's, per million rows.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import time
from collections.abc import Awaitable, Callable

import fluss

from fluss_server.testing import LocalCluster
from support import batch_of, cpu_seconds, median, percentile, print_table, resident_mb
from workloads import Row, append, connect, create, rows_of, scan, upsert, visible_ms

Work = Callable[[], Awaitable[int]]


class Bench:
    """Runs works against one server and keeps their figures."""

    def __init__(self, cluster: LocalCluster, connected: fluss.FlussConnection, runs: int) -> None:
        self.cluster, self.connected, self.runs = cluster, connected, runs
        self.rows: list[list[str]] = []
        self._names = 0

    async def table(self, *, keyed: bool = False, buckets: int = 1, compression: str = "ZSTD") -> fluss.FlussTable:
        self._names += 1
        return await create(
            self.connected, f"bench_{self._names}", keyed=keyed, buckets=buckets, compression=compression
        )

    async def measure(self, name: str, work: Work) -> None:
        rates, cpus = [], []
        for _ in range(self.runs):
            cpu, begin = cpu_seconds(self.cluster.pid), time.perf_counter()
            count = await work()
            elapsed = time.perf_counter() - begin
            rates.append(count / elapsed)
            cpus.append((cpu_seconds(self.cluster.pid) - cpu) / count * 1e6)
        self.rows.append([name, f"{median(rates):,.0f} rows/s", f"{median(cpus):.2f}"])
        print(f"{name:48} {median(rates):>12,.0f} rows/s   {median(cpus):6.2f} CPU s/M", flush=True)


async def upsert_next(table: fluss.FlussTable, chunks: list[list[Row]]) -> int:
    """Rows that were never written before."""
    return await upsert(table, chunks.pop())


async def run(cluster: LocalCluster, runs: int, scale: float) -> None:
    connected = await connect(cluster.bootstrap_servers)
    bench = Bench(cluster, connected, runs)
    batches = [batch_of(start * 10_000, 10_000) for start in range(10)]
    repeat = max(1, int(10 * scale))
    for buckets in (1, 4):
        for compression in ("NONE", "ZSTD"):
            table = await bench.table(buckets=buckets, compression=compression)
            label = f"{buckets} bucket(s), {compression}"
            await bench.measure(f"append Arrow batches, {label}", functools.partial(append, table, batches, repeat))
            if buckets == 1:
                await bench.measure(f"scan all, {label}", functools.partial(scan, table, None))
                await bench.measure(f"scan 2 of 10 columns, {label}", functools.partial(scan, table, ["id", "price"]))
    count = int(100_000 * scale)
    for buckets in (1, 4):
        table = await bench.table(keyed=True, buckets=buckets)
        start = iter(range(0, 10**9, count))
        chunks = [rows_of(next(start), count) for _ in range(runs)]
        await bench.measure(f"upsert new keys, {buckets} bucket(s)", functools.partial(upsert_next, table, chunks))
    table = await bench.table(keyed=True)
    hot = rows_of(0, count, modulo=100_000)
    await upsert(table, hot)
    await bench.measure("upsert 100 k hot keys", functools.partial(upsert, table, hot))
    await connected.close()

    connected = await connect(cluster.bootstrap_servers, {"writer.batch-timeout-ms": "1"})
    bench.connected = connected
    times = await visible_ms(await bench.table(), int(500 * scale))
    await connected.close()
    print_table(
        f"Server through pyfluss, medians of {runs}", ["work", "rate", "server CPU s per million rows"], bench.rows
    )
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    print(f"\nappend to visible: p50 {p50:.2f} ms, p99 {p99:.2f} ms ({len(times)} rows)")
    print(f"memory after all of it: {resident_mb(cluster.pid):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of rows")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="server option")
    arguments = parser.parse_args()
    options = dict(option.split("=", 1) for option in arguments.set)
    with LocalCluster(options=options) as cluster:
        asyncio.run(run(cluster, arguments.runs, arguments.scale))


if __name__ == "__main__":
    main()
