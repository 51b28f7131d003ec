"""The unmodified ``pyfluss`` on primary-key tables of a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, every_type_batch, new_table, read_changes, replay

SIMPLE = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("score", pa.int32()),
        pa.field("note", pa.string()),
    ]
)


def test_every_scalar_type_is_looked_up_equal(fluss_cluster: Any) -> None:
    batch = every_type_batch()

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "types", batch.schema, primary_keys=["id"])
            writer = table.new_upsert().create_writer()
            for row in batch.to_pylist():
                writer.upsert(row)
            await writer.flush()
            lookuper = table.new_lookup().create_lookuper()
            for row in batch.to_pylist():
                assert await lookuper.lookup({"id": row["id"]}) == row
            assert await lookuper.lookup({"id": 99}) is None
            changes = await read_changes(connected, table)
            assert [kind for _, _, kind, _ in changes] == ["+I"] * 5
            assert [row for *_, row in changes] == batch.to_pylist()

    asyncio.run(run())


def test_upsert_partial_update_and_delete_make_a_complete_changelog(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "changes", SIMPLE, primary_keys=["id"])
            writer = table.new_upsert().create_writer()
            writer.upsert({"id": 1, "name": "a", "score": 1, "note": "n"})
            await writer.flush()
            writer.upsert({"id": 1, "name": "b", "score": 2, "note": None})
            await writer.flush()
            partial = table.new_upsert().partial_update_by_name(["id", "score"]).create_writer()
            partial.upsert({"id": 1, "score": 3})
            partial.upsert({"id": 2, "score": 30})
            await partial.flush()
            writer.delete({"id": 1})
            writer.delete({"id": 7})
            await writer.flush()
            changes = await read_changes(connected, table)
            assert [(kind, tuple(row.values())) for _, _, kind, row in changes] == [
                ("+I", (1, "a", 1, "n")),
                ("-U", (1, "a", 1, "n")),
                ("+U", (1, "b", 2, None)),
                ("-U", (1, "b", 2, None)),
                ("+U", (1, "b", 3, None)),
                ("+I", (2, None, 30, None)),
                ("-D", (1, "b", 3, None)),
            ]
            lookuper = table.new_lookup().create_lookuper()
            assert await lookuper.lookup({"id": 1}) is None
            assert await lookuper.lookup({"id": 2}) == {"id": 2, "name": None, "score": 30, "note": None}

    asyncio.run(run())


def test_partial_update_needs_the_key_columns(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "partial_key", SIMPLE, primary_keys=["id"])

            async def write() -> None:
                writer = table.new_upsert().partial_update_by_name(["name", "score"]).create_writer()
                writer.upsert({"name": "x", "score": 1})
                await writer.flush()

            with pytest.raises(fluss.FlussError):
                await write()

    asyncio.run(run())


def test_an_acknowledged_upsert_is_seen_by_the_next_lookup(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "visible", SIMPLE, primary_keys=["id"], bucket_count=3)
            writer = table.new_upsert().create_writer()
            lookuper = table.new_lookup().create_lookuper()
            for value in range(20):
                writer.upsert({"id": value % 3, "name": str(value), "score": value, "note": None})
                await writer.flush()
                found = await lookuper.lookup({"id": value % 3})
                assert found is not None
                assert found["score"] == value

    asyncio.run(run())


def test_prefix_lookup_returns_every_row_of_the_prefix(fluss_cluster: Any) -> None:
    schema = pa.schema(
        [
            pa.field("shop", pa.string(), nullable=False),
            pa.field("item", pa.int64(), nullable=False),
            pa.field("amount", pa.int32()),
        ]
    )

    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected, "prefixes", schema, primary_keys=["shop", "item"], bucket_keys=["shop"], bucket_count=3
            )
            writer = table.new_upsert().create_writer()
            for shop in ("a", "ab", "b"):
                for item in range(10):
                    writer.upsert({"shop": shop, "item": item, "amount": item})
            await writer.flush()
            lookuper = table.new_lookup().lookup_by(["shop"]).create_lookuper()
            for shop in ("a", "ab", "b"):
                rows = await lookuper.lookup({"shop": shop})
                assert {row["item"] for row in rows} == set(range(10))
                assert len(rows) == 10
                assert {row["shop"] for row in rows} == {shop}
            assert await lookuper.lookup({"shop": "c"}) == []

    asyncio.run(run())


def test_limit_scan_and_scan_of_all(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "limited_kv", SIMPLE, primary_keys=["id"])
            writer = table.new_upsert().create_writer()
            for value in range(100):
                writer.upsert({"id": value, "name": f"n{value}", "score": value, "note": None})
            await writer.flush()
            bucket = fluss.TableBucket(table.get_table_info().table_id, 0)
            some = await table.new_scan().limit(10).create_bucket_batch_scanner(bucket).to_arrow()
            assert some.num_rows == 10
            everything = await table.new_scan().limit(1000).create_bucket_batch_scanner(bucket).to_arrow()
            assert sorted(everything["id"].to_pylist()) == list(range(100))
            assert dict(zip(everything["id"].to_pylist(), everything["name"].to_pylist(), strict=True))[42] == "n42"

    asyncio.run(run())


def test_changelog_replay_equals_the_table_after_many_mixed_writes(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            table = await new_table(connected, "mixed", SIMPLE, primary_keys=["id"], bucket_count=2)
            expected: dict[int, dict[str, Any]] = {}
            writer = table.new_upsert().create_writer()
            for step in range(3000):
                key = (step * 7919) % 211
                if step % 5 == 0:
                    writer.delete({"id": key})
                    expected.pop(key, None)
                else:
                    row = {
                        "id": key,
                        "name": f"s{step}",
                        "score": step,
                        "note": None if step % 3 else "x" * (step % 50),
                    }
                    writer.upsert(row)
                    expected[key] = row
            await writer.flush()
            changes = await read_changes(connected, table)
            by_bucket: dict[int, list[Any]] = {}
            for change in changes:
                by_bucket.setdefault(change[0], []).append(change)
            state: dict[Any, dict[str, Any]] = {}
            for part in by_bucket.values():
                state.update(replay(part, "id"))
            assert state == expected

    asyncio.run(run())


def test_writing_the_wrong_way_is_refused(fluss_cluster: Any) -> None:
    async def run() -> None:
        async with connection(fluss_cluster.bootstrap_servers) as connected:
            log = await new_table(connected, "no_key", SIMPLE)
            keyed = await new_table(connected, "with_key", SIMPLE, primary_keys=["id"])
            with pytest.raises(fluss.FlussError):
                log.new_upsert().create_writer()

            async def append() -> None:
                writer = keyed.new_append().create_writer()
                writer.append([1, "a", 1, None])
                await writer.flush()

            with pytest.raises(fluss.FlussError):
                await append()

    asyncio.run(run())
