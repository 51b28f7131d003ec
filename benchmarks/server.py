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
import pyarrow as pa

from fluss_server.testing import LocalCluster
from support import SCHEMA, batch_of, cpu_seconds, median, percentile, print_table, resident_mb

Work = Callable[[], Awaitable[int]]


class Bench:
    """Runs works against one server and keeps their figures."""

    def __init__(self, cluster: LocalCluster, connected: fluss.FlussConnection, runs: int) -> None:
        self.cluster, self.connected, self.runs = cluster, connected, runs
        self.rows: list[list[str]] = []
        self._names = 0

    async def table(self, *, keyed: bool = False, buckets: int = 1, compression: str = "ZSTD") -> fluss.FlussTable:
        self._names += 1
        path = fluss.TablePath("fluss", f"bench_{self._names}")
        descriptor = fluss.TableDescriptor(
            fluss.Schema(SCHEMA, primary_keys=["id"] if keyed else None),
            bucket_count=buckets,
            properties={"table.log.arrow.compression.type": compression},
        )
        await self.connected.get_admin().create_table(path, descriptor, False)
        return await self.connected.get_table(path)

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


async def append(table: fluss.FlussTable, batches: list[pa.RecordBatch], repeat: int) -> int:
    writer = table.new_append().create_writer()
    for _ in range(repeat):
        for batch in batches:
            writer.write_arrow_batch(batch)
    await writer.flush()
    return repeat * sum(int(batch.num_rows) for batch in batches)


async def scan(table: fluss.FlussTable, columns: list[str] | None) -> int:
    builder = table.new_scan()
    if columns:
        builder = builder.project_by_name(columns)
    scanner = await builder.create_record_batch_log_scanner()
    buckets = table.get_table_info().num_buckets
    scanner.subscribe_buckets(dict.fromkeys(range(buckets), fluss.EARLIEST_OFFSET))
    return int((await scanner.to_arrow()).num_rows)


async def upsert(table: fluss.FlussTable, rows: list[dict[str, object]]) -> int:
    writer = table.new_upsert().create_writer()
    for row in rows:
        writer.upsert(row)
    await writer.flush()
    return len(rows)


async def upsert_next(table: fluss.FlussTable, chunks: list[list[dict[str, object]]]) -> int:
    """Rows that were never written before."""
    return await upsert(table, chunks.pop())


async def visible_ms(table: fluss.FlussTable, samples: int) -> list[float]:
    """Milliseconds from the append of a row until a reader that waits for it has it."""
    scanner = await table.new_scan().create_log_scanner()
    scanner.subscribe(0, fluss.EARLIEST_OFFSET)
    writer = table.new_append().create_writer()
    row = batch_of(0, 1).to_pylist()[0]
    times = []
    for _ in range(samples):
        poll = asyncio.ensure_future(scanner.poll(5000))
        await asyncio.sleep(0.002)  # let the fetch be parked
        begin = time.perf_counter()
        writer.append(row)
        flush = asyncio.ensure_future(writer.flush())
        assert (await poll).count() == 1
        times.append((time.perf_counter() - begin) * 1000)
        await flush
    return times


async def run(cluster: LocalCluster, runs: int, scale: float) -> None:
    options = {"bootstrap.servers": cluster.bootstrap_servers, "writer.buffer.memory-size": str(1 << 30)}
    connected = await fluss.FlussConnection.create(fluss.Config(options))
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
        chunks = [batch_of(next(start), count).to_pylist() for _ in range(runs)]
        await bench.measure(f"upsert new keys, {buckets} bucket(s)", functools.partial(upsert_next, table, chunks))
    table = await bench.table(keyed=True)
    hot = batch_of(0, count, modulo=100_000).to_pylist()
    await upsert(table, hot)
    await bench.measure("upsert 100 k hot keys", functools.partial(upsert, table, hot))
    await connected.close()

    options |= {"writer.batch-timeout-ms": "1"}
    connected = await fluss.FlussConnection.create(fluss.Config(options))
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
