"""A disk that is full when RocksDB writes, and when the server starts or stops: no restart is needed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.client import RpcClient
from table_rpc import create_table, put, read

TYPES = (DataType(TypeRoot.INTEGER, nullable=False), DataType(TypeRoot.STRING))
SCHEMA = Schema.from_json(
    {
        "columns": [
            {"name": "id", "data_type": {"type": "INTEGER", "nullable": False}},
            {"name": "v", "data_type": {"type": "STRING"}},
        ],
        "primary_key": ["id"],
    }
)
KEYS, ROWS = key_encoder(TYPES[:1]), row_codec(TYPES, KvFormat.COMPACTED)
OPTIONS = {"server.data-disk.write-limit-ratio": "1.0", "server.data-disk.write-recover-ratio": "0.99"}
LIMIT_S = 30.0

pytestmark = pytest.mark.slow


def batch(keys: Sequence[int], **writer: int) -> bytes:
    """Upserts of rows of about 4 KB that do not compress."""
    rows = [(KEYS.encode([key]), ROWS.encode((key, f"{key}-" + os.urandom(2000).hex()))) for key in keys]
    return build_kv_batch(1, rows, **writer)


async def found(client: RpcClient, table_id: int, keys: Sequence[int]) -> list[bool] | ErrorCode:
    """Which keys have a row, or the error of the bucket."""
    request = pb.LookupRequest(table_id=table_id)
    request.buckets_req.add(bucket_id=0, keys=[KEYS.encode([key]) for key in keys])
    response: Any = (await client.call(ApiKey.LOOKUP, request)).buckets_resp[0]
    return (
        ErrorCode(response.error_code) if response.HasField("error_code") else [bool(v.values) for v in response.values]
    )


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not await check():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        await asyncio.sleep(0.05)


def fill(directory: Path, leave: int) -> Path:
    """A file that takes all of the disk but ``leave`` bytes."""
    ballast = directory / "ballast"
    about = os.statvfs(directory)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, about.f_bavail * about.f_frsize - leave))
    return ballast


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[tuple[LocalServer, RpcClient]]:
    """A server on a data directory, and a client."""
    server = LocalServer(data, options=OPTIONS)
    await server.start()
    try:
        async with await RpcClient.connect("127.0.0.1", server.port) as client:
            yield server, client
    finally:
        await server.close()


def replica_of(server: LocalServer) -> Any:
    (replica,) = server.tablet_server.replicas.replicas()
    return replica


async def fail_to_flush(server: LocalServer) -> None:
    """RocksDB begins to write its memtable by itself, as it does with one that is full, and fails."""
    store = replica_of(server).kv._readable_rows()._store
    store.flush(wait=False)

    async def failed() -> bool:
        return bool(store._property("property_int_value", "rocksdb.background-errors"))

    await eventually(failed, "RocksDB finds the disk full")


def test_a_disk_that_fills_during_a_flush_of_rocksdb(small_disk: Path) -> None:
    """Writers are told, rows stay readable, and with space the same server takes writes again."""

    async def run() -> None:
        data = small_disk / "data"
        async with serving(data) as (server, client):
            table_id = await create_table(client, "t", SCHEMA)
            assert not (await put(client, table_id, batch(range(100)))).HasField("error_code")
            await replica_of(server).persist()
            second = batch(range(100, 600), writer_id=7, batch_sequence=0)
            ballast = fill(small_disk, len(second) + (256 << 10))
            assert not (await put(client, table_id, second)).HasField("error_code")
            with pytest.raises(FlussError, match="disk space") as caught:
                await replica_of(server).persist()
            assert caught.value.code is ErrorCode.DISK_WRITE_LOCKED
            assert replica_of(server).is_online  # nothing is broken yet
            await fail_to_flush(server)

            assert (await put(client, table_id, batch([600]))).error_code == ErrorCode.DISK_WRITE_LOCKED
            assert not replica_of(server).is_online
            problem = replica_of(server).problem
            assert problem is not None
            assert "No space left" in problem.message
            assert "goes on by itself" in (problem.hint or "")
            for _ in range(3):
                refused = await put(client, table_id, batch([601]))
                assert refused.error_code == ErrorCode.DISK_WRITE_LOCKED, refused
                assert "free disk space" in refused.error_message
            assert await found(client, table_id, [0, 599, 601]) == [True, True, False]
            ballast.unlink()

            async def written() -> bool:
                return not (await put(client, table_id, batch([602]))).HasField("error_code")

            await eventually(written, "writes are taken again")
            assert replica_of(server).is_online
            assert replica_of(server).problem is None
            assert await found(client, table_id, [0, 599, 600, 601, 602]) == [True, True, True, False, True]
            assert replica_of(server).row_count == 602
            await replica_of(server).persist()
        async with serving(data) as (server, client):
            assert await found(client, table_id, [0, 599, 600, 601, 602]) == [True, True, True, False, True]
            assert replica_of(server).row_count == 602

    asyncio.run(run())


def test_a_commit_that_met_a_full_disk_is_finished_later(small_disk: Path) -> None:
    """Its writer is told at once, and the batch it repeats is a duplicate that is acknowledged."""

    async def run() -> None:
        async with serving(small_disk / "data") as (server, client):
            table_id = await create_table(client, "t", SCHEMA)
            first = batch(range(500))
            assert not (await put(client, table_id, first)).HasField("error_code")
            ballast = fill(small_disk, 256 << 10)
            await fail_to_flush(server)
            mine = batch([1000], writer_id=7, batch_sequence=0)

            assert (await put(client, table_id, mine)).error_code == ErrorCode.DISK_WRITE_LOCKED
            ballast.unlink()

            async def taken() -> bool:
                return not (await put(client, table_id, mine)).HasField("error_code")

            await eventually(taken, "the repeated batch is acknowledged")
            high_watermark, _ = await read(client, table_id)
            assert high_watermark == 501
            assert await found(client, table_id, [0, 499, 1000]) == [True, True, True]

    asyncio.run(run())


def test_a_server_starts_and_stops_on_a_full_disk(small_disk: Path) -> None:
    async def run() -> None:
        data = small_disk / "data"
        async with serving(data) as (_, client):
            table_id = await create_table(client, "t", SCHEMA)
            assert not (await put(client, table_id, batch(range(50)))).HasField("error_code")
        ballast = fill(small_disk, 0)
        async with serving(data) as (server, client):
            high_watermark, _ = await read(client, table_id)
            assert high_watermark == 50
            assert not replica_of(server).is_online
            assert replica_of(server).problem is not None
            assert await found(client, table_id, [0]) is ErrorCode.DISK_WRITE_LOCKED
            refused = await put(client, table_id, batch([50]))
            assert refused.error_code == ErrorCode.DISK_WRITE_LOCKED
            ballast.unlink()

            async def readable() -> bool:
                return await found(client, table_id, [0, 49, 50]) == [True, True, False]

            await eventually(readable, "rows are readable")
            assert not (await put(client, table_id, batch([50]))).HasField("error_code")

    asyncio.run(run())


def test_a_persist_that_has_no_space_does_not_block(small_disk: Path) -> None:
    """RocksDB would sleep for a second in the thread that flushes all of its databases."""

    async def run() -> None:
        async with serving(small_disk / "data") as (server, client):
            table_id = await create_table(client, "t", SCHEMA, buckets=8)
            for bucket in range(8):
                response = await put(client, table_id, batch(range(50)), bucket=bucket)
                assert not response.HasField("error_code")
            ballast = fill(small_disk, 0)
            started = time.monotonic()
            for replica in server.tablet_server.replicas.replicas():
                with pytest.raises(FlussError, match="disk space"):
                    await replica.persist()
            assert time.monotonic() - started < 2
            ballast.unlink()
            for replica in server.tablet_server.replicas.replicas():
                await replica.persist()

    asyncio.run(run())
