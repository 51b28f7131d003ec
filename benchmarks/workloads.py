"""What the benchmarks let ``pyfluss`` do to a server, official or ours: the same code for both."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable, Mapping, Sequence

import fluss
import pyarrow as pa

from support import SCHEMA, batch_of

Row = tuple[object, ...]

_LEADER_TIMEOUT_S = 20.0
_MAX_ATTEMPTS = 4
# pyfluss waits for writer memory while it holds the interpreter lock: with the default of 64 MB it can stop for ever.
CLIENT_OPTIONS = {"writer.buffer.memory-size": str(1 << 30)}


async def connect(bootstrap: str, options: Mapping[str, str] | None = None) -> fluss.FlussConnection:
    """A connection with the given options of the client."""
    return await fluss.FlussConnection.create(
        fluss.Config({"bootstrap.servers": bootstrap, **CLIENT_OPTIONS, **(options or {})})
    )


async def create(
    connected: fluss.FlussConnection, name: str, *, keyed: bool = False, buckets: int = 1, compression: str = "ZSTD"
) -> fluss.FlussTable:
    """A new table of the database ``fluss`` with the columns of ``SCHEMA``, once all its buckets have leaders.

    The official server answers before it has chosen leaders, and on a busy machine it sometimes never does: then the
    table is left alone and another one made.
    """
    descriptor = fluss.TableDescriptor(
        fluss.Schema(SCHEMA, primary_keys=["id"] if keyed else None),
        bucket_count=buckets,
        properties={"table.log.arrow.compression.type": compression},
    )
    admin = connected.get_admin()
    for attempt in range(_MAX_ATTEMPTS):
        path = fluss.TablePath("fluss", f"{name}_{attempt}")
        await admin.create_table(path, descriptor, False)
        deadline = time.monotonic() + _LEADER_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(fluss.FlussError):
                table = await connected.get_table(path)  # asks for the leaders again
                await admin.list_offsets(path, list(range(buckets)), fluss.OffsetSpec.earliest())
                return table
            await asyncio.sleep(0.05)
    raise RuntimeError(f"none of {_MAX_ATTEMPTS} new tables got leaders within {_LEADER_TIMEOUT_S} s each")


async def drop(connected: fluss.FlussConnection, table: fluss.FlussTable) -> None:
    """Drop a table that is not measured any more, so that the page cache does not grow from one line to the next.

    Measured in a virtual machine: when it had grown by some 4 GB, rows of 190 bytes cost any server 0.35 CPU s per
    million more, in the kernel's copying to new pages. The first touch of memory would explain it.
    """
    await connected.get_admin().drop_table(table.get_table_path(), False)


async def append(table: fluss.FlussTable, batches: Sequence[pa.RecordBatch], repeat: int) -> int:
    """Append Arrow batches, ``repeat`` times over; returns the number of rows."""
    writer = table.new_append().create_writer()
    for _ in range(repeat):
        for batch in batches:
            writer.write_arrow_batch(batch)
    await writer.flush()
    return repeat * sum(int(batch.num_rows) for batch in batches)


async def scan(table: fluss.FlussTable, columns: list[str] | None) -> int:
    """Read a table from its start to its present end; returns the number of rows."""
    builder = table.new_scan()
    if columns:
        builder = builder.project_by_name(columns)
    scanner = await builder.create_record_batch_log_scanner()
    buckets = table.get_table_info().num_buckets
    scanner.subscribe_buckets(dict.fromkeys(range(buckets), fluss.EARLIEST_OFFSET))
    return int((await scanner.to_arrow()).num_rows)


def rows_of(start: int, count: int, *, modulo: int | None = None, columns: Sequence[str] | None = None) -> list[Row]:
    """Rows as :func:`upsert` takes them."""
    batch = batch_of(start, count, modulo=modulo)
    if columns:
        batch = batch.select(columns)
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


async def upsert(table: fluss.FlussTable, rows: Iterable[Row], columns: list[str] | None = None) -> int:
    """Upsert rows, or only some columns of them; returns how many."""
    builder = table.new_upsert()
    if columns:
        builder = builder.partial_update_by_name(columns)
    writer = builder.create_writer()
    count = 0
    for row in rows:
        writer.upsert(row)
        count += 1
    await writer.flush()
    return count


async def delete(table: fluss.FlussTable, ids: Iterable[int]) -> int:
    """Delete rows by key; returns how many."""
    writer = table.new_upsert().create_writer()
    count = 0
    for key in ids:
        writer.delete((key,))
        count += 1
    await writer.flush()
    return count


async def visible_ms(
    table: fluss.FlussTable, samples: int, *, pause_s: tuple[float, float] = (0.002, 0.002)
) -> list[float]:
    """Milliseconds from the append of a row until a reader that waits for it has it, ``samples`` times.

    Args:
        pause_s: bounds of the random time between the reader's call and the append. With long ones the append meets a
            fetch at any moment of its wait.
    """
    scanner = await table.new_scan().create_log_scanner()
    scanner.subscribe(0, fluss.EARLIEST_OFFSET)
    writer = table.new_append().create_writer()
    row = batch_of(0, 1).to_pylist()[0]
    generator = random.Random(4)
    times = []
    for _ in range(samples):
        poll = asyncio.ensure_future(scanner.poll(5000))
        await asyncio.sleep(generator.uniform(*pause_s))
        begin = time.perf_counter()
        writer.append(row)
        flush = asyncio.ensure_future(writer.flush())
        assert (await poll).count() == 1
        times.append((time.perf_counter() - begin) * 1000)
        await flush
    return times


async def acknowledged_ms(table: fluss.FlussTable, samples: int) -> list[float]:
    """Milliseconds from the append of a row until its writer has the acknowledgement, ``samples`` times."""
    writer = table.new_append().create_writer()
    row = batch_of(0, 1).to_pylist()[0]
    times = []
    for _ in range(samples):
        begin = time.perf_counter()
        writer.append(row)
        await writer.flush()
        times.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(0.002)
    return times
