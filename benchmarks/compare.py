"""Our server beside the official one: the same client programs, the servers in turn, run by run.

Three sides are up during the whole run, and work one at a time: the official server 0.9.1-incubating (ZooKeeper,
coordinator, tablet server), which acknowledges from the page cache; ours as it is by default, which acknowledges after
fsync; ours without that wait. Figures are medians; CPU is that of all processes of a
side, per million rows or lookups, from ``/proc``.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Protocol

import fluss

from comparison import Figures, Line, Target, report
from fluss_server.testing import LocalCluster
from java_lookups import JavaLookups
from official import OfficialCluster
from support import batch_of, cpu_seconds, percentile, resident_mb
from workloads import append, connect, create, delete, drop, rows_of, scan, upsert, visible_ms

OFFICIAL, OURS, UNSYNCED = "official", "ours", "ours, no fsync"
RESULTS = Path(__file__).resolve().parent / "results.md"


class Cluster(Protocol):
    """Servers that are compared: they are up between :meth:`start` and :meth:`stop`."""

    @property
    def bootstrap_servers(self) -> str:
        """For clients."""

    @property
    def pids(self) -> list[int]:
        """Of all processes."""

    def start(self) -> object:
        """Returns when clients may connect."""

    def stop(self) -> object:
        """End them."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


NewCluster = Callable[[], Cluster]


class OurCluster(LocalCluster):
    """One of this project."""

    @property
    def pids(self) -> list[int]:
        """Of all processes."""
        return [self.pid, *self.tablet_server_pids.values()]


PROMPT_WRITER = {"writer.batch-timeout-ms": "1"}

WORKS = ("logs", "upserts", "lookups", "visibility")

_SETTLE_S = 0.2  # between measurements, for what a server does after it has acknowledged
_IDLE_S = 3.0
_START_TIMEOUT_S = 60.0

SAME_AT_60 = Target("rate >= 1.0, CPU <= 0.6", rate=1.0, cpu=0.6)
UPSERT = Target("rate >= 1.3, CPU <= 1/1.3", rate=1.3, cpu=1 / 1.3)
CPU_ONLY = Target("CPU <= 1.0", cpu=1.0)
LOOKUP = Target("p50 <= 1.0, CPU <= 1.0", p50=1.0, cpu=1.0)
VISIBLE = Target("p50, p99 <= 1/50", p50=1 / 50, p99=1 / 50)


@dataclass
class Side:
    """A running server and what is known of it."""

    name: str
    cluster: Cluster
    start_s: list[float] = field(default_factory=list)
    idle_mb: float = 0.0
    connected: fluss.FlussConnection | None = None

    @property
    def pids(self) -> list[int]:
        return self.cluster.pids

    def cpu(self) -> float:
        return sum(map(cpu_seconds, self.pids))

    def memory_mb(self) -> float:
        return sum(map(resident_mb, self.pids))

    @property
    def connection(self) -> fluss.FlussConnection:
        assert self.connected is not None
        return self.connected


@dataclass(frozen=True)
class Sizes:
    """How much one run of a work does; a quick comparison does less."""

    runs: int
    append_rows: int
    upsert_rows: int
    hot_keys: int
    hot_rounds: int
    lookup_seconds: float
    visible_rows: int


FULL = Sizes(3, 2_000_000, 300_000, 100_000, 3, 3.0, 40)
QUICK = Sizes(1, 1_000_000, 100_000, 100_000, 1, 1.5, 20)


