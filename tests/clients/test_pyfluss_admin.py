"""The administration API of unmodified pyfluss against the coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from coordinator_support import coordinator

ARROW_TYPES: list[tuple[str, pa.DataType, str]] = [
    ("boolean", pa.bool_(), "boolean"),
    ("tinyint", pa.int8(), "tinyint"),
    ("smallint", pa.int16(), "smallint"),
    ("int", pa.int32(), "int"),
    ("bigint", pa.int64(), "bigint"),
    ("float", pa.float32(), "float"),
    ("double", pa.float64(), "double"),
    ("string", pa.string(), "string"),
    ("bytes", pa.binary(), "bytes"),
    ("binary", pa.binary(4), "binary(4)"),
    ("decimal", pa.decimal128(10, 2), "decimal(10,2)"),
    ("wide_decimal", pa.decimal128(38, 18), "decimal(38,18)"),
    ("date", pa.date32(), "date"),
    ("time_s", pa.time32("s"), "time"),
    ("time_ms", pa.time32("ms"), "time(3)"),
    ("time_us", pa.time64("us"), "time(6)"),
    ("time_ns", pa.time64("ns"), "time(9)"),
    ("timestamp_s", pa.timestamp("s"), "timestamp(0)"),
    ("timestamp_ms", pa.timestamp("ms"), "timestamp(3)"),
    ("timestamp_us", pa.timestamp("us"), "timestamp"),
    ("timestamp_ns", pa.timestamp("ns"), "timestamp(9)"),
    ("ltz_ms", pa.timestamp("ms", tz="UTC"), "timestamp_ltz(3)"),
    ("ltz_ns", pa.timestamp("ns", tz="UTC"), "timestamp_ltz(9)"),
    ("array", pa.list_(pa.int32()), "array<int>"),
    ("map", pa.map_(pa.string(), pa.int64()), "map<string not null,bigint>"),
    ("row", pa.struct([("x", pa.int32()), ("y", pa.struct([("z", pa.string())]))]), "row<x: int,y: row<z: string>>"),
]
SIMPLE = pa.schema([pa.field("a", pa.int32()), pa.field("b", pa.string())])


def run(directory: Path, scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with coordinator(directory / "metadata") as port:
            config = fluss.Config({"bootstrap.servers": f"127.0.0.1:{port}"})
            connection = await fluss.FlussConnection.create(config)
            try:
                await asyncio.wait_for(scenario(connection.get_admin()), 20)
            finally:
                await connection.close()

    asyncio.run(all_of_it())


async def refused(call: Awaitable[Any]) -> int:
    with pytest.raises(fluss.FlussError) as caught:
        await call
    assert caught.value.message
    return int(caught.value.error_code)


def log_table(**options: Any) -> Any:
    return fluss.TableDescriptor(fluss.Schema(SIMPLE), **options)


def test_databases(tmp_path: Path) -> None:
    async def scenario(admin: Any) -> None:
        descriptor = fluss.DatabaseDescriptor(comment="für alle", custom_properties={"k": "v"})
        await admin.create_database("d", descriptor, ignore_if_exists=False)
        assert sorted(await admin.list_databases()) == ["d", "fluss"]
        assert await admin.database_exists("d")
        assert not await admin.database_exists("x")
        info = (await admin.get_database_info("d")).get_database_descriptor()
        assert (info.comment, info.get_custom_properties()) == ("für alle", {"k": "v"})

        assert await refused(admin.create_database("d", ignore_if_exists=False)) == 6
        await admin.create_database("d", ignore_if_exists=True)
        assert await refused(admin.create_database("bad name", ignore_if_exists=False)) == 16
        assert await refused(admin.get_database_info("x")) == 4
        assert await refused(admin.drop_database("x", ignore_if_not_exists=False)) == 4
        assert await refused(admin.list_tables("x")) == 4
        await admin.create_table(fluss.TablePath("d", "t"), log_table(), ignore_if_exists=False)
        assert await refused(admin.drop_database("d", ignore_if_not_exists=False, cascade=False)) == 5
        await admin.drop_database("d", ignore_if_not_exists=False, cascade=True)
        await admin.drop_database("d", ignore_if_not_exists=True)
        assert await admin.list_databases() == ["fluss"]
        assert await refused(admin.drop_database("fluss", ignore_if_not_exists=False)) == 16

    run(tmp_path, scenario)


def test_tables(tmp_path: Path) -> None:
    path = fluss.TablePath("fluss", "t")

    async def scenario(admin: Any) -> None:
        schema = fluss.Schema(SIMPLE, primary_keys=["b", "a"])
        descriptor = fluss.TableDescriptor(
            schema,
            bucket_count=3,
            bucket_keys=["b"],
            comment="a comment",
            kv_format="INDEXED",
            properties={"table.log.ttl": "1d"},
            custom_properties={"owner": "me"},
        )
        await admin.create_table(path, descriptor, ignore_if_exists=False)
        assert await admin.list_tables("fluss") == ["t"]
        assert await admin.table_exists(path)
        assert not await admin.table_exists(fluss.TablePath("fluss", "u"))
        info = await admin.get_table_info(path)
        assert (info.table_id, info.schema_id, info.num_buckets, info.comment) == (0, 1, 3, "a comment")
        assert info.get_primary_keys() == ["b", "a"]
        assert info.get_bucket_keys() == ["b"]
        assert info.get_partition_keys() == []
        assert info.get_column_names() == ["a", "b"]
        assert info.get_custom_properties() == {"owner": "me"}
        properties = info.get_properties()
        assert properties["table.replication.factor"] == "1"
        assert properties["table.kv.format-version"] == "2"
        assert properties["table.log.ttl"] == "1d"
        assert info.created_time == info.modified_time > 0

        assert await refused(admin.create_table(path, descriptor, ignore_if_exists=False)) == 8
        await admin.create_table(path, descriptor, ignore_if_exists=True)
        await admin.drop_table(path, ignore_if_not_exists=False)
        assert await refused(admin.drop_table(path, ignore_if_not_exists=False)) == 7
        await admin.drop_table(path, ignore_if_not_exists=True)
        assert await refused(admin.get_table_info(path)) == 7
        await admin.create_table(path, log_table(), ignore_if_exists=False)
        info = await admin.get_table_info(path)
        assert (info.table_id, info.num_buckets, info.has_primary_key()) == (1, 1, False)

    run(tmp_path, scenario)


@pytest.mark.parametrize("keys", [None, ["int", "string"]])
def test_every_type_comes_back(tmp_path: Path, keys: list[str] | None) -> None:
    path = fluss.TablePath("fluss", "t")

    async def scenario(admin: Any) -> None:
        arrow = pa.schema([pa.field(name, data_type) for name, data_type, _ in ARROW_TYPES])
        schema = fluss.Schema(arrow, primary_keys=keys)
        await admin.create_table(path, fluss.TableDescriptor(schema), ignore_if_exists=False)
        returned = (await admin.get_table_info(path)).get_schema()
        assert returned.get_columns() == schema.get_columns()
        assert returned.get_primary_keys() == (keys or [])
        expected = [(name, text + " not null" * (name in (keys or ()))) for name, _, text in ARROW_TYPES]
        assert [(name, text.lower().replace(", ", ",")) for name, text in returned.get_columns()] == expected

    run(tmp_path, scenario)


def test_refused_tables(tmp_path: Path) -> None:
    async def scenario(admin: Any) -> None:
        async def create(descriptor: Any, database: str = "fluss", table: str = "t") -> int:
            return await refused(
                admin.create_table(fluss.TablePath(database, table), descriptor, ignore_if_exists=False)
            )

        assert await create(log_table(), database="x") == 4
        assert await create(log_table(), table="a.b") == 15
        assert await create(log_table(), database="a.b") == 16
        assert await create(fluss.TableDescriptor(fluss.Schema(pa.schema([pa.field("__offset", pa.int32())])))) == 15
        assert await create(log_table(properties={"table.nonsense": "1"})) == 39
        assert await create(log_table(properties={"table.replication.factor": "3"})) == 17
        assert await create(log_table(bucket_count=5000)) == 49
        assert await admin.list_tables("fluss") == []

    run(tmp_path, scenario)


def test_servers_lake_and_partitions(tmp_path: Path) -> None:
    async def scenario(admin: Any) -> None:
        nodes = await admin.get_server_nodes()
        assert len(nodes) == 2
        assert {node.id for node in nodes} == {4}
        path = fluss.TablePath("fluss", "t")
        await admin.create_table(path, log_table(), ignore_if_exists=False)
        assert await refused(admin.get_latest_lake_snapshot(path)) == 53
        assert await refused(admin.list_partition_infos(path)) == 37
        assert await refused(admin.create_partition(path, {"b": "1"})) == 37

    run(tmp_path, scenario)
