"""The unmodified ``pyfluss`` on log tables of a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, end_offsets, every_type_batch, new_table, read_changes
from fluss_server.errors import ErrorCode

COMPRESSIONS = ["NONE", "LZ4_FRAME", "ZSTD"]


async def scan_arrow(table: fluss.FlussTable, buckets: int, columns: list[str] | None = None) -> pa.Table:
    scan = table.new_scan()
    if columns is not None:
        scan = scan.project_by_name(columns)
    scanner = await scan.create_record_batch_log_scanner()
    scanner.subscribe_buckets(dict.fromkeys(range(buckets), fluss.EARLIEST_OFFSET))
    return await scanner.to_arrow()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_scalar_type_comes_back_equal_from_arrow_batches(fluss_cluster: Any, compression: str) -> None:
    batch = every_type_batch()

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected,
                f"arrow_{compression.lower()}",
                batch.schema,
                properties={"table.log.arrow.compression.type": compression},
            )
            writer = table.new_append().create_writer()
            writer.write_arrow_batch(batch)
            await writer.flush()
            result = await scan_arrow(table, 1)
            assert result.schema.names == batch.schema.names
            for name in batch.schema.names:
                assert result[name].to_pylist() == batch.column(name).to_pylist(), name

    asyncio.run(run())


def test_every_scalar_type_comes_back_equal_from_rows(fluss_cluster: Any) -> None:
    batch = every_type_batch()

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "rows", batch.schema)
            writer = table.new_append().create_writer()
            for row in batch.to_pylist():
                writer.append(row)
            await writer.flush()
            changes = await read_changes(connected, table)
            assert [kind for _, _, kind, _ in changes] == ["+A"] * 5
            assert [offset for _, offset, _, _ in changes] == [0, 1, 2, 3, 4]
            expected = batch.to_pylist()
            for (_, _, _, row), wanted in zip(changes, expected, strict=True):
                assert row == wanted

    asyncio.run(run())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_projection_returns_the_chosen_columns_in_the_order_asked(fluss_cluster: Any, compression: str) -> None:
    batch = every_type_batch()
    chosen = ["c_ltz_ms", "c_string", "id", "c_wide_decimal", "c_boolean"]

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected,
                f"projected_{compression.lower()}",
                batch.schema,
                properties={"table.log.arrow.compression.type": compression},
            )
            writer = table.new_append().create_writer()
            for _ in range(3):
                writer.write_arrow_batch(batch)
            await writer.flush()
            result = await scan_arrow(table, 1, chosen)
            assert result.column_names == chosen
            for name in chosen:
                assert result[name].to_pylist() == batch.column(name).to_pylist() * 3, name

    asyncio.run(run())


def test_nested_types_come_back_equal(fluss_cluster: Any) -> None:
    schema = pa.schema(
        [
            pa.field("id", pa.int32(), nullable=False),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("attributes", pa.map_(pa.string(), pa.int64())),
            pa.field("profile", pa.struct([pa.field("age", pa.int32()), pa.field("names", pa.list_(pa.string()))])),
        ]
    )
    rows: list[dict[str, Any]] = [
        {
            "id": 1,
            "tags": ["a", None, "ü"],
            "attributes": [("k", 1), ("m", None)],
            "profile": {"age": 3, "names": ["x"]},
        },
        {"id": 2, "tags": [], "attributes": [], "profile": {"age": None, "names": None}},
        {"id": 3, "tags": None, "attributes": None, "profile": None},
    ]

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "nested", schema)
            writer = table.new_append().create_writer()
            for row in rows:
                writer.append(row)
            await writer.flush()
            assert (await scan_arrow(table, 1)).to_pylist() == rows
            assert (await scan_arrow(table, 1, ["profile", "id"])).to_pylist() == [
                {"profile": row["profile"], "id": row["id"]} for row in rows
            ]

    asyncio.run(run())


def test_offsets_earliest_latest_and_by_timestamp(fluss_cluster: Any) -> None:
    schema = pa.schema([pa.field("n", pa.int64())])

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            admin = connected.get_admin()
            table = await new_table(connected, "offsets", schema)
            path = table.get_table_path()
            writer = table.new_append().create_writer()
            stamps = []
            for part in range(3):
                writer.write_arrow_batch(
                    pa.record_batch([pa.array(range(part * 10, part * 10 + 10), pa.int64())], schema=schema)
                )
                await writer.flush()
                scanner = await table.new_scan().create_log_scanner()
                scanner.subscribe(0, part * 10)
                records = await scanner.poll(5000)
                stamps.append(next(iter(records)).timestamp)
                deadline = dt.datetime.now().timestamp() * 1000 + 5000
                while dt.datetime.now().timestamp() * 1000 <= stamps[-1] + 1:
                    assert dt.datetime.now().timestamp() * 1000 < deadline
            assert await admin.list_offsets(path, [0], fluss.OffsetSpec.earliest()) == {0: 0}
            assert await admin.list_offsets(path, [0], fluss.OffsetSpec.latest()) == {0: 30}
            for part, stamp in enumerate(stamps):
                assert await admin.list_offsets(path, [0], fluss.OffsetSpec.timestamp(stamp)) == {0: part * 10}
                assert await admin.list_offsets(path, [0], fluss.OffsetSpec.timestamp(stamp + 1)) == {0: part * 10 + 10}
            assert await admin.list_offsets(path, [0], fluss.OffsetSpec.timestamp(0)) == {0: 0}
            with pytest.raises(fluss.FlussError) as failure:
                await admin.list_offsets(path, [0], fluss.OffsetSpec.timestamp(2**52))
            assert failure.value.error_code == fluss.ErrorCode.INVALID_TIMESTAMP_EXCEPTION

            scanner = await table.new_scan().create_log_scanner()
            scanner.subscribe(0, 25)
            records = await scanner.poll(5000)
            assert [record.row["n"] for record in records] == list(range(25, 30))

    asyncio.run(run())


def test_a_parked_fetch_wakes_on_append(fluss_cluster: Any) -> None:
    schema = pa.schema([pa.field("n", pa.int64())])

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers, **{"writer.batch-timeout-ms": "1"}) as connected:
            table = await new_table(connected, "wakes", schema)
            scanner = await table.new_scan().create_log_scanner()
            scanner.subscribe(0, fluss.EARLIEST_OFFSET)
            writer = table.new_append().create_writer()
            for value in range(20):
                poll = asyncio.ensure_future(scanner.poll(10_000))
                await asyncio.sleep(0)
                writer.append([value])
                await writer.flush()
                records = await poll
                assert [record.row["n"] for record in records] == [value]

    asyncio.run(run())


def test_rows_spread_over_buckets_are_all_there(fluss_cluster: Any) -> None:
    schema = pa.schema([pa.field("k", pa.int32(), nullable=False), pa.field("v", pa.string())])

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "buckets", schema, bucket_count=4, bucket_keys=["k"])
            writer = table.new_append().create_writer()
            for value in range(2000):
                writer.append([value, f"v{value}"])
            await writer.flush()
            ends = await end_offsets(connected, table)
            assert sum(ends.values()) == 2000
            assert all(end > 0 for end in ends.values())
            result = await scan_arrow(table, 4)
            assert sorted(result["k"].to_pylist()) == list(range(2000))

    asyncio.run(run())


def test_limit_scan_returns_the_newest_rows(fluss_cluster: Any) -> None:
    schema = pa.schema([pa.field("n", pa.int64())])

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "limited", schema)
            writer = table.new_append().create_writer()
            for value in range(50):
                writer.append([value])
                await writer.flush()
            bucket = fluss.TableBucket(table.get_table_info().table_id, 0)
            rows = await table.new_scan().limit(7).create_bucket_batch_scanner(bucket).to_arrow()
            assert rows["n"].to_pylist() == list(range(43, 50))

    asyncio.run(run())


def test_an_offset_outside_of_the_log_is_refused(fluss_cluster: Any) -> None:
    schema = pa.schema([pa.field("n", pa.int64())])

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "outside", schema)
            scanner = await table.new_scan().create_log_scanner()
            scanner.subscribe(0, 5)
            with pytest.raises(fluss.FlussError, match=r"offset 5 is outside of \[0, 0\]"):
                await scanner.poll(5000)

    asyncio.run(run())


def test_rows_that_do_not_fit_fail_instead_of_being_sent_for_ever(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            path = fluss.TablePath("fluss", "row_log")
            schema = fluss.Schema(pa.schema([pa.field("n", pa.int32())]))
            await connected.get_admin().create_table(path, fluss.TableDescriptor(schema, log_format="INDEXED"), False)
            writer = (await connected.get_table(path)).new_append().create_writer()
            handle = writer.append({"n": 1})  # pyfluss 1.0.0 writes Arrow, whatever the format of the log
            await asyncio.wait_for(writer.flush(), 20)
            with pytest.raises(fluss.FlussError, match="rows do not match the schema of the table") as raised:
                await handle.wait()
            assert raised.value.error_code == ErrorCode.INVALID_TABLE_EXCEPTION

    asyncio.run(run())
