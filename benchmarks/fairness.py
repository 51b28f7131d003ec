"""A quiet client beside clients that ask for as much as they can: its median and 99th percentile.

The quiet client looks up a row and appends one, a few times a second, from a process of its own. Beside it, one attack
after the other: each keeps the server busy with requests of one expensive kind, or with connections that never finish
what they begin. Target: the quiet client's p99 stays below 100 ms.

All of them share one machine. How much of the quiet client's time the operating system takes, rather than the server,
is measured too: by how much its own sleeps last too long ("own delay").
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from google.protobuf.message import Message

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import build_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import KvFormat, TableDescriptor
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.frames import request_prefix
from fluss_server.testing import LocalCluster
from support import percentile, print_table

TARGET_P99_MS = 100.0
QUIET_INTERVAL_S = 0.005
MIB = 1 << 20

ID = DataType(TypeRoot.BIGINT, nullable=False)
TEXT = DataType(TypeRoot.STRING)
LOG = Schema((Column("id", ID, 0),), (), highest_field_id=0)
KEYED = Schema((Column("id", ID, 0), Column("value", TEXT, 1)), ("id",), highest_field_id=1)
PREFIXED = Schema((Column("a", ID, 0), Column("b", ID, 1), Column("value", TEXT, 2)), ("a", "b"), highest_field_id=2)
ONE = key_encoder([ID])
TWO = key_encoder([ID, ID])
EMPTY_BATCH = bytes(build_batch(1, change_types=None, payload=b"", record_count=0))


@dataclass
class Tables:
    """What the attacks and the quiet client use."""

    log: int = 0
    keyed: int = 0
    prefixed: int = 0
    wide: int = 0
    quiet_log: int = 0
    quiet_keyed: int = 0


@dataclass
class Attack:
    """Clients of one kind.

    Attributes:
        name: for the table.
        frames: of one client's connection, one after the other and again; none = it only sends ``head``.
        connections: how many clients.
        window: requests that each has in flight.
        head: bytes that each sends first.
        beside: something else to do meanwhile.
    """

    name: str
    frames: list[bytes] = field(default_factory=list)
    connections: int = 8
    window: int = 8
    head: bytes = b""
    beside: Callable[[RpcClient], Awaitable[None]] | None = None


def frame(key: ApiKey, message: Message, version: int = 0) -> bytes:
    """One request; its number does not matter to those who send it."""
    body = message.SerializeToString()
    return bytes(request_prefix(key, version, 1, len(body))) + body


async def create(
    client: RpcClient,
    name: str,
    schema: Schema,
    *,
    buckets: int = 1,
    bucket_key: tuple[str, ...] = (),
    properties: dict[str, str] | None = None,
) -> int:
    key = bucket_key or schema.primary_key
    document = TableDescriptor(schema, bucket_key=key, bucket_count=buckets, properties=properties or {})
    path = pb.PbTablePath(database_name="fluss", table_name=name)
    await client.call(
        ApiKey.CREATE_TABLE,
        pb.CreateTableRequest(table_path=path, table_json=document.to_json_bytes(), ignore_if_exists=False),
        timeout_s=300,
    )
    info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
    return int(info.table_id)


async def put(client: RpcClient, table: int, records: list[tuple[bytes, bytes | None]]) -> None:
    request = pb.PutKvRequest(acks=-1, table_id=table, timeout_ms=60_000)
    request.buckets_req.add(bucket_id=0, records=build_kv_batch(1, records))
    response = await client.call(ApiKey.PUT_KV, request, timeout_s=60)
    assert not response.buckets_resp[0].HasField("error_code"), response


async def prepare(client: RpcClient) -> Tables:
    """Make and fill the tables."""
    tables = Tables()
    tables.log = await create(client, "log", LOG)
    tables.keyed = await create(client, "keyed", KEYED)
    tables.prefixed = await create(client, "prefixed", PREFIXED, bucket_key=("a",))
    tables.wide = await create(client, "wide", LOG, buckets=4_096)
    tables.quiet_log = await create(client, "quiet_log", LOG)
    tables.quiet_keyed = await create(client, "quiet_keyed", KEYED)
    rows = row_codec(KEYED.types, KvFormat.COMPACTED)
    await put(client, tables.quiet_keyed, [(ONE.encode((1,)), rows.encode((1, "quiet")))])
    await put(client, tables.keyed, [(ONE.encode((0,)), rows.encode((0, "x" * MIB)))])
    await put(client, tables.keyed, [(ONE.encode((key,)), rows.encode((key, "row"))) for key in range(1, 20_000)])
    rows = row_codec(PREFIXED.types, KvFormat.COMPACTED)
    for start in range(0, 100_000, 20_000):
        await put(
            client,
            tables.prefixed,
            [(TWO.encode((1, key)), rows.encode((1, key, "row"))) for key in range(start, start + 20_000)],
        )
    return tables


def lookup(table: int, keys: list[bytes]) -> bytes:
    request = pb.LookupRequest(table_id=table)
    request.buckets_req.add(bucket_id=0, keys=keys)
    return frame(ApiKey.LOOKUP, request)


def fetch(table: int, buckets: int, wait_ms: int, *, padding: bytes = b"") -> bytes:
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=MIB, min_bytes=1, max_wait_ms=wait_ms)
    wanted = request.tables_req.add(table_id=table, projection_pushdown_enabled=False)
    for bucket in range(buckets):
        wanted.buckets_req.add(bucket_id=bucket % 4_096, fetch_offset=0, max_fetch_bytes=MIB)
    body = request.SerializeToString() + padding
    return bytes(request_prefix(ApiKey.FETCH_LOG, 0, 1, len(body))) + body


def attacks(tables: Tables) -> list[Attack]:
    """All of them."""
    prefixes = pb.PrefixLookupRequest(table_id=tables.prefixed)
    prefixes.buckets_req.add(bucket_id=0, keys=[ONE.encode((1,))])
    many_prefixes = pb.PrefixLookupRequest(table_id=tables.prefixed)
    many_prefixes.buckets_req.add(bucket_id=0, keys=[ONE.encode((key,)) for key in range(2, 50_000)])
    offsets = pb.ListOffsetsRequest(
        follower_server_id=-1, offset_type=2, table_id=tables.wide, bucket_id=range(4_096), startTimestamp=1
    )
    stats = pb.GetTableStatsRequest(table_id=tables.wide)
    for bucket in range(4_096):
        stats.buckets_req.add(bucket_id=bucket)
    wide = pb.MetadataRequest(table_path=[pb.PbTablePath(database_name="fluss", table_name="wide")])
    empty = pb.ProduceLogRequest(acks=1, table_id=tables.log, timeout_ms=10_000)
    empty.buckets_req.add(bucket_id=0, records=EMPTY_BATCH * 20_000)
    single = pb.ProduceLogRequest(acks=1, table_id=tables.log, timeout_ms=10_000)
    single.buckets_req.add(bucket_id=0, records=EMPTY_BATCH)
    versions = pb.ApiVersionsRequest(client_software_name="flood", client_software_version="1")
    announced = struct.pack(">i", 100 * MIB) + bytes(100)
    rows = row_codec(KEYED.types, KvFormat.COMPACTED)
    aggregated = pb.PutKvRequest(acks=-1, table_id=tables.keyed, timeout_ms=60_000)
    aggregated.buckets_req.add(
        bucket_id=0, records=build_kv_batch(1, [(ONE.encode((5,)), rows.encode((5, "x" * 100)))] * 20_000)
    )

    async def wake_waiting(client: RpcClient) -> None:
        while True:
            await client.call(ApiKey.PRODUCE_LOG, single)
            await asyncio.sleep(0.2)

    return [
        Attack("100,000 absent keys in a lookup", [lookup(tables.keyed, _absent(100_000))]),
        Attack("20,000 keys in a lookup", [lookup(tables.keyed, [ONE.encode((key,)) for key in range(1, 20_000)])]),
        Attack("one row of 1 MiB, 1,000 times in a lookup", [lookup(tables.keyed, [ONE.encode((0,))] * 1_000)]),
        Attack("one row of 1 MiB, 60 times in a lookup", [lookup(tables.keyed, [ONE.encode((0,))] * 60)]),
        Attack("a prefix with 100,000 rows", [frame(ApiKey.PREFIX_LOOKUP, prefixes)]),
        Attack("50,000 prefixes", [frame(ApiKey.PREFIX_LOOKUP, many_prefixes)]),
        Attack("offsets by time of 4,096 buckets", [frame(ApiKey.LIST_OFFSETS, offsets)]),
        Attack("row counts of 4,096 buckets", [frame(ApiKey.GET_TABLE_STATS, stats)]),
        Attack("metadata of 4,096 buckets", [frame(ApiKey.GET_METADATA, wide)]),
        Attack("fetches of 20,000 buckets", [fetch(tables.wide, 20_000, 1)], window=2),
        Attack(
            "20,000 waiting fetches, and writes",
            [fetch(tables.log, 1, 60_000)],
            connections=200,
            window=100,
            beside=wake_waiting,
        ),
        Attack("20,000 empty batches in a request", [frame(ApiKey.PRODUCE_LOG, empty)]),
        Attack("empty batches, one in a request", [frame(ApiKey.PRODUCE_LOG, single)], window=500),
        Attack("API_VERSIONS", [frame(ApiKey.API_VERSIONS, versions)], connections=20, window=1_000),
        Attack("upserts of one key, 20,000 in a batch", [frame(ApiKey.PUT_KV, aggregated)]),
        Attack("100 MiB announced, nothing sent", head=announced, connections=20),
        Attack(
            "waiting fetches padded with unknown fields",
            [fetch(tables.log, 1, 60_000, padding=_unknown_field(MIB))],
            connections=20,
            window=20,
        ),
    ]


def _absent(count: int) -> list[bytes]:
    return [ONE.encode((10_000_000 + key,)) for key in range(count)]


def _unknown_field(size: int) -> bytes:
    """A field that no version of a message has."""
    return b"\xfa\x7f" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + bytes(size)


# ---- the clients


async def attack_once(port: int, attack: Attack, stop: asyncio.Event, counts: dict[str, int]) -> None:
    """One connection of an attack, opened again when the server closes it."""
    while not stop.is_set():
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(attack.head)
                if not attack.frames:
                    await reader.read(1)
                    continue
                for index in range(attack.window):
                    writer.write(attack.frames[index % len(attack.frames)])
                while not stop.is_set():
                    (length,) = struct.unpack(">i", await reader.readexactly(4))
                    await reader.readexactly(length)
                    counts["responses"] += 1
                    writer.write(attack.frames[0])
                    await writer.drain()
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def attacking(port: int, attack: Attack) -> AsyncIterator[dict[str, int]]:
    stop, counts = asyncio.Event(), {"responses": 0}
    client = await RpcClient.connect("127.0.0.1", port)
    clients = [asyncio.ensure_future(attack_once(port, attack, stop, counts)) for _ in range(attack.connections)]
    if attack.beside is not None:
        clients.append(asyncio.ensure_future(attack.beside(client)))
    try:
        yield counts
    finally:
        stop.set()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await client.close()


def quiet_client(port: int, tables: Tables, pipe: Connection) -> None:
    """A process: measures for as many seconds as it is told, and reports milliseconds."""

    async def run() -> None:
        key = pb.LookupRequest(table_id=tables.quiet_keyed)
        key.buckets_req.add(bucket_id=0, keys=[ONE.encode((1,))])
        row = pb.ProduceLogRequest(acks=-1, table_id=tables.quiet_log, timeout_ms=60_000)
        row.buckets_req.add(bucket_id=0, records=EMPTY_BATCH)
        async with await RpcClient.connect("127.0.0.1", port) as client:
            while (seconds := pipe.recv()) is not None:
                measured: list[float] = []
                delays: list[float] = []
                end = time.perf_counter() + seconds
                calls: list[tuple[ApiKey, Any]] = [(ApiKey.LOOKUP, key), (ApiKey.PRODUCE_LOG, row)]
                while time.perf_counter() < end:
                    for api, request in calls:
                        begin = time.perf_counter()
                        await client.call(api, request, timeout_s=60)
                        measured.append((time.perf_counter() - begin) * 1000)
                        begin = time.perf_counter()
                        await asyncio.sleep(QUIET_INTERVAL_S)
                        delays.append((time.perf_counter() - begin - QUIET_INTERVAL_S) * 1000)
                pipe.send((measured, delays))

    asyncio.run(run())


async def measure(pipe: Connection, seconds: float) -> tuple[list[float], list[float]]:
    """The quiet client's times and its own delays."""
    pipe.send(seconds)
    measured, delays = await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    return measured, delays


