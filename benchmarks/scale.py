"""Costs must grow linearly: rows per second and server CPU as tables, rows and connections become many.

* rows: appends, scans and upserts of the same number of rows, into tables that hold 1, 5 and 25 million;
* tables: creating them, and appending the same number of rows spread over 1 and 1,000 of them;
* connections: the same number of small writes through 1 and 500 connections, and beside 500 that do nothing.

Each line names the figure that has to stay about the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import fluss

from fluss_server.testing import LocalCluster
from support import batch_of, cpu_seconds, print_table, resident_mb
from workloads import append, connect, create, rows_of, scan, upsert

MILLION = 1_000_000


@dataclass
class Scale:
    """Runs works on one server and keeps their figures."""

    cluster: LocalCluster
    rows: list[list[str]]

    async def measure(self, name: str, size: str, work: Callable[[], Awaitable[int]]) -> None:
        cpu, begin = cpu_seconds(self.cluster.pid), time.perf_counter()
        count = await work()
        seconds = time.perf_counter() - begin
        used = cpu_seconds(self.cluster.pid) - cpu
        row = [
            name,
            size,
            f"{count / seconds:,.0f}",
            f"{used / count * 1e6:.2f}",
            f"{resident_mb(self.cluster.pid):.0f}",
        ]
        self.rows.append(row)
        print(f"{name:44} {size:>14} {row[2]:>12}/s {row[3]:>8} CPU s/M {row[4]:>6} MB", flush=True)


async def many_rows(scale: Scale, connected: fluss.FlussConnection, sizes: list[float]) -> None:
    """The last million rows of tables of different sizes."""
    batches = [batch_of(start * 10_000, 10_000) for start in range(10)]
    table = await create(connected, "rows")
    keyed = await create(connected, "keyed", keyed=True)
    in_log = in_store = 0
    step = int(min(sizes) * MILLION)
    for size in sizes:
        label = f"{size:g} M rows"
        fill = int(size * MILLION) - in_log - step
        in_log += await append(table, batches, max(0, fill) // 100_000) + step
        await scale.measure("append to a table of", label, partial(append, table, batches, step // 100_000))
        await scale.measure("scan all of a table of", label, partial(scan, table, None))
        await scale.measure("scan 2 of 10 columns of a table of", label, partial(scan, table, ["id", "price"]))
        while in_store < int(size * MILLION) - step:
            in_store += await upsert(keyed, rows_of(in_store, step))
        rows = rows_of(in_store, step)
        in_store += step
        await scale.measure("upsert new keys into a table of", label, partial(upsert, keyed, rows))
        # Every seventh key or so, all over the table.
        spread = rows_of(0, step)
        stride = in_store // step
        old = [(row[0] * stride, *row[1:]) for row in spread]  # type: ignore[operator]  # ids are numbers
        await scale.measure("upsert keys all over a table of", label, partial(upsert, keyed, old))


async def many_tables(scale: Scale, connected: fluss.FlussConnection, counts: list[int]) -> None:
    """The same rows, spread over more and more tables."""
    batch = batch_of(0, 1_000)
    tables: list[fluss.FlussTable] = []

    async def make(count: int) -> int:
        before = len(tables)
        while len(tables) < count:
            tables.append(await create(connected, f"many{len(tables)}"))
        return len(tables) - before

    async def spread(count: int) -> int:
        writers = [table.new_append().create_writer() for table in tables[:count]]
        for _ in range(1_000 // count):
            for writer in writers:
                writer.write_arrow_batch(batch)
        for writer in writers:
            await writer.flush()
        return 1_000 * count * (1_000 // count)

    for count in counts:
        await scale.measure("create tables, up to", f"{count} tables", partial(make, count))
        await spread(count)
        await scale.measure("append 1 M rows, spread over", f"{count} tables", partial(spread, count))


async def many_connections(scale: Scale, counts: list[int], writes: int) -> None:
    """The same small writes through more and more connections; then through one, while the others do nothing."""
    bootstrap = scale.cluster.bootstrap_servers
    row = batch_of(0, 1).to_pylist()[0]
    connections: list[fluss.FlussConnection] = []
    writers = []

    async def write(own: list[fluss.AppendWriter], each: int) -> int:
        async def run(writer: fluss.AppendWriter) -> None:
            for _ in range(each):
                writer.append(row)
                await writer.flush()

        await asyncio.gather(*map(run, own))
        return each * len(own)

    for count in counts:
        while len(connections) < count:
            connections.append(await connect(bootstrap, {"writer.batch-timeout-ms": "1"}))
            name = f"connections{len(connections)}"
            writers.append((await create(connections[-1], name)).new_append().create_writer())
        await write(writers, 1)
        await scale.measure(
            "write and wait, each through its own of", f"{count} connections", partial(write, writers, writes // count)
        )
        await scale.measure(
            "write and wait through one beside", f"{count} connections", partial(write, writers[:1], writes // 10)
        )
    for connected in connections:
        await connected.close()


async def run(arguments: argparse.Namespace) -> list[list[str]]:
    rows: list[list[str]] = []
    quick = arguments.quick
    works = {"rows", "tables", "connections"}
    for name in sorted(works.intersection(arguments.only or works), reverse=True):
        with LocalCluster() as cluster:
            scale = Scale(cluster, rows)
            connected = await connect(cluster.bootstrap_servers)
            if name == "rows":
                await many_rows(scale, connected, [0.2, 1.0, 3.0] if quick else [1, 5, 25])
            elif name == "tables":
                await many_tables(scale, connected, [1, 100] if quick else [1, 1_000])
            else:
                await many_connections(scale, [1, 50] if quick else [1, 500], 1_000 if quick else 5_000)
            await connected.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything: about a minute")
    parser.add_argument("--only", action="append", choices=["rows", "tables", "connections"])
    rows = asyncio.run(run(parser.parse_args()))
    header = ["work", "size", "per second", "server CPU s per million", "server memory MB"]
    print_table("Growth", header, rows)
    sys.stdout.flush()
    os._exit(0)  # pyfluss may abort at the end of the interpreter


if __name__ == "__main__":
    main()
