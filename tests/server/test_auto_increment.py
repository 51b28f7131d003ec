"""Auto-increment columns through a whole server: pyfluss writes, lookups insert, the server dies and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import fluss
import pyarrow as pa

from clients.pyfluss_support import connection, read_changes
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

TYPES = (DataType(TypeRoot.STRING, nullable=False), DataType(TypeRoot.BIGINT), DataType(TypeRoot.STRING))
SCHEMA = pa.schema(
    [pa.field("name", pa.string(), nullable=False), pa.field("uid", pa.int64()), pa.field("note", pa.string())]
)
KEYS = key_encoder(TYPES[:1])
ROWS = row_codec(TYPES, KvFormat.COMPACTED)
Row = tuple[str, int, str | None]


async def numbered_table(connected: fluss.FlussConnection, name: str) -> fluss.FlussTable:
    path = fluss.TablePath("fluss", name)
    schema = fluss.Schema(SCHEMA, primary_keys=["name"], auto_increment_column="uid")
    descriptor = fluss.TableDescriptor(schema, bucket_count=1, properties={"table.auto-increment.cache-size": "10"})
    await connected.get_admin().create_table(path, descriptor, False)
    return await connected.get_table(path)


def lookup_request(table_id: int, names: Sequence[str]) -> pb.LookupRequest:
    request = pb.LookupRequest(table_id=table_id, insert_if_not_exists=True, acks=-1, timeout_ms=10_000)
    request.buckets_req.add(bucket_id=0, keys=[KEYS.encode([name]) for name in names])
    return request


async def find_or_insert(client: RpcClient, table_id: int, names: Sequence[str], *, insert: bool = True) -> list[Row]:
    request = lookup_request(table_id, names)
    request.insert_if_not_exists = insert
    response = await client.call(ApiKey.LOOKUP, request)
    bucket = response.buckets_resp[0]
    assert not bucket.HasField("error_code"), bucket.error_message
    return [ROWS.decode(value.values[2:]) for value in bucket.values]


def test_lookups_of_the_same_new_key_insert_one_row(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await numbered_table(connected, "users")
            table_id = table.get_table_info().table_id
            clients = [await RpcClient.connect("127.0.0.1", cluster.port) for _ in range(8)]
            names = ["ada", "bob", "cyd"]
            responses = await asyncio.gather(
                *(
                    find_or_insert(client, table_id, names[n % 3 :] + names[: n % 3])
                    for client in clients
                    for n in range(9)
                )
            )
            rows = {row for response in responses for row in response}
            assert sorted(row[0] for row in rows) == names
            assert sorted(row[1] for row in rows) == [1, 2, 3]
            changes = await read_changes(connected, table)
            assert sorted((kind, row["name"], row["uid"]) for _, _, kind, row in changes) == sorted(
                ("+I", name, uid) for name, uid, _ in rows
            )
            lookuper = table.new_lookup().create_lookuper()
            for name, uid, _ in rows:
                assert await lookuper.lookup([name]) == {"name": name, "uid": uid, "note": None}
            for client in clients:
                await client.close()

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(run(cluster))


def test_one_request_inserts_into_several_partitions(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            path = fluss.TablePath("fluss", "visits")
            columns = [pa.field("day", pa.string(), nullable=False), *SCHEMA]
            schema = fluss.Schema(pa.schema(columns), primary_keys=["name", "day"], auto_increment_column="uid")
            properties = {"table.auto-increment.cache-size": "10"}  # the next bucket begins with 11
            descriptor = fluss.TableDescriptor(schema, partition_keys=["day"], bucket_count=1, properties=properties)
            admin = connected.get_admin()
            await admin.create_table(path, descriptor, False)
            for day in ("mon", "tue"):
                await admin.create_partition(path, {"day": day})
            ids = {part.partition_name: part.partition_id for part in await admin.list_partition_infos(path)}
            table_id = (await connected.get_table(path)).get_table_info().table_id
            request = pb.LookupRequest(table_id=table_id, insert_if_not_exists=True, acks=-1, timeout_ms=10_000)
            request.buckets_req.add(bucket_id=0, partition_id=ids["mon"], keys=[KEYS.encode([n]) for n in ("a", "b")])
            request.buckets_req.add(bucket_id=0, partition_id=ids["tue"], keys=[KEYS.encode(["a"])])
            request.buckets_req.add(bucket_id=0, partition_id=999, keys=[KEYS.encode(["a"])])
            rows = row_codec((TYPES[0], *TYPES), KvFormat.COMPACTED)
            async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
                for _ in range(2):
                    mon, tue, unknown = (await client.call(ApiKey.LOOKUP, request)).buckets_resp
                    found = [rows.decode(value.values[2:]) for value in mon.values]
                    assert found == [("mon", "a", 1, None), ("mon", "b", 2, None)]
                    assert [rows.decode(value.values[2:]) for value in tue.values] == [("tue", "a", 11, None)]
                    assert unknown.error_code == ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
                    assert [mon.partition_id, tue.partition_id, unknown.partition_id] == [ids["mon"], ids["tue"], 999]
            lookuper = (await connected.get_table(path)).new_lookup().create_lookuper()
            assert await lookuper.lookup(["a", "tue"]) == {"day": "tue", "name": "a", "uid": 11, "note": None}

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(run(cluster))


def test_numbers_are_unique_across_writers_lookups_and_crashes(tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    async def live(cluster: LocalCluster, life: int) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            if life == 0:
                await numbered_table(connected, "users")
            table = await connected.get_table(fluss.TablePath("fluss", "users"))
            writer = table.new_upsert().partial_update_by_name(["name", "note"]).create_writer()
            for n in range(15):
                writer.upsert({"name": f"w{life}-{n}", "note": "written"})
            await writer.flush()
            async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
                table_id = table.get_table_info().table_id
                names = [f"l{life}-{n}" for n in range(15)] + [f"w{life}-3"]
                seen.update((name, uid) for name, uid, _ in await find_or_insert(client, table_id, names))
                names = sorted({*seen, *(f"w{life}-{n}" for n in range(15))})
                for name, uid, note in await find_or_insert(client, table_id, names, insert=False):
                    assert seen.setdefault(name, uid) == uid
                    assert note == ("written" if name.startswith("w") else None)

    with LocalCluster(tmp_path) as cluster:
        for life, end in enumerate([cluster.kill, cluster.stop, cluster.kill, None]):
            asyncio.run(live(cluster, life))
            if end is not None:
                end()
                cluster.start()
    assert len(set(seen.values())) == len(seen) == 4 * 30


def test_the_column_cannot_be_written(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await numbered_table(connected, "users")
            async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
                request = lookup_request(table.get_table_info().table_id, ["x"])
                request.buckets_req[0].keys[0] = b"\x09short"
                bucket = (await client.call(ApiKey.LOOKUP, request)).buckets_resp[0]
                assert bucket.error_code == ErrorCode.CORRUPT_RECORD_EXCEPTION
                put = pb.PutKvRequest(
                    table_id=table.get_table_info().table_id, acks=1, timeout_ms=1_000, target_columns=[0, 1]
                )
                batch = build_kv_batch(1, [(KEYS.encode(["a"]), ROWS.encode(("a", 5, None)))])
                put.buckets_req.add(bucket_id=0, records=batch)
                response = (await client.call(ApiKey.PUT_KV, put)).buckets_resp[0]
                assert response.error_code == ErrorCode.INVALID_TARGET_COLUMN

    with LocalCluster(tmp_path) as cluster:
        asyncio.run(run(cluster))
