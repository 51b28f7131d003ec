"""Writes to tables with an auto-increment column: the KV worker never waits for ids."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.replica import Replica
from fluss_server.runtime import InlineWorkers, SystemClock
from kv_support import Bucket, make_table, open_bucket
from unit.kv.test_auto_increment import NAME, SCHEMA

WORKERS = InlineWorkers()
Reserve = Callable[[int], Awaitable[int]]


def replica_of(bucket: Bucket, reserve: Reserve | None = None) -> Replica:
    pool = WORKERS.pool("inline", 1)  # with threads a worker that waits would only be slow; here nothing would go on
    return Replica(
        TableBucket(bucket.table.table_id, None, 0),
        bucket.table,
        bucket.log,
        bucket.kv,
        schemas=lambda schema_id: bucket.table.schema,
        clock=SystemClock(),
        flush_pool=pool,
        kv_worker=pool,
        read_pool=pool,
        reserve_ids=reserve,
    )


def test_a_slow_coordinator_holds_up_nobody_else(tmp_path: Path) -> None:
    async def run() -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def reserve(count: int) -> int:
            asked.set()
            await answer.wait()
            return 1

        numbered = open_bucket(tmp_path / "numbered", make_table(SCHEMA, cache_size="10"))
        plain = open_bucket(tmp_path / "plain")
        slow, other = replica_of(numbered, reserve), replica_of(plain)
        row = memoryview(numbered.batch([("a", None, "x")], writer_id=3, batch_sequence=0))
        again = memoryview(numbered.batch([("a", None, "y")], writer_id=3, batch_sequence=1))
        puts = [asyncio.ensure_future(slow.put(batch, NAME)) for batch in (row, again)]
        await asyncio.wait_for(asked.wait(), 10)
        result = await asyncio.wait_for(other.put(memoryview(plain.batch([(1, "one", None)])), []), 10)
        await asyncio.wait_for(other.acknowledged(result), 10)
        assert plain.get(1) == (1, "one", None)
        assert not any(put.done() for put in puts)
        answer.set()
        for put in puts:
            await asyncio.wait_for(slow.acknowledged(await put), 10)
        assert numbered.get("a") == ("a", 1, None)
        found, _ = await slow.find_or_insert([numbered.key("b"), numbered.key("c")])
        assert [numbered.decode(value) for value in found] == [("b", 2, None), ("c", 3, None)]
        for replica in (slow, other):
            await replica.close()

    asyncio.run(run())


def test_a_coordinator_that_gives_no_ids_fails_the_write_and_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        failing = True

        async def reserve(count: int) -> int:
            if failing:
                raise FlussError(ErrorCode.STORAGE_EXCEPTION, "full")
            return 1

        bucket = open_bucket(tmp_path, make_table(SCHEMA, cache_size="10"))
        replica = replica_of(bucket, reserve)
        batch = memoryview(bucket.batch([("a", None, None)]))
        with pytest.raises(FlussError, match="full"):
            await replica.put(batch, NAME)
        assert bucket.log.end_offset == 0
        failing = False
        await replica.acknowledged(await replica.put(batch, NAME))
        assert bucket.get("a") == ("a", 1, None)
        await replica.close()

    asyncio.run(run())