async def run(cluster: LocalCluster, seconds: float, chosen: str) -> bool:
    async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
        tables = await prepare(client)
    ours, theirs = multiprocessing.Pipe()
    quiet = multiprocessing.get_context("spawn").Process(target=quiet_client, args=(cluster.port, tables, theirs))
    quiet.start()
    rows = []
    fair = True
    try:
        for attack in [Attack("alone", connections=0), *attacks(tables)]:
            if chosen not in attack.name and attack.connections:
                continue
            async with attacking(cluster.port, attack) as counts:
                await asyncio.sleep(1.0)
                found, delays = await measure(ours, seconds)
            p50, p99, worst = percentile(found, 0.5), percentile(found, 0.99), max(found)
            fair = fair and p99 < TARGET_P99_MS
            verdict = "" if not attack.connections else "met" if p99 < TARGET_P99_MS else "**missed**"
            own = f"{percentile(delays, 0.99):.1f}"
            rows.append(
                [attack.name, f"{p50:.1f}", f"{p99:.1f}", f"{worst:.0f}", own, f"{counts['responses']:,}", verdict]
            )
            print(" | ".join(rows[-1]), flush=True)
            await asyncio.sleep(0.5)
        ours.send(None)
    finally:
        quiet.join(10)
        if quiet.is_alive():
            quiet.kill()
    print_table(
        f"A quiet client beside others, {seconds:.0f} s each",
        [
            "others",
            "p50 ms",
            "p99 ms",
            "worst ms",
            "own delay p99 ms",
            "responses to the others",
            f"p99 < {TARGET_P99_MS:.0f} ms",
        ],
        rows,
    )
    return fair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each attack")
    parser.add_argument("--only", default="", help="attacks whose name has this in it")
    arguments = parser.parse_args()
    with LocalCluster(options={"max.bucket.num": "10000"}) as cluster:
        fair = asyncio.run(run(cluster, arguments.seconds, arguments.only))
    sys.exit(not fair)


if __name__ == "__main__":
    main()
