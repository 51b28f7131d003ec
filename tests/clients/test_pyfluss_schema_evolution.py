"""Tables whose columns change while ``pyfluss`` writes and reads them: old and new clients at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.testing import LocalCluster
from table_rpc import add_columns

FIRST = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("name", pa.string())])
ADDED = {
    "score": {"type": "DOUBLE"},
    "tags": {"type": "ARRAY", "element_type": {"type": "STRING"}},
    "at": {"type": "TIMESTAMP_WITHOUT_TIME_ZONE", "precision": 3},
    "who": {"type": "ROW", "fields": [{"name": "first", "field_type": {"type": "STRING"}}]},
}
Row = dict[str, Any]
OLD_ROWS: list[Row] = [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
NEW_ROW: Row = {"id": 3, "name": "c", "score": 1.5, "tags": ["x", None], "at": None, "who": {"first": "Ada"}}


def filled(row: Row) -> Row:
    """A row with nulls for the columns that it lacks."""
    return {**row, **{name: None for name in ADDED if name not in row}}


async def append(table: fluss.FlussTable, *rows: Row) -> None:
    writer = table.new_append().create_writer()
    for row in rows:
        writer.append(row)
    await writer.flush()


async def scan(table: fluss.FlussTable, columns: list[str] | None = None) -> list[Row]:
    """All rows in the schema that ``table`` knows, or some columns of it."""
    scan = table.new_scan().with_fixed_schema(True)  # pyfluss fails on batches of several schemas by default
    if columns is not None:
        scan = scan.project_by_name(columns)
    scanner = await scan.create_record_batch_log_scanner()
    scanner.subscribe_buckets({0: fluss.EARLIEST_OFFSET})
    return list((await scanner.to_arrow()).to_pylist())


@pytest.mark.parametrize("compression", ["NONE", "LZ4_FRAME", "ZSTD"])
def test_a_log_table(fluss_cluster: Any, compression: str) -> None:
    servers = fluss_cluster.bootstrap_servers
    name = f"evolving_{compression.lower()}"

    async def run() -> None:
        async with connection(servers) as old, connection(servers) as new:
            properties = {"table.log.arrow.compression.type": compression}
            before = await new_table(old, name, FIRST, properties=properties)
            await append(before, *OLD_ROWS)
            await add_columns(servers, name, ADDED)
            after = await new.get_table(fluss.TablePath("fluss", name))
            assert after.get_table_info().schema_id == 2
            await append(after, NEW_ROW)
            late = {"id": 4, "name": "d"}
            await append(before, late)  # a writer that has not heard of the new columns

            everything = [filled(row) for row in (*OLD_ROWS, NEW_ROW, late)]
            assert await scan(after) == everything
            for columns in (["id", "score"], ["who", "name"], ["tags"], ["at", "tags", "who", "score", "name", "id"]):
                assert await scan(after, columns) == [{c: row[c] for c in columns} for row in everything]
            as_before = [{"id": row["id"], "name": row["name"]} for row in everything]
            assert await scan(before) == as_before
            assert [row for _, _, _, row in await read_changes(old, before)] == as_before
            assert await scan(before, ["name"]) == [{"name": row["name"]} for row in everything]

    asyncio.run(run())


def test_a_primary_key_table(fluss_cluster: Any) -> None:
    servers = fluss_cluster.bootstrap_servers

    async def upsert(table: fluss.FlussTable, *rows: Row) -> None:
        writer = table.new_upsert().create_writer()
        for row in rows:
            writer.upsert(row)
        await writer.flush()

    async def run() -> None:
        async with connection(servers) as old, connection(servers) as new:
            before = await new_table(old, "evolving_pk", FIRST, primary_keys=["id"])
            await upsert(before, *OLD_ROWS)
            await add_columns(servers, "evolving_pk", ADDED)
            after = await new.get_table(fluss.TablePath("fluss", "evolving_pk"))
            await upsert(after, NEW_ROW)
            replaced: Row = {"id": 2, "name": "b2", "score": 2.5, "tags": [], "at": None, "who": {"first": None}}
            await upsert(after, replaced)
            await upsert(before, {"id": 4, "name": "d"})

            lookuper = after.new_lookup().create_lookuper()
            late = filled({"id": 4, "name": "d"})
            for key, row in ((1, filled(OLD_ROWS[0])), (2, replaced), (3, NEW_ROW), (4, late), (5, None)):
                assert await lookuper.lookup({"id": key}) == row, key
            old_lookuper = before.new_lookup().create_lookuper()
            assert await old_lookuper.lookup({"id": 1}) == OLD_ROWS[0]
            assert [(kind, row) for _, _, kind, row in await read_changes(new, after, fixed_schema=True)] == [
                ("+I", filled(OLD_ROWS[0])),
                ("+I", filled(OLD_ROWS[1])),
                ("+I", NEW_ROW),
                ("-U", filled(OLD_ROWS[1])),
                ("+U", replaced),
                ("+I", late),
            ]

    asyncio.run(run())


def test_a_partitioned_table(fluss_cluster: Any) -> None:
    """Partitions that are there take the new columns, and so do those that come later."""
    servers = fluss_cluster.bootstrap_servers
    schema = pa.schema([pa.field("day", pa.string(), nullable=False), *FIRST])

    async def run() -> None:
        async with connection(servers) as old, connection(servers) as new:
            path = fluss.TablePath("fluss", "evolving_partitions")
            admin = old.get_admin()
            descriptor = fluss.TableDescriptor(
                fluss.Schema(schema, primary_keys=["day", "id"]), partition_keys=["day"], bucket_count=1
            )
            await admin.create_table(path, descriptor, False)
            await admin.create_partition(path, {"day": "1"}, False)
            before = await old.get_table(path)
            await add_columns(servers, path.table_name, {"score": {"type": "DOUBLE"}})
            await admin.create_partition(path, {"day": "2"}, False)
            after = await new.get_table(path)
            writers = {table: table.new_upsert().create_writer() for table in (before, after)}
            for day in ("1", "2"):
                writers[before].upsert({"day": day, "id": 1, "name": "old"})
                writers[after].upsert({"day": day, "id": 2, "name": "new", "score": 0.5})
            for writer in writers.values():
                await writer.flush()
            lookuper = after.new_lookup().create_lookuper()
            for day in ("1", "2"):
                for number, name, score in ((1, "old", None), (2, "new", 0.5)):
                    row = {"day": day, "id": number, "name": name, "score": score}
                    assert await lookuper.lookup({"day": day, "id": number}) == row

    asyncio.run(run())


def test_a_new_column_survives_a_crash() -> None:
    async def before(servers: str) -> None:
        async with connection(servers) as connected:
            await append(await new_table(connected, "log", FIRST), *OLD_ROWS)
            table = await new_table(connected, "pk", FIRST, primary_keys=["id"])
            await add_columns(servers, "log", ADDED)
            await add_columns(servers, "pk", ADDED)
            await append(await connected.get_table(fluss.TablePath("fluss", "log")), NEW_ROW)
            writer = table.new_upsert().create_writer()
            writer.upsert(OLD_ROWS[0])
            await writer.flush()

    async def after(servers: str) -> None:
        async with connection(servers) as connected:
            log = await connected.get_table(fluss.TablePath("fluss", "log"))
            assert log.get_table_info().schema_id == 2
            await append(log, NEW_ROW)
            assert await scan(log) == [*map(filled, OLD_ROWS), NEW_ROW, NEW_ROW]
            pk = await connected.get_table(fluss.TablePath("fluss", "pk"))
            assert await pk.new_lookup().create_lookuper().lookup({"id": 1}) == filled(OLD_ROWS[0])

    with LocalCluster() as cluster:
        asyncio.run(before(cluster.bootstrap_servers))
        cluster.kill()
        cluster.start()
        asyncio.run(after(cluster.bootstrap_servers))
