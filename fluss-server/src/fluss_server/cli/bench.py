"""``fluss bench``: what a running server does for one client on this machine, through the native protocol.

Each of the two tables has one bucket; in a cluster its leader is measured, with as many replicas as new tables get.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.leaders import NO_LEADER_LIMIT_S
from fluss_server.cli.output import note, print_rows
from fluss_server.cli.session import Session, path_message, raise_bucket_error
from fluss_server.cli.table_writer import TableKeys
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import iter_batches
from fluss_server.model.identifiers import TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo

if TYPE_CHECKING:
    import pyarrow as pa

    from fluss_server.rpc.client import RpcClient

_IN_FLIGHT = 4
_BATCH_ROWS = 10_000
_LOOKUPS = 2_000
_TIMEOUT_MS = 60_000
_PAUSE_S = 0.1
_COLUMNS = (
    ("id", "BIGINT", False),
    ("device", "INTEGER", True),
    ("reading", "DOUBLE", True),
    ("label", "STRING", True),
)


class _Leader(NamedTuple):
    """Where the leader of a bucket is, and how many replicas the bucket has."""

    host: str
    port: int
    replicas: int


def bench(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss bench``"""
    database = f"fluss_bench_{os.getpid()}"
    session.call(
        ApiKey.CREATE_DATABASE,
        pb.CreateDatabaseRequest(
            database_name=database, ignore_if_exists=False, database_json=DatabaseDescriptor().to_json_bytes()
        ),
    )
    try:
        log_table = _create(session, TablePath(database, "log"), primary_key=False)
        kv_table = _create(session, TablePath(database, "kv"), primary_key=True)
        leaders = _leader(session, log_table), _leader(session, kv_table)
        _note(parsed.rows, *leaders)
        rows = asyncio.run(_measure(session, (log_table, leaders[0]), (kv_table, leaders[1]), parsed.rows))
    finally:
        session.call(
            ApiKey.DROP_DATABASE,
            pb.DropDatabaseRequest(database_name=database, ignore_if_not_exists=True, cascade=True),
        )
    print_rows(("work", "rate", "unit", "p50_ms", "p99_ms"), rows, parsed.output)


def _create(session: Session, path: TablePath, *, primary_key: bool) -> TableInfo:
    columns = [{"name": name, "data_type": {"type": kind, "nullable": nullable}} for name, kind, nullable in _COLUMNS]
    schema: dict[str, Any] = {"version": 1, "columns": columns}
    if primary_key:
        schema["primary_key"] = ["id"]
    descriptor = TableDescriptor.from_json(
        {"version": 1, "schema": schema, "bucket_count": 1, "properties": {}, "custom_properties": {}}
    )
    request = pb.CreateTableRequest(
        table_path=path_message(path), table_json=descriptor.to_json_bytes(), ignore_if_exists=False
    )
    session.call(ApiKey.CREATE_TABLE, request)
    return session.table(str(path))


def _leader(session: Session, table: TableInfo) -> _Leader:
    """Who leads the bucket of a new table; ``LEADER_NOT_AVAILABLE_EXCEPTION`` when nobody does for some seconds."""
    deadline = time.monotonic() + NO_LEADER_LIMIT_S
    while True:
        metadata = session.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path_message(table.path)]))
        servers = {server.node_id: server for server in metadata.tablet_servers}
        for bucket in (entry for found in metadata.table_metadata for entry in found.bucket_metadata):
            if bucket.HasField("leader_id") and bucket.leader_id in servers:
                server = servers[bucket.leader_id]
                return _Leader(server.host, server.port, len(bucket.replica_id))
        if time.monotonic() > deadline:
            raise FlussError(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, f"the bucket of {table.path} has no leader")
        time.sleep(_PAUSE_S)


def _note(rows: int, log: _Leader, kv: _Leader) -> None:
    where = f"{log.host}:{log.port}"
    if kv != log:
        where += f" for the log table, {kv.host}:{kv.port} for the table with a primary key"
    replicas = "" if log.replicas == 1 else f", {log.replicas} replicas"
    note(f"{rows} rows of {len(_COLUMNS)} columns{replicas}, {where}, one connection")


async def _measure(
    session: Session, log: tuple[TableInfo, _Leader], kv: tuple[TableInfo, _Leader], rows: int
) -> list[list[Any]]:
    from fluss_server.rpc.client import RpcClient

    async def connected(leader: _Leader) -> RpcClient:
        return await RpcClient.connect(leader.host, leader.port, authentication=session.authentication)

    async with await connected(log[1]) as client:
        found = [await _append(client, log[0], rows), await _scan(client, log[0], rows)]
    async with await connected(kv[1]) as client:
        return [*found, await _upsert(client, kv[0], rows), await _look_up(client, kv[0], rows)]