class Comparison:
    """Measures works on every side in turn and keeps the figures of each line.

    Attributes:
        works: names of the methods that measure.
        visible: target of the time from an append until a reader has the row.
        start: target of the time to the first acknowledged write.
        idle: target of the memory before all works.
        after: target of the memory after them.
    """

    works = WORKS
    visible = VISIBLE
    start = Target("under 1 s", limit=1.0)
    idle = Target("<= 1/4", value=1 / 4)
    after = Target("<= 1/3", value=1 / 3)

    def __init__(self, sides: list[Side], sizes: Sizes) -> None:
        self.sides, self.sizes = sides, sizes
        self.lines: dict[str, Line] = {}
        self._tables = 0

    def line(self, name: str, unit: str, target: Target | None) -> Line:
        return self.lines.setdefault(name, Line(name, unit, target))

    async def table(
        self, side: Side, *, keyed: bool = False, buckets: int = 1, compression: str = "ZSTD"
    ) -> fluss.FlussTable:
        self._tables += 1
        name = f"t{self._tables}"
        return await create(side.connection, name, keyed=keyed, buckets=buckets, compression=compression)

    async def measure(self, side: Side, name: str, target: Target, work: Callable[[], Awaitable[int]]) -> None:
        await asyncio.sleep(_SETTLE_S)
        os.sync()  # what the side before has left in the page cache is not this one's to write
        cpu, begin = side.cpu(), time.perf_counter()
        count = await work()
        elapsed = time.perf_counter() - begin
        figures = Figures(rate=count / elapsed, cpu=(side.cpu() - cpu) / count * 1e6)
        self.line(name, "rows/s", target).add(side.name, figures)
        print(f"{name:44} {side.name:16} {figures.rate:>12,.0f} rows/s {figures.cpu:8.3f} CPU s/M", flush=True)

    async def logs(self) -> None:
        """Appends and scans."""
        batches = [batch_of(start * 10_000, 10_000) for start in range(10)]
        repeat = self.sizes.append_rows // 100_000
        for buckets in (1, 4):
            for compression in ("NONE", "ZSTD"):
                label = f"{buckets} bucket{'s' if buckets > 1 else ''}, {compression}"
                for run in range(self.sizes.runs):
                    tables = {}
                    for side in self.sides:
                        tables[side.name] = table = await self.table(side, buckets=buckets, compression=compression)
                        if run == 0:
                            await append(table, batches, 1)
                        work = functools.partial(append, table, batches, repeat)
                        await self.measure(side, f"append Arrow batches, {label}", SAME_AT_60, work)
                    if buckets == 1:
                        for name, columns in (("scan all", None), ("scan 2 of 10 columns", ["id", "price"])):
                            for side in self.sides:
                                work = functools.partial(scan, tables[side.name], columns)
                                await self.measure(side, f"{name}, {label}", SAME_AT_60, work)
                    for side in self.sides:
                        await drop(side.connection, tables[side.name])

    async def upserts(self) -> None:
        """Upserts of new and of hot keys, partial updates, deletes."""
        count, hot_keys = self.sizes.upsert_rows, self.sizes.hot_keys
        rows = rows_of(0, count)
        hot = rows_of(0, hot_keys * self.sizes.hot_rounds, modulo=hot_keys)
        columns = ["id", "score", "page"]
        partial = rows_of(0, len(hot), modulo=hot_keys, columns=columns)
        for side in self.sides:  # compiled code and files that exist already, for everybody
            await upsert(await self.table(side, keyed=True), hot[:hot_keys])
        for _ in range(self.sizes.runs):
            for side in self.sides:
                table = await self.table(side, keyed=True)
                await self.measure(side, "upsert new keys, 1 bucket", UPSERT, functools.partial(upsert, table, rows))
                await self.measure(side, "delete", CPU_ONLY, functools.partial(delete, table, range(count)))
            for side in self.sides:
                table = await self.table(side, keyed=True, buckets=4)
                await self.measure(side, "upsert new keys, 4 buckets", UPSERT, functools.partial(upsert, table, rows))
            for side in self.sides:
                table = await self.table(side, keyed=True)
                await upsert(table, hot[:hot_keys])
                await self.measure(side, "upsert 100 k hot keys", UPSERT, functools.partial(upsert, table, hot))
                work = functools.partial(upsert, table, partial, columns)
                await self.measure(side, "partial update of 100 k hot keys", CPU_ONLY, work)

    async def lookups(self) -> None:
        """Lookups by the official Java client; one table of 100 k keys each."""
        keys = self.sizes.hot_keys
        tables = {}
        for side in self.sides:
            tables[side.name] = table = await self.table(side, keyed=True)
            await upsert(table, rows_of(0, keys))
        with JavaLookups() as java:
            for warm_up in (True, False):
                for in_flight in (64, 256, 1) if warm_up else (1, 64, 256):
                    for _ in range(1 if warm_up else self.sizes.runs):
                        for side in self.sides:
                            name = tables[side.name].get_table_path().table_name
                            cpu = side.cpu()
                            found = java.measure(
                                side.cluster.bootstrap_servers, name, keys, in_flight, self.sizes.lookup_seconds
                            )
                            if warm_up:
                                continue
                            figures = Figures(
                                rate=found.count / found.seconds,
                                cpu=(side.cpu() - cpu) / found.count * 1e6,
                                p50_ms=found.p50_ms,
                                p99_ms=found.p99_ms,
                            )
                            label = f"lookup, Java client, {in_flight} in flight"
                            self.line(label, "lookups/s", LOOKUP).add(side.name, figures)
                            print(f"{label:44} {side.name:16} {figures}", flush=True)

    async def visibility(self) -> None:
        """Append until visible, a reader's fetches waiting up to 500 ms."""
        times: dict[str, list[float]] = {side.name: [] for side in self.sides}
        for _ in range(self.sizes.runs):
            for side in self.sides:
                options = PROMPT_WRITER | {"scanner.log.fetch.wait-max-time-ms": "500"}
                connected = await connect(side.cluster.bootstrap_servers, options)
                self._tables += 1
                table = await create(connected, f"t{self._tables}")
                found = await visible_ms(table, 2 + self.sizes.visible_rows, pause_s=(0.002, 0.5))
                times[side.name] += found[2:]  # without the first, which connect
                await connected.close()
        line = self.line("append to visible, client waits up to 500 ms", "ms", self.visible)
        for name, values in times.items():
            line.add(name, Figures(p50_ms=percentile(values, 0.5), p99_ms=percentile(values, 0.99)))
            print(f"{line.name:44} {name:16} {line.of(name)}", flush=True)


