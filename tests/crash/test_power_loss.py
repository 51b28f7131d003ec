"""A real server on a disk that drops everything that was not synced, losing its power over and over.

What each durability option keeps, and what it may lose: the table on the first page of docs/durability.md.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, end_offsets, new_table, read_changes, replay
from crash.machine import Machine
from crash.test_sigkill import (
    KV_SCHEMA,
    LOG_SCHEMA,
    RETRY,
    Appender,
    Target,
    Upserter,
    all_acknowledged,
    check_log,
    wait_for_progress,
)
from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.runtime.system_disk import SystemDisk

ROUNDS = int(os.environ.get("FLUSS_POWER_ROUNDS", "3"))
SEED = int(os.environ.get("FLUSS_POWER_SEED", str(time.time_ns() % 2**32)))
SMALL = {"log.segment.file-size": "64kb", "kv.persist.interval": "50ms", "kv.persist.after-offsets": "300"}
QUICK_RETENTION = {"log.retention.check-interval": "50ms", "log.retention.roll-active-segment.enabled": "true"}
RELAXED = {"log.flush.before-acknowledge": "false"}

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@contextmanager
def machine(home: Path, **options: str) -> Iterator[Machine]:
    print(f"repeat with FLUSS_POWER_SEED={SEED} FLUSS_POWER_ROUNDS={ROUNDS}")
    running = Machine(home / "machine", options, SEED)
    running.start()
    try:
        yield running
    finally:
        running.cluster.kill()


def wait_until_durable(power: Machine, offset: int) -> None:
    """Wait until the flush checkpoint of the only log says that it is durable up to ``offset``."""
    (log,) = (power.disk.data / "fluss").glob("t-*/log-0")
    checkpoint = FlushCheckpoint(log, SystemDisk())
    deadline = time.monotonic() + 20
    while (checkpoint.read() or 0) < offset:
        assert time.monotonic() < deadline, f"durable up to {checkpoint.read()} after 20 s"
        time.sleep(0.01)


def table_names(data: Path) -> set[str]:
    return {path.name for path in (data / "fluss").iterdir()}


@pytest.mark.parametrize("retention", [False, True], ids=["", "retention"])
def test_what_is_acknowledged_survives_the_loss_of_power(tmp_path: Path, retention: bool) -> None:
    """Default settings; also when the changelog of the rows has been deleted meanwhile."""
    rng = random.Random(SEED)
    options = {**SMALL, **(QUICK_RETENTION if retention else {})}
    properties = {"table.log.ttl": "30ms"} if retention else {}

    async def run() -> None:
        with machine(tmp_path, **options) as power:
            async with connection(power.cluster.bootstrap_servers, **RETRY) as connected:
                log = await new_table(connected, "log", LOG_SCHEMA, bucket_count=2)
                kv = await new_table(connected, "kv", KV_SCHEMA, primary_keys=["id"], properties=properties)
                appender, upserter = Appender(Target(connected, log), rng), Upserter(Target(connected, kv), rng)
                stop = asyncio.Event()
                tasks = [asyncio.create_task(appender.run(stop)), asyncio.create_task(upserter.run(stop))]
                for number in range(ROUNDS):
                    await wait_for_progress(appender, upserter, tasks)
                    await new_table(connected, f"made_{number}", LOG_SCHEMA, bucket_count=1)
                    await asyncio.sleep(rng.random() * 0.2)  # a random moment, not a wait for a state
                    await asyncio.to_thread(power.lose_power, everything=number % 2 == 0)
                await wait_for_progress(appender, upserter, tasks)
                stop.set()
                await asyncio.gather(*tasks)
            await asyncio.to_thread(power.lose_power, everything=True)
            async with connection(power.cluster.bootstrap_servers) as connected:
                log = await connected.get_table(fluss.TablePath("fluss", "log"))
                kv = await connected.get_table(fluss.TablePath("fluss", "kv"))
                await check_log(power.cluster.bootstrap_servers, appender)
                assert sum((await end_offsets(connected, log)).values()) == appender.acknowledged
                bucket = fluss.TableBucket(kv.get_table_info().table_id, 0)
                rows = await kv.new_scan().limit(100_000).create_bucket_batch_scanner(bucket).to_arrow()
                assert {row["id"]: row for row in rows.to_pylist()} == upserter.state
                if not retention:
                    assert replay(await read_changes(connected, kv), "id") == upserter.state
                for number in range(ROUNDS):
                    made = await connected.get_table(fluss.TablePath("fluss", f"made_{number}"))
                    assert await end_offsets(connected, made) == {0: 0}
            print(f"{appender.acknowledged} rows appended, {upserter.operations} upserts and deletes")

    asyncio.run(run())


PLAIN = pa.schema([pa.field("n", pa.int64())])
KEYED = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("v", pa.int64())])


async def write(table: fluss.FlussTable, first: int, count: int, *, keyed: bool) -> None:
    """Rows ``first``... one batch each, every one acknowledged before the next."""
    writer = table.new_upsert().create_writer() if keyed else table.new_append().create_writer()
    for n in range(first, first + count):
        handle = writer.upsert([n, n]) if isinstance(writer, fluss.UpsertWriter) else writer.append([n])
        await all_acknowledged(writer, [handle])


async def kept(power: Machine, *, keyed: bool) -> int:
    """How many rows there are; they must be the first ones, and lookups must agree with the changelog."""
    async with connection(power.cluster.bootstrap_servers) as connected:
        table = await connected.get_table(fluss.TablePath("fluss", "t"))
        rows = [row["n"] for *_, row in await read_changes(connected, table)]
        assert rows == list(range(len(rows)))
        if keyed:
            bucket = fluss.TableBucket(table.get_table_info().table_id, 0)
            found = await table.new_scan().limit(100_000).create_bucket_batch_scanner(bucket).to_arrow()
            assert sorted(found.column("n").to_pylist()) == rows
        return len(rows)


def run_with_rows(power: Machine, count: int, *, keyed: bool) -> None:
    async def run() -> None:
        async with connection(power.cluster.bootstrap_servers, **RETRY) as connected:
            schema, keys = (KEYED, ["n"]) if keyed else (PLAIN, None)
            table = await new_table(connected, "t", schema, primary_keys=keys, bucket_count=1)
            await write(table, 0, count, keyed=keyed)

    asyncio.run(run())


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
def test_without_fsync_sigkill_loses_nothing_and_the_loss_of_power_what_was_not_flushed(
    tmp_path: Path, keyed: bool
) -> None:
    with machine(tmp_path, **RELAXED, **{"log.flush.interval": "1 h"}) as power:
        run_with_rows(power, 50, keyed=keyed)
        power.cluster.kill()
        power.start()
        assert asyncio.run(kept(power, keyed=keyed)) == 50  # and a start makes durable what it finds

        async def more() -> None:
            async with connection(power.cluster.bootstrap_servers, **RETRY) as connected:
                await write(await connected.get_table(fluss.TablePath("fluss", "t")), 50, 50, keyed=keyed)

        asyncio.run(more())
        power.lose_power(everything=True)
        assert asyncio.run(kept(power, keyed=keyed)) == 50


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
def test_without_fsync_an_interval_bounds_the_loss(tmp_path: Path, keyed: bool) -> None:
    with machine(tmp_path, **RELAXED, **{"log.flush.interval": "100ms"}) as power:
        run_with_rows(power, 50, keyed=keyed)
        wait_until_durable(power, 50)
        power.lose_power(everything=True)
        assert asyncio.run(kept(power, keyed=keyed)) == 50


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
@pytest.mark.parametrize("every", [1, 8])
def test_without_fsync_a_number_of_rows_bounds_the_loss(tmp_path: Path, keyed: bool, every: int) -> None:
    options = {"log.flush.interval": "1 h", "log.flush.interval-messages": str(every)}
    with machine(tmp_path, **RELAXED, **options) as power:
        run_with_rows(power, 60, keyed=keyed)
        power.lose_power(everything=True)
        assert asyncio.run(kept(power, keyed=keyed)) == 60 // every * every


def test_without_fsync_rocksdb_never_knows_more_than_the_log(tmp_path: Path) -> None:
    """RocksDB is written to disk all the time, and it could not be built again: its changelog is deleted quickly."""
    rng = random.Random(SEED)
    options = {"log.flush.interval": "150ms", "kv.persist.interval": "20ms", "kv.persist.after-offsets": "1"}

    async def run(power: Machine) -> None:
        async with connection(power.cluster.bootstrap_servers, **RETRY) as connected:
            await new_table(
                connected, "t", KEYED, primary_keys=["n"], bucket_count=1, properties={"table.log.ttl": "30ms"}
            )
        count = 0
        for number in range(ROUNDS):
            async with connection(power.cluster.bootstrap_servers, **RETRY) as connected:
                table = await connected.get_table(fluss.TablePath("fluss", "t"))
                bucket = fluss.TableBucket(table.get_table_info().table_id, 0)
                found = await table.new_scan().limit(100_000).create_bucket_batch_scanner(bucket).to_arrow()
                rows = sorted(found.column("n").to_pylist())
                assert rows == list(range(len(rows)))
                end = sum((await end_offsets(connected, table)).values())
                assert len(rows) == end  # every row is one changelog entry
                assert len(rows) <= count
                count = len(rows)
                written = rng.randrange(50, 200)
                await write(table, count, written, keyed=True)
                count += written
            await asyncio.to_thread(power.lose_power, everything=number % 2 == 0)

    with machine(tmp_path, **RELAXED, **QUICK_RETENTION, **options) as power:
        asyncio.run(run(power))


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
def test_acks_0_may_lose_what_was_sent_and_nothing_that_was_acknowledged_before(tmp_path: Path, keyed: bool) -> None:
    """The disk does not get to syncing: rows are answered at once, and gone with the power."""

    without_acks = {"writer.acks": "0", "writer.enable-idempotence": "false"}

    async def run(power: Machine) -> None:
        async with connection(power.cluster.bootstrap_servers, **RETRY, **without_acks) as connected:
            await write(await connected.get_table(fluss.TablePath("fluss", "t")), 50, 20, keyed=keyed)

    with machine(tmp_path) as power:
        run_with_rows(power, 50, keyed=keyed)
        power.disk.hold_syncs()
        asyncio.run(run(power))
        power.lose_power(everything=True)
        assert asyncio.run(kept(power, keyed=keyed)) == 50


@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
@pytest.mark.parametrize("ignored", [None, "fluss", "log-0"], ids=["", "new table", "new segment"])
def test_the_disk_loses_files_whose_directory_is_not_synced(tmp_path: Path, keyed: bool, ignored: str | None) -> None:
    """A check of the tests above: were the sync of a directory missing in the server, they would see rows lost."""
    with machine(tmp_path, **{"log.segment.file-size": "1kb"}) as power:
        if ignored == "log-0":  # the table is there, with its first segment, and the loss of a later one is wanted
            run_with_rows(power, 1, keyed=keyed)
        power.disk.ignored = ignored
        power.lose_power(everything=True)

        async def write_more() -> None:
            async with connection(power.cluster.bootstrap_servers, **RETRY) as connected:
                await write(await connected.get_table(fluss.TablePath("fluss", "t")), 1, 99, keyed=keyed)

        if ignored == "log-0":
            asyncio.run(write_more())
        else:
            run_with_rows(power, 100, keyed=keyed)
        assert len(list((power.disk.data / "fluss").glob("t-*/log-0/*.log"))) > 5
        power.disk.ignored = None
        power.lose_power(everything=True)
        found = asyncio.run(kept(power, keyed=keyed))
        assert found == 100 if ignored is None else found < 100
