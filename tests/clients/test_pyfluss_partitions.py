"""The unmodified ``pyfluss`` on partitioned tables of a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table
from fluss_server.testing import LocalCluster

LOG = pa.schema([pa.field("n", pa.int64()), pa.field("day", pa.string()), pa.field("region", pa.string())])
KEYED = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("sub", pa.int64(), nullable=False),
        pa.field("day", pa.string(), nullable=False),
        pa.field("v", pa.string()),
    ]
)


async def refused(change: Any) -> int:
    with pytest.raises(fluss.FlussError) as caught:
        await change
    return int(caught.value.error_code)


async def names(connected: fluss.FlussConnection, table: fluss.FlussTable, **spec: str) -> dict[str, int]:
    """Ids of partitions by name."""
    infos = await connected.get_admin().list_partition_infos(table.get_table_path(), spec or None)
    return {info.partition_name: info.partition_id for info in infos}


async def create(connected: fluss.FlussConnection, table: fluss.FlussTable, *specs: dict[str, str]) -> None:
    """Create partitions, as writers do: at once, twice, and whether or not they exist."""
    admin = connected.get_admin()
    await asyncio.gather(*(admin.create_partition(table.get_table_path(), spec, True) for spec in [*specs, *specs]))


async def read_log(
    table: fluss.FlussTable, partition_id: int, bucket_count: int, expected: int
) -> list[dict[str, Any]]:
    """Rows of a partition, in the order of their offsets per bucket."""
    scanner = await table.new_scan().create_log_scanner()
    scanner.subscribe_partition_buckets(
        {(partition_id, bucket): fluss.EARLIEST_OFFSET for bucket in range(bucket_count)}
    )
    rows: list[dict[str, Any]] = []
    for _ in range(60):
        if len(rows) >= expected:
            break
        rows += [record.row for record in await scanner.poll(500)]
    return rows


def test_create_list_and_drop(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            admin = connected.get_admin()
            table = await new_table(connected, "admin", LOG, partition_keys=["day", "region"], bucket_count=2)
            path = table.get_table_path()
            assert table.get_table_info().is_partitioned()
            assert table.get_table_info().get_partition_keys() == ["day", "region"]
            assert await names(connected, table) == {}
            for day, region in (("2024-01-01", "eu"), ("2024-01-01", "us"), ("2024-01-02", "eu")):
                await admin.create_partition(path, {"region": region, "day": day})
            assert list(await names(connected, table)) == ["2024-01-01$eu", "2024-01-01$us", "2024-01-02$eu"]
            assert list(await names(connected, table, region="eu")) == ["2024-01-01$eu", "2024-01-02$eu"]
            assert await refused(admin.create_partition(path, {"day": "2024-01-01", "region": "eu"})) == 42
            await admin.create_partition(path, {"day": "2024-01-01", "region": "eu"}, True)
            assert await refused(admin.create_partition(path, {"day": "2024-01-01"})) == 43
            assert await refused(admin.create_partition(path, {"day": "2024/01/01", "region": "eu"})) == 43
            await admin.drop_partition(path, {"day": "2024-01-01", "region": "eu"})
            assert await refused(admin.drop_partition(path, {"day": "2024-01-01", "region": "eu"})) == 36
            await admin.drop_partition(path, {"day": "2024-01-01", "region": "eu"}, True)
            assert list(await names(connected, table)) == ["2024-01-01$us", "2024-01-02$eu"]
            plain = await new_table(connected, "plain", LOG)
            assert await refused(admin.list_partition_infos(plain.get_table_path())) == 37
            missing = fluss.TablePath("fluss", "missing")
            assert await refused(admin.create_partition(missing, {"day": "1"})) == 7

    asyncio.run(run())


def test_a_log_table(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "logged", LOG, partition_keys=["day", "region"], bucket_count=2)
            days, regions = ("20240100", "20240101", "20240102"), ("eu", "us")
            await create(connected, table, *({"day": day, "region": region} for day in days for region in regions))
            writer = table.new_append().create_writer()
            expected: dict[str, list[int]] = {}
            for n in range(300):
                day, region = f"2024010{n % 3}", ("eu", "us")[n % 2]
                writer.append({"n": n, "day": day, "region": region})
                expected.setdefault(f"{day}${region}", []).append(n)
            await writer.flush()
            partitions = await names(connected, table)
            assert sorted(partitions) == sorted(expected)
            for name, partition_id in partitions.items():
                rows = await read_log(table, partition_id, 2, len(expected[name]))
                assert sorted(row["n"] for row in rows) == expected[name]
                assert {f"{row['day']}${row['region']}" for row in rows} == {name}
                admin, path = connected.get_admin(), table.get_table_path()
                ends = await admin.list_partition_offsets(path, name, [0, 1], fluss.OffsetSpec.latest())
                assert sum(ends.values()) == len(expected[name])

    asyncio.run(run())


def test_a_primary_key_table(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected,
                "keyed",
                KEYED,
                primary_keys=["id", "sub", "day"],
                partition_keys=["day"],
                bucket_keys=["id"],
                bucket_count=2,
            )
            await create(connected, table, {"day": "a"}, {"day": "b"})
            writer = table.new_upsert().create_writer()
            for day in ("a", "b"):
                for number in range(40):
                    writer.upsert({"id": number // 4, "sub": number % 4, "day": day, "v": f"{day}{number}"})
            await writer.flush()
            writer.upsert({"id": 1, "sub": 1, "day": "a", "v": "changed"})
            writer.delete({"id": 1, "sub": 2, "day": "a"})
            await writer.flush()

            lookuper = table.new_lookup().create_lookuper()
            row = {"id": 1, "sub": 1, "day": "a", "v": "changed"}
            assert await lookuper.lookup({"id": 1, "sub": 1, "day": "a"}) == row
            assert await lookuper.lookup({"id": 1, "sub": 1, "day": "b"}) == {**row, "day": "b", "v": "b5"}
            assert await lookuper.lookup({"id": 1, "sub": 2, "day": "a"}) is None
            assert await lookuper.lookup({"id": 1, "sub": 2, "day": "never"}) is None
            prefix = table.new_lookup().lookup_by(["day", "id"]).create_lookuper()
            found = await prefix.lookup({"day": "a", "id": 1})
            assert [(entry["sub"], entry["v"]) for entry in found] == [(0, "a4"), (1, "changed"), (3, "a7")]

            partitions = await names(connected, table)
            table_id = table.get_table_info().table_id
            counts = []
            for bucket in range(2):
                where = fluss.TableBucket.with_partition(table_id, partitions["a"], bucket)
                rows = await table.new_scan().limit(1000).create_bucket_batch_scanner(where).to_arrow()
                assert set(rows["day"].to_pylist()) == {"a"}
                counts.append(rows.num_rows)
            assert sum(counts) == 39

            changes = await read_log(table, partitions["a"], 2, 43)
            assert len(changes) == 43  # 40 inserts, -U, +U, -D
            assert {change["day"] for change in changes} == {"a"}

    asyncio.run(run())


TYPED: list[tuple[pa.DataType, Any, str]] = [
    (pa.bool_(), True, "true"),
    (pa.int8(), -5, "-5"),
    (pa.int64(), 7_000_000_000, "7000000000"),
    (pa.binary(), b"\x0f\xa0", "0fa0"),
    (pa.date32(), dt.date(2024, 2, 29), "2024-02-29"),
    (pa.timestamp("ms"), dt.datetime(2024, 2, 29, 1, 2, 3, 500_000), "2024-02-29-01-02-03_500"),
    (pa.float64(), 2.5, "2_5"),
]


def test_typed_partition_columns(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            for number, (data_type, value, name) in enumerate(TYPED):
                schema = pa.schema(
                    [
                        pa.field("id", pa.int64(), nullable=False),
                        pa.field("p", data_type, nullable=False),
                    ]
                )
                table = await new_table(
                    connected, f"typed{number}", schema, primary_keys=["id", "p"], partition_keys=["p"]
                )
                await create(connected, table, {"p": name})
                writer = table.new_upsert().create_writer()
                writer.upsert({"id": 1, "p": value})
                await writer.flush()
                lookuper = table.new_lookup().create_lookuper()
                assert await lookuper.lookup({"id": 1, "p": value}) == {"id": 1, "p": value}

    asyncio.run(run())


def test_decimals_cannot_be_partition_columns(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            schema = pa.schema([pa.field("n", pa.int64()), pa.field("p", pa.decimal128(10, 2))])
            assert await refused(new_table(connected, "decimals", schema, partition_keys=["p"])) == 15

    asyncio.run(run())


def test_a_dropped_partition_is_gone_and_its_name_is_free(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            admin = connected.get_admin()
            table = await new_table(
                connected, "dropped", KEYED, primary_keys=["id", "sub", "day"], partition_keys=["day"]
            )
            path = table.get_table_path()
            await create(connected, table, {"day": "a"})
            writer = table.new_upsert().create_writer()
            writer.upsert({"id": 1, "sub": 1, "day": "a", "v": "old"})
            await writer.flush()
            (before,) = (await names(connected, table)).values()
            await admin.drop_partition(path, {"day": "a"})
            async with connection(fluss_cluster.bootstrap_servers) as other:
                fresh = await other.get_table(path)
                assert await fresh.new_lookup().create_lookuper().lookup({"id": 1, "sub": 1, "day": "a"}) is None
                await other.get_admin().create_partition(path, {"day": "a"})
                (after,) = (await names(other, fresh)).values()
                assert after > before
                assert await fresh.new_lookup().create_lookuper().lookup({"id": 1, "sub": 1, "day": "a"}) is None

    asyncio.run(run())


def test_auto_partitioned_tables(fluss_cluster: Any) -> None:
    options = {"table.auto-partition.enabled": "true", "table.auto-partition.time-zone": "UTC"}
    monthly = {"table.auto-partition.time-unit": "MONTH", "table.auto-partition.time-format": "yyyy-MM"}

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            admin = connected.get_admin()
            today = dt.datetime.now(dt.timezone.utc)
            days = [(today + dt.timedelta(days=offset)).strftime("%Y%m%d") for offset in range(-8, 3)]
            table = await new_table(
                connected,
                "days",
                KEYED,
                primary_keys=["id", "sub", "day"],
                partition_keys=["day"],
                properties=options,
            )
            path = table.get_table_path()
            partitions = await names(connected, table)
            assert list(partitions) in (days[8:10], days[9:11])  # midnight may come in between
            writer = table.new_upsert().create_writer()
            key = {"id": 1, "sub": 1, "day": min(partitions)}
            writer.upsert({**key, "v": "x"})
            await writer.flush()
            assert await table.new_lookup().create_lookuper().lookup(key) == {**key, "v": "x"}
            await admin.create_partition(path, {"day": days[4]})
            assert await refused(admin.create_partition(path, {"day": days[0]})) == 43
            assert await refused(admin.create_partition(path, {"day": today.strftime("%Y-%m-%d")})) == 43

            months = await new_table(
                connected, "months", LOG, partition_keys=["day"], properties={**options, **monthly}
            )
            assert today.strftime("%Y-%m") in await names(connected, months)

            several = await new_table(
                connected,
                "several",
                LOG,
                partition_keys=["region", "day"],
                properties={**options, "table.auto-partition.key": "day"},
            )
            assert await names(connected, several) == {}
            assert several.get_table_info().get_properties()["table.auto-partition.num-precreate"] == "0"
            unnamed = new_table(connected, "unnamed", LOG, partition_keys=["region", "day"], properties=options)
            assert await refused(unnamed) == 15
            assert await refused(new_table(connected, "plain_auto", LOG, properties=options)) == 39

    asyncio.run(run())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_has_the_partitions_and_their_rows(tmp_path: Path, how: str) -> None:
    async def write(servers: str) -> None:
        async with connection(servers) as connected:
            log = await new_table(connected, "log", LOG, partition_keys=["day", "region"])
            keyed = await new_table(
                connected, "keyed", KEYED, primary_keys=["id", "sub", "day"], partition_keys=["day"]
            )
            for day in range(5):
                await create(connected, log, {"day": str(day), "region": "eu"})
                await create(connected, keyed, {"day": str(day)})
            append, upsert = log.new_append().create_writer(), keyed.new_upsert().create_writer()
            for n in range(100):
                append.append({"n": n, "day": str(n % 5), "region": "eu"})
                upsert.upsert({"id": n, "sub": 0, "day": str(n % 5), "v": str(n)})
            await append.flush()
            await upsert.flush()
            await connected.get_admin().drop_partition(log.get_table_path(), {"day": "4", "region": "eu"})

    async def check(servers: str) -> None:
        async with connection(servers) as connected:
            log = await connected.get_table(fluss.TablePath("fluss", "log"))
            keyed = await connected.get_table(fluss.TablePath("fluss", "keyed"))
            partitions = await names(connected, log)
            assert list(partitions) == ["0$eu", "1$eu", "2$eu", "3$eu"]
            for name, partition_id in partitions.items():
                rows = await read_log(log, partition_id, 1, 20)
                assert sorted(row["n"] for row in rows) == list(range(int(name[0]), 100, 5))
            lookuper = keyed.new_lookup().create_lookuper()
            for n in range(0, 100, 19):  # pyfluss waits 100 ms for more lookups
                key = {"id": n, "sub": 0, "day": str(n % 5)}
                assert await lookuper.lookup(key) == {**key, "v": str(n)}

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(write(cluster.bootstrap_servers))
        found = {path.name for path in tmp_path.glob("**/fluss/log-*/*")}
        assert sorted(found) == ["0$eu-p0", "1$eu-p2", "2$eu-p4", "3$eu-p6"]
        getattr(cluster, how)()
        cluster.start()
        asyncio.run(check(cluster.bootstrap_servers))
