"""A real server killed over and over while the real ``pyfluss`` writes to it.

The writers live through all crashes: pyfluss resends what was not acknowledged, with the same writer id and sequence
numbers. So in the end every row must be there exactly once, every key must have its last value, and the changelog
must tell the same story.

``FLUSS_CRASH_ROUNDS`` sets the number of kills, ``FLUSS_CRASH_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, end_offsets, new_table, read_changes, replay
from fluss_server.testing import LocalCluster

ROUNDS = int(os.environ.get("FLUSS_CRASH_ROUNDS", "40"))
SEED = int(os.environ.get("FLUSS_CRASH_SEED", str(time.time_ns() % 2**32)))
PROGRESS_DEADLINE_S = 60.0
FORGOTTEN = (fluss.ErrorCode.TABLE_NOT_EXIST, fluss.ErrorCode.INVALID_TABLE_EXCEPTION)
RETRY = {"writer.batch-timeout-ms": "2"}

LOG_SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("text", pa.string())])
KV_SCHEMA = pa.schema(
    [pa.field("id", pa.int64(), nullable=False), pa.field("a", pa.int64()), pa.field("b", pa.string())]
)


class Target:
    """A table and its connection. When no server answers, pyfluss forgets its tables, until it is asked for them."""

    def __init__(self, connected: fluss.FlussConnection, table: fluss.FlussTable) -> None:
        self._connected = connected
        self.table = table

    async def write(self, operation: Callable[[], fluss.WriteResultHandle]) -> fluss.WriteResultHandle:
        """Hand a row to pyfluss."""
        deadline = time.monotonic() + PROGRESS_DEADLINE_S
        while True:
            try:
                return operation()
            except fluss.FlussError as error:
                if error.error_code not in FORGOTTEN or time.monotonic() > deadline:
                    raise
            with contextlib.suppress(fluss.FlussError):
                await self._connected.get_table(self.table.get_table_path())
            await asyncio.sleep(0.01)


async def all_acknowledged(
    writer: fluss.AppendWriter | fluss.UpsertWriter, handles: list[fluss.WriteResultHandle]
) -> None:
    """Until every row is acknowledged; raises what went wrong with one, which ``flush`` alone does not."""
    await writer.flush()
    for handle in handles:
        await handle.wait()


class Appender:
    """Appends 0, 1, 2, ... and knows which rows are acknowledged."""

    def __init__(self, target: Target, rng: random.Random) -> None:
        self._write = target.write
        self._writer = target.table.new_append().create_writer()
        self._rng = rng
        self.acknowledged = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            count = self._rng.randrange(1, 200)
            handles = []
            for value in range(self.acknowledged, self.acknowledged + count):
                append = functools.partial(self._writer.append, [value, "t" * (value % 40)])
                handles.append(await self._write(append))
            await all_acknowledged(self._writer, handles)
            self.acknowledged += count


class Upserter:
    """Upserts, updates partially and deletes; ``state`` is what is acknowledged."""

    def __init__(self, target: Target, rng: random.Random) -> None:
        self._write = target.write
        self._full = target.table.new_upsert().create_writer()
        self._partial = target.table.new_upsert().partial_update_by_name(["id", "a"]).create_writer()
        self._rng = rng
        self.state: dict[int, dict[str, Any]] = {}
        self.operations = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            changed = {key: dict(row) for key, row in self.state.items()}
            partial = self._rng.random() < 0.3
            writer = self._partial if partial else self._full
            handles = []
            for _ in range(self._rng.randrange(1, 100)):
                key, value = self._rng.randrange(300), self._rng.randrange(2**40)
                if not partial and self._rng.random() < 0.2:
                    operation = functools.partial(writer.delete, {"id": key})
                    changed.pop(key, None)
                elif partial:
                    operation = functools.partial(writer.upsert, {"id": key, "a": value})
                    changed[key] = {"id": key, "a": value, "b": changed.get(key, {}).get("b")}
                else:
                    changed[key] = {"id": key, "a": value, "b": f"b{value}"}
                    operation = functools.partial(writer.upsert, changed[key])
                handles.append(await self._write(operation))
                self.operations += 1
            await all_acknowledged(writer, handles)
            self.state = changed


async def wait_for_progress(appender: Appender, upserter: Upserter, tasks: list[asyncio.Task[None]]) -> None:
    """Until both writers got something acknowledged after now."""
    rows, operations = appender.acknowledged, upserter.operations
    state = upserter.state
    deadline = time.monotonic() + PROGRESS_DEADLINE_S
    while appender.acknowledged == rows or upserter.state is state or upserter.operations == operations:
        for task in tasks:
            if task.done():
                task.result()
        assert time.monotonic() < deadline, "the writers make no progress after a restart"
        await asyncio.sleep(0.005)


async def check_log(bootstrap_servers: str, appender: Appender) -> None:
    """A fresh client sees every acknowledged row, and none twice."""
    acknowledged = appender.acknowledged
    async with connection(bootstrap_servers) as connected:
        table = await connected.get_table(fluss.TablePath("fluss", "log"))
        counts = Counter(row["n"] for *_, row in await read_changes(connected, table))
    missing = [value for value in range(acknowledged) if value not in counts]
    assert not missing, f"acknowledged rows are missing: {missing[:10]}"
    twice = [value for value, count in counts.items() if count > 1]
    assert not twice, f"rows are there twice: {twice[:10]}"


@pytest.mark.crash
@pytest.mark.slow
def test_sigkill_during_mixed_writes_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print(f"repeat with FLUSS_CRASH_SEED={SEED} FLUSS_CRASH_ROUNDS={ROUNDS}")

    async def run() -> None:
        # Small segments and a quick persist, so that kills also meet rolls, index writes and RocksDB flushes.
        options = {"log.segment.file-size": "256kb", "kv.persist.interval": "100ms", "kv.persist.after-offsets": "500"}
        with LocalCluster(tmp_path, options=options) as cluster:
            async with connection(cluster.bootstrap_servers, **RETRY) as connected:
                log = await new_table(connected, "log", LOG_SCHEMA, bucket_count=2)
                kv = await new_table(connected, "kv", KV_SCHEMA, primary_keys=["id"])
                appender, upserter = Appender(Target(connected, log), rng), Upserter(Target(connected, kv), rng)
                stop = asyncio.Event()
                tasks = [asyncio.create_task(appender.run(stop)), asyncio.create_task(upserter.run(stop))]
                for round_number in range(ROUNDS):
                    await wait_for_progress(appender, upserter, tasks)
                    await asyncio.sleep(rng.random() * 0.05)  # a random moment, not a wait for a state
                    await asyncio.to_thread(cluster.kill)
                    await asyncio.to_thread(cluster.start)
                    if round_number % 10 == 9:
                        await check_log(cluster.bootstrap_servers, appender)
                await wait_for_progress(appender, upserter, tasks)
                stop.set()
                await asyncio.gather(*tasks)

            # A fresh client, after one more start, sees exactly what the writers were told.
            await asyncio.to_thread(cluster.kill)
            await asyncio.to_thread(cluster.start)
            async with connection(cluster.bootstrap_servers) as connected:
                log = await connected.get_table(fluss.TablePath("fluss", "log"))
                kv = await connected.get_table(fluss.TablePath("fluss", "kv"))
                await check_log(cluster.bootstrap_servers, appender)
                assert sum((await end_offsets(connected, log)).values()) == appender.acknowledged
                assert replay(await read_changes(connected, kv), "id") == upserter.state
                bucket = fluss.TableBucket(kv.get_table_info().table_id, 0)
                rows = await kv.new_scan().limit(100_000).create_bucket_batch_scanner(bucket).to_arrow()
                assert {row["id"]: row for row in rows.to_pylist()} == upserter.state
            print(f"{ROUNDS} kills, {appender.acknowledged} rows appended, {upserter.operations} upserts and deletes")

    asyncio.run(run())