async def _append(client: RpcClient, table: TableInfo, rows: int) -> list[Any]:
    from fluss_server.formats.arrow_batch import encode_payload
    from fluss_server.formats.log_batch import build_batch

    payload = encode_payload(_rows(table, 0, _BATCH_ROWS), table.arrow_compression, table.arrow_compression_level)
    batch = bytes(build_batch(table.schema_id, change_types=None, payload=payload, record_count=_BATCH_ROWS))
    batches = max(rows // _BATCH_ROWS, 1)

    async def one(number: int) -> None:
        request = pb.ProduceLogRequest(acks=-1, table_id=table.table_id, timeout_ms=_TIMEOUT_MS)
        request.buckets_req.add(bucket_id=0, records=batch)
        raise_bucket_error((await client.call(ApiKey.PRODUCE_LOG, request)).buckets_resp[0])

    return _result("append", "rows/s", _BATCH_ROWS, await _timed(one, batches))


async def _scan(client: RpcClient, table: TableInfo, rows: int) -> list[Any]:
    end = max(rows // _BATCH_ROWS, 1) * _BATCH_ROWS
    offset = fetches = 0
    started = time.perf_counter()
    durations = []
    while offset < end:
        request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=16 << 20, max_wait_ms=500, min_bytes=1)
        wanted = request.tables_req.add(table_id=table.table_id, projection_pushdown_enabled=False)
        wanted.buckets_req.add(bucket_id=0, fetch_offset=offset, max_fetch_bytes=16 << 20)
        sent = time.perf_counter()
        bucket = (await client.call(ApiKey.FETCH_LOG, request)).tables_resp[0].buckets_resp[0]
        durations.append(time.perf_counter() - sent)
        raise_bucket_error(bucket)
        for _, header in iter_batches(bucket.records):
            offset = header.next_offset
        fetches += 1
    return _result("scan", "rows/s", end / fetches, (durations, time.perf_counter() - started))


async def _upsert(client: RpcClient, table: TableInfo, rows: int) -> list[Any]:
    from fluss_server.formats.columns import record_batch_to_rows
    from fluss_server.formats.kv_batch import build_kv_batch

    keys = TableKeys(table)

    async def one(number: int) -> None:
        page = _rows(table, number * _BATCH_ROWS, _BATCH_ROWS)
        encoded = record_batch_to_rows(table.schema, table.kv_format, page)
        request = pb.PutKvRequest(acks=-1, table_id=table.table_id, timeout_ms=_TIMEOUT_MS)
        records = zip(keys.keys(page.columns), encoded, strict=True)
        request.buckets_req.add(bucket_id=0, records=build_kv_batch(table.schema_id, records))
        raise_bucket_error((await client.call(ApiKey.PUT_KV, request, timeout_s=120)).buckets_resp[0])

    return _result("upsert", "rows/s", _BATCH_ROWS, await _timed(one, max(rows // _BATCH_ROWS, 1)))


async def _look_up(client: RpcClient, table: TableInfo, rows: int) -> list[Any]:
    keys = TableKeys(table)
    written = max(rows // _BATCH_ROWS, 1) * _BATCH_ROWS

    async def one(number: int) -> None:
        request = pb.LookupRequest(table_id=table.table_id)
        request.buckets_req.add(bucket_id=0, keys=[keys.key_of([number * 7919 % written], 1)[0]])
        response = (await client.call(ApiKey.LOOKUP, request)).buckets_resp[0]
        raise_bucket_error(response)
        assert response.values[0].HasField("values"), "a row that was upserted is missing"

    return _result("lookup", "keys/s", 1, await _timed(one, _LOOKUPS))


async def _timed(one: Callable[[int], Awaitable[None]], count: int) -> tuple[list[float], float]:
    """Durations of ``count`` calls, a few at a time, and of all together, in seconds."""
    durations: list[float] = []
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            started = time.perf_counter()
            await one(number)
            durations.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(_IN_FLIGHT)))
    return durations, time.perf_counter() - started


def _result(work: str, unit: str, rows_each: float, timed: tuple[list[float], float]) -> list[Any]:
    durations, total = timed
    ordered = sorted(durations)
    p99 = ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    rate = round(len(durations) * rows_each / total)
    return [work, rate, unit, round(statistics.median(ordered) * 1000, 2), round(p99 * 1000, 2)]


def _rows(table: TableInfo, first: int, count: int) -> pa.RecordBatch:
    import pyarrow as pa

    from fluss_server.formats.arrow_types import arrow_schema

    numbers = range(first, first + count)
    columns = [
        pa.array(numbers, pa.int64()),
        pa.array([number % 1000 for number in numbers], pa.int32()),
        pa.array([number * 0.37 % 100 for number in numbers], pa.float64()),
        pa.array([f"label-{number % 5000}" for number in numbers], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(table.schema))
