"""The unmodified ``pyfluss`` writes statistics and pushes filters to the server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, every_type_batch, new_table
from fluss_server.formats.log_batch import iter_batches
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("s", pa.string())])


async def scan(table: fluss.FlussTable, predicate: fluss.Predicate, last: int, columns: list[int] | None = None) -> Any:
    """Rows that arrive until the one with offset ``last``, by offset."""
    scan = table.new_scan().filter(predicate)
    scanner = await (scan if columns is None else scan.project(columns)).create_log_scanner()
    scanner.subscribe_buckets({0: fluss.EARLIEST_OFFSET})
    found: dict[int, dict[str, Any]] = {}
    deadline = time.monotonic() + 30
    while last not in found:
        assert time.monotonic() < deadline
        for records in (await scanner.poll(500)).values():
            found.update((record.offset, record.row) for record in records)
    return found


@pytest.mark.parametrize("projected", [False, True])
def test_only_batches_that_may_match_arrive(fluss_cluster: LocalCluster, projected: bool) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            properties = {"table.statistics.columns": "*"}
            table = await new_table(connected, f"t{projected}", SCHEMA, bucket_count=1, properties=properties)
            writer = table.new_append().create_writer()
            for first in range(0, 50, 10):
                for n in range(first, first + 10):
                    writer.append([n, f"s{n:02}"])
                await writer.flush()
            columns = [1] if projected else None
            found = await scan(table, (fluss.col("n") >= 15) & (fluss.col("n") < 25), 29, columns)
            assert sorted(found) == list(range(10, 30))
            assert found[12] == ({"s": "s12"} if projected else {"n": 12, "s": "s12"})
            assert sorted(await scan(table, fluss.col("s") == "s44", 49, columns)) == list(range(40, 50))
            writer.append([-1, None])
            await writer.flush()
            assert sorted(await scan(table, fluss.col("s").is_null(), 50, columns)) == [50]

    asyncio.run(run())
    for path in (fluss_cluster.data_dir / "fluss").glob(f"t{projected}-*/log-0/*.log"):
        assert [header.magic for _, header in iter_batches(path.read_bytes())] == [1] * 6


def test_statistics_of_every_type(fluss_cluster: LocalCluster) -> None:
    """The batch with every type is found by each of its own values, and not by others."""
    batch = every_type_batch()

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            properties = {"table.statistics.columns": "*"}
            table = await new_table(connected, "types", batch.schema, bucket_count=1, properties=properties)
            writer = table.new_append().create_writer()
            for row in batch.to_pylist():
                writer.append(row)
            await writer.flush()
            end = batch.num_rows - 1
            for name in batch.schema.names:
                assert end in await scan(table, fluss.col(name).is_not_null(), end)
                kind = batch.schema.field(name).type
                if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_decimal(kind):
                    for value in batch.column(name).drop_null().to_pylist():
                        assert end in await scan(table, fluss.col(name) == value, end)

    asyncio.run(run())