SIDES: dict[str, NewCluster] = {
    OFFICIAL: lambda: OfficialCluster(Path(tempfile.mkdtemp(prefix="fluss-official-"))),
    OURS: OurCluster,
    UNSYNCED: lambda: OurCluster(options={"log.flush.before-acknowledge": "false"}),
}


async def first_write(bootstrap: str) -> None:
    """Retry until a row is acknowledged; the official server refuses tables for a while after it began to listen."""
    connected = None
    deadline = time.monotonic() + _START_TIMEOUT_S
    row = batch_of(0, 1)
    while True:
        try:
            connected = await connect(bootstrap, PROMPT_WRITER)
            nodes = await connected.get_admin().get_server_nodes()
            if any(node.server_type == "TabletServer" for node in nodes):
                await append(await create(connected, "first"), [row], 1)
                await connected.close()
                return
        except fluss.FlussError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.01)


async def start_all(new_clusters: Mapping[str, NewCluster], sizes: Sizes) -> list[Side]:
    """Time some starts of every side, then start the servers that everything else is measured on."""
    starts: dict[str, list[float]] = {name: [] for name in new_clusters}
    for _ in range(sizes.runs):
        for name, new_cluster in new_clusters.items():
            begin = time.perf_counter()
            cluster = new_cluster()
            with cluster:
                await first_write(cluster.bootstrap_servers)
                starts[name].append(time.perf_counter() - begin)
                print(f"{'start to first acknowledged write':44} {name:16} {starts[name][-1]:8.2f} s", flush=True)
    sides: list[Side] = []
    try:
        for name, seconds in starts.items():
            sides.append(Side(name, new_clusters[name](), seconds))
            sides[-1].cluster.start()
        await asyncio.sleep(_IDLE_S)
        for side in sides:
            side.idle_mb = side.memory_mb()
            await first_write(side.cluster.bootstrap_servers)
            side.connected = await connect(side.cluster.bootstrap_servers)
    except BaseException:
        stop_all(sides)
        raise
    return sides


def stop_all(sides: list[Side]) -> None:
    for side in sides:
        side.cluster.__exit__(None, None, None)


async def run(
    new_clusters: Mapping[str, NewCluster], sizes: Sizes, only: set[str], new: type[Comparison] = Comparison
) -> tuple[list[Line], bool]:
    """The complete lines, and whether all works went through."""
    complete = True
    sides = await start_all(new_clusters, sizes)
    comparison = new(sides, sizes)
    try:
        for name in comparison.works:
            if not only or name in only:
                try:
                    await getattr(comparison, name)()
                except Exception:
                    traceback.print_exc()  # the other works take minutes, so their figures are not thrown away
                    complete = False
        start = comparison.line("start to first acknowledged write", "s", new.start)
        idle = comparison.line("memory idle", "MB", new.idle)
        after = comparison.line("memory after all of this", "MB", new.after)
        for side in sides:
            start.add(side.name, *(Figures(value=seconds) for seconds in side.start_s))
            idle.add(side.name, Figures(value=side.idle_mb))
            after.add(side.name, Figures(value=side.memory_mb()))
            await side.connection.close()
        lines = [line for line in comparison.lines.values() if len(line.runs) == len(sides)]
        return lines, complete
    finally:
        stop_all(sides)


def main() -> None:
    compare(__doc__, SIDES, {False: FULL, True: QUICK}, RESULTS)


def compare(
    description: str | None,
    sides: Mapping[str, NewCluster],
    sizes: Mapping[bool, Sizes],
    results: Path,
    new: type[Comparison] = Comparison,
) -> NoReturn:
    """The command: run a comparison, print its table, and write it when the comparison was a complete one.

    Args:
        description: of the program.
        sides: what is compared.
        sizes: of a full comparison (False) and of a quick one (True).
        results: where the table of a full one goes.
        new: what is measured.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run of everything, and less of it: about 3 minutes")
    parser.add_argument("--only", action="append", default=[], choices=new.works)
    parser.add_argument("--output", type=Path, help=f"where the table goes; the full comparison writes {results.name}")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    begin = time.monotonic()
    size = sizes[arguments.quick]
    lines, complete = asyncio.run(run(sides, size, set(arguments.only), new))
    title = (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" pyfluss {version('pyfluss')}: medians of {size.runs}; load before the run {load:.1f};"
        f" {(time.monotonic() - begin) / 60:.0f} minutes"
    )
    table = report(title, lines, official=OFFICIAL, ours=OURS, unsynced=UNSYNCED)
    print("\n" + table)
    output = arguments.output or (None if arguments.quick or arguments.only else results)
    if output is not None and complete:
        output.write_text(table)
    sys.stdout.flush()
    os._exit(0 if complete else 1)  # pyfluss may abort at the end of the interpreter


if __name__ == "__main__":
    main()
