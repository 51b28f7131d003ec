"""When writes of a bucket with followers are acknowledged, and when it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pytest

from error_support import code_of, refused
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.log_batch import build_batch
from fluss_server.kv.checkpoint import read_checkpoint
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression, TableDescriptor, TableInfo
from fluss_server.replica.followers import Followers
from fluss_server.replica.in_sync_replicas import InSyncReplicas
from fluss_server.replica.replica import Replica
from fluss_server.runtime import InlineWorkers, SystemClock
from fluss_server.runtime.runtime import system_runtime
from kv_support import SCHEMA as KEYED
from kv_support import Bucket, make_table, open_bucket
from log_support import open_log

SCHEMA = Schema.from_json({"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]})
TABLE = TableInfo(TablePath("d", "t"), 1, 1, TableDescriptor(SCHEMA, bucket_count=1), 0, 0)
PAYLOAD = encode_payload(pa.record_batch([pa.array([1, 2], pa.int32())], names=["a"]), ArrowCompression.NONE)
TWO_ROWS = memoryview(build_batch(1, change_types=None, payload=PAYLOAD, record_count=2))
_T = TypeVar("_T")


class HeldPool:
    """Keeps what is submitted until :meth:`run_one`."""

    def __init__(self) -> None:
        self.held: list[Callable[[], object]] = []

    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        raise NotImplementedError

    def submit(self, function: Callable[[], object]) -> None:
        self.held.append(function)

    def close(self) -> None:
        pass

    def run_one(self) -> None:
        self.held.pop(0)()


async def iterations() -> None:
    """Let everything run that needs no worker."""
    for _ in range(5):
        await asyncio.sleep(0)


def followers_of(epoch_start: int, *, min_isr: int = 1, isr: tuple[int, ...] = (1, 2, 3)) -> Followers:
    return Followers(1, 4, (1, 2, 3), InSyncReplicas(isr, 0), epoch_start=epoch_start, min_isr=min_isr, now_s=0.0)


def with_leader(
    directory: Path,
    scenario: Callable[[Replica, HeldPool], Awaitable[None]],
    *,
    rows_before: int = 0,
    min_isr: int = 1,
    isr: tuple[int, ...] = (1, 2, 3),
) -> None:
    """A bucket of a log table that leads two followers; flushes are held back."""

    async def run() -> None:
        flushes = HeldPool()
        log = open_log(directory)
        for _ in range(rows_before):
            log.append(TWO_ROWS)
        log.flush()
        replica = Replica(
            TableBucket(1, None, 0),
            TABLE,
            log,
            None,
            schemas={1: SCHEMA}.__getitem__,
            clock=SystemClock(),
            flush_pool=flushes,
            read_pool=InlineWorkers().pool("read", 1),
            kv_worker=InlineWorkers().pool("kv", 1),
            followers=followers_of(log.end_offset, min_isr=min_isr, isr=isr),
        )
        replica.begin()
        await iterations()
        await scenario(replica, flushes)
        log.close()

    asyncio.run(run())


def test_all_replicas_in_sync_acknowledge(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        everybody = replica.acknowledged(replica.append(TWO_ROWS))
        leader = replica.acknowledged_below(2, acks=1)
        await iterations()
        replica.follower_fetched(2, 2)
        replica.follower_fetched(3, 2)
        assert replica.high_watermark.value == 0, "the leader's own log is not durable"
        flushes.run_one()
        await iterations()
        assert everybody.done()
        assert leader.done()
        assert replica.high_watermark.value == 2

    with_leader(tmp_path, scenario)


def test_the_leader_alone_acknowledges_with_acks_1(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        result = replica.append(TWO_ROWS)
        everybody, leader = replica.acknowledged(result), replica.acknowledged(result, acks=1)
        await iterations()
        assert not leader.done()
        flushes.run_one()
        await iterations()
        assert leader.done()
        assert not everybody.done()
        replica.follower_fetched(2, 2)
        assert not everybody.done()
        replica.follower_fetched(3, 2)
        assert everybody.done()

    with_leader(tmp_path, scenario)


def test_followers_hear_of_an_append_before_it_is_durable(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        woken: list[int] = []
        replica.log_end.add_reader(lambda: woken.append(replica.log_end.value))
        replica.append(TWO_ROWS)
        assert woken == [2]
        assert replica.log.flushed_offset == 0

    with_leader(tmp_path, scenario)


def test_a_new_leader_serves_when_everything_it_had_is_acknowledged(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        assert (replica.high_watermark.value, replica.is_serving) == (0, False)
        assert replica.not_serving().code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION
        replica.append(TWO_ROWS)  # is taken in meanwhile
        replica.follower_fetched(2, 6)
        replica.follower_fetched(3, 4)
        assert (replica.high_watermark.value, replica.is_serving) == (4, False)
        replica.follower_fetched(3, 6)
        assert (replica.high_watermark.value, replica.is_serving) == (6, True)

    with_leader(tmp_path, scenario, rows_before=3)


def test_a_leader_without_others_in_sync_serves_at_once(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        assert (replica.high_watermark.value, replica.is_serving) == (6, True)

    with_leader(tmp_path, scenario, rows_before=3, isr=(1,))


def test_too_few_replicas_in_sync(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        assert code_of(lambda: replica.check_acks(-1)) is ErrorCode.NOT_ENOUGH_REPLICAS_EXCEPTION
        replica.check_acks(1)
        result = replica.append(TWO_ROWS)
        everybody, leader = replica.acknowledged(result), replica.acknowledged(result, acks=1)
        await iterations()
        flushes.run_one()
        await iterations()
        assert (everybody.done(), leader.done()) == (False, True)
        assert replica.followers is not None
        replica.followers.isr.confirmed((1, 3), 1)
        replica.advance()
        assert not everybody.done()
        replica.follower_fetched(3, 2)
        assert everybody.done()

    with_leader(tmp_path, scenario, min_isr=2, isr=(1,))


def test_who_waits_is_told_that_the_leader_changes(tmp_path: Path) -> None:
    async def scenario(replica: Replica, flushes: HeldPool) -> None:
        result = replica.append(TWO_ROWS)
        waiting = [replica.acknowledged(result), replica.acknowledged(result, acks=1)]
        woken: list[str] = []
        replica.high_watermark.add_reader(lambda: woken.append("reader"))
        replica.log_end.add_reader(lambda: woken.append("follower"))
        await iterations()
        stepping_down = asyncio.ensure_future(replica.step_down())
        await iterations()
        for waiter in waiting:
            assert await refused(waiter) is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert {"reader", "follower"} <= set(woken)
        assert code_of(lambda: replica.append(TWO_ROWS)) is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert not stepping_down.done(), "a flush runs"
        flushes.run_one()
        await stepping_down
        assert replica.high_watermark.value == 0
        with pytest.raises(FlussError):
            replica.acknowledged(result)
        replica.log.append(TWO_ROWS)  # it is open for the next role

    with_leader(tmp_path, scenario)


def test_rows_are_committed_when_the_followers_have_them(tmp_path: Path) -> None:
    """Lookups see what is acknowledged, and RocksDB has nothing else."""

    async def run() -> None:
        table = make_table()
        bucket: Bucket = open_bucket(tmp_path, table)
        kv: KvTablet = bucket.kv
        workers = InlineWorkers()
        replica = Replica(
            TableBucket(7, None, 0),
            table,
            bucket.log,
            None,
            schemas={1: KEYED}.__getitem__,
            clock=SystemClock(),
            flush_pool=workers.pool("io", 1),
            read_pool=workers.pool("io", 1),
            kv_worker=workers.pool("kv", 1),
            followers=followers_of(0),
        )
        assert (replica.is_caught_up, replica.is_serving) == (True, False)
        assert code_of(replica.require_kv) is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION
        replica.serve_rows(kv)
        assert replica.is_serving
        written = await replica.put(memoryview(bucket.batch([(1, "one", None)])), [])
        acknowledged = replica.acknowledged(written)
        await iterations()
        assert not acknowledged.done()
        assert kv.lookup([bucket.key(1)]) == [None]
        replica.follower_fetched(2, 1)
        await iterations()
        assert kv.lookup([bucket.key(1)]) == [None]
        replica.follower_fetched(3, 1)
        await iterations()
        assert acknowledged.done()
        assert kv.lookup([bucket.key(1)]) != [None]
        await replica.put(memoryview(bucket.batch([(2, "two", None)])), [])
        await iterations()
        await replica.step_down()
        checkpoint = read_checkpoint(bucket.directory / "kv", system_runtime().disk)
        assert checkpoint is not None
        assert (checkpoint.offset, checkpoint.row_count) == (1, 1), "of two changes one was acknowledged"
        bucket.log.close()

    asyncio.run(run())
