"""Offsets of producers, over a real metadata store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator import producer_service
from fluss_server.coordinator.producer_service import MAX_TTL_MS, ProducerService, Registration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.producer_records import PRODUCERS, ProducerRecord
from fluss_server.model.acl import Operation, Resource
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.service import RequestContext
from fluss_server.runtime import system_runtime
from fluss_server.runtime.clock import ManualClock
from rpc_support import async_test

CONTEXT = RequestContext(ApiKey.REGISTER_PRODUCER_OFFSETS)
OFFSETS = {TableBucket(1, None, 0): 7, TableBucket(1, None, 1): 0, TableBucket(2, 5, 3): 2**40}
HOUR_MS = 3_600_000


class OnlyTableOne:
    """The rights of somebody who may write to table 1; table 3 is gone."""

    def allows(self, operation: Operation, resource: Resource) -> bool:
        raise AssertionError("not asked")

    def require(self, operation: Operation, resource: Resource) -> None:
        raise AssertionError("not asked")

    def table_refusal(self, operation: Operation, table_id: int) -> FlussError | None:
        if (operation, table_id) == (Operation.WRITE, 1):
            return None
        if table_id == 3:
            return FlussError(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, "gone")
        return FlussError(ErrorCode.AUTHORIZATION_EXCEPTION, f"{operation.name} on {table_id}")


class Producers:
    def __init__(self, store: EmbeddedMetadataStore, clock: ManualClock, **options: Any) -> None:
        self.store = store
        self.clock = clock
        self.service = ProducerService(store, clock, default_ttl_ms=24 * HOUR_MS, sweep_interval_ms=HOUR_MS, **options)

    async def register(
        self, producer: str, offsets: dict[TableBucket, int] | None = None, ttl_ms: int | None = None
    ) -> int:
        request = pb.RegisterProducerOffsetsRequest(producer_id=producer, ttl_ms=ttl_ms)
        for (table_id, partition_id, bucket), offset in (OFFSETS if offsets is None else offsets).items():
            table = request.table_offsets.add(table_id=table_id)
            table.bucket_offsets.add(partition_id=partition_id, bucket_id=bucket, log_end_offset=offset)
        response: Any = await self.service.register_producer_offsets(request, CONTEXT)
        return int(response.result)

    async def get(self, producer: str) -> tuple[int, dict[TableBucket, int]] | None:
        request = pb.GetProducerOffsetsRequest(producer_id=producer)
        response: Any = await self.service.get_producer_offsets(request, CONTEXT)
        if not response.HasField("producer_id"):
            assert not response.table_offsets
            return None
        assert len({table.table_id for table in response.table_offsets}) == len(response.table_offsets)
        found = {
            TableBucket(
                table.table_id, entry.partition_id if entry.HasField("partition_id") else None, entry.bucket_id
            ): entry.log_end_offset
            for table in response.table_offsets
            for entry in table.bucket_offsets
        }
        return response.expiration_time, found

    async def delete(self, producer: str) -> None:
        await self.service.delete_producer_offsets(pb.DeleteProducerOffsetsRequest(producer_id=producer), CONTEXT)


@asynccontextmanager
async def producers(path: Path, clock: ManualClock | None = None, **options: Any) -> AsyncIterator[Producers]:
    running = Producers(
        EmbeddedMetadataStore.open(path / "metadata", system_runtime()), clock or ManualClock(), **options
    )
    try:
        yield running
    finally:
        await running.service.close()
        await running.store.close()


@async_test
async def test_the_first_registration_counts(tmp_path: Path) -> None:
    async with producers(tmp_path) as running:
        assert await running.get("job-1") is None
        assert await running.register("job-1") == Registration.CREATED
        assert await running.register("job-1", {TableBucket(1, None, 0): 9}) == Registration.ALREADY_EXISTS
        expires = running.clock.now_ms() + 24 * HOUR_MS
        assert await running.get("job-1") == (expires, OFFSETS)
    async with producers(tmp_path) as running:
        assert await running.get("job-1") == (expires, OFFSETS), "a restart keeps them"
        await running.delete("job-1")
        await running.delete("job-1")
        assert await running.get("job-1") is None
        assert await running.register("job-1", {}) == Registration.CREATED
        assert await running.get("job-1") == (expires, {})


@async_test
async def test_offsets_expire(tmp_path: Path) -> None:
    async with producers(tmp_path) as running:
        await running.register("short", ttl_ms=1000)
        await running.register("long")
        running.clock.advance(1000)
        assert await running.get("short") is not None, "the last moment counts"
        assert await running.register("short", {}) == Registration.ALREADY_EXISTS
        running.clock.advance(1)
        assert await running.get("short") is None
        assert await running.register("short", {}, ttl_ms=5) == Registration.CREATED, "expired ones are replaced"
        assert await running.register("lasting", {}, ttl_ms=MAX_TTL_MS) == Registration.CREATED
        for bad in (-1, MAX_TTL_MS + 1, 2**63 - 1):
            with pytest.raises(FlussError) as refused:
                await running.register("endless", {}, ttl_ms=bad)
            assert refused.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
        assert await running.store.children(PRODUCERS) == ["lasting", "long", "short"]
        running.clock.advance(HOUR_MS)
        await running.register("another")
        assert await running.store.children(PRODUCERS) == ["another", "lasting", "long"], "swept"


@async_test
async def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with producers(tmp_path) as running:
        for producer in ("", "..", "a/b", "a b", "x" * 201):
            for call in (running.register, running.get, running.delete):
                with pytest.raises(FlussError) as bad:
                    await call(producer)
                assert bad.value.code is ErrorCode.INVALID_PRODUCER_ID_EXCEPTION
        with pytest.raises(FlussError) as large:
            await running.register("large", {TableBucket(10**15, 10**15, bucket): 10**15 for bucket in range(20_000)})
        assert large.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
        request = pb.RegisterProducerOffsetsRequest(producer_id="p")
        request.table_offsets.add(table_id=1).bucket_offsets.add(bucket_id=0)
        with pytest.raises(FlussError, match="log_end_offset"):
            await running.service.register_producer_offsets(request, CONTEXT)
        monkeypatch.setattr(producer_service, "MAX_PRODUCERS", 2)
        await running.register("a")
        await running.register("b")
        with pytest.raises(FlussError) as full:
            await running.register("c")
        assert full.value.code is ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION
        await running.delete("a")
        assert await running.register("c") == Registration.CREATED


@pytest.mark.parametrize("limit", ["MAX_PRODUCERS", "MAX_TOTAL_BYTES"])
@async_test
async def test_the_room_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    async with producers(tmp_path) as running:
        size = len(ProducerRecord(running.clock.now_ms(), OFFSETS).encode())
        monkeypatch.setattr(producer_service, limit, 2 if limit == "MAX_PRODUCERS" else 2 * size)
        await running.register("a", ttl_ms=1)
        await running.register("b")
        with pytest.raises(FlussError, match="no capacity for the offsets of producer 'c'") as full:
            await running.register("c")
        assert full.value.code is ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION
        assert await running.register("b") == Registration.ALREADY_EXISTS
        running.clock.advance(2)
        assert await running.register("c") == Registration.CREATED, "what has expired makes room at once"
        assert await running.store.children(PRODUCERS) == ["b", "c"]


@async_test
async def test_a_full_store_lets_an_expired_producer_register_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with producers(tmp_path) as running:
        monkeypatch.setattr(producer_service, "MAX_PRODUCERS", 1)
        for _ in range(3):
            assert await running.register("a", ttl_ms=0) == Registration.CREATED
            running.clock.advance(1)


@async_test
async def test_a_request_that_is_too_large_is_refused_before_it_is_encoded(tmp_path: Path) -> None:
    request = pb.RegisterProducerOffsetsRequest(producer_id="large")
    buckets = request.table_offsets.add(table_id=1).bucket_offsets
    buckets.extend([pb.PbBucketOffset(bucket_id=2**31 - 1, log_end_offset=2**62)] * 70_000)
    async with producers(tmp_path) as running:
        with pytest.raises(FlussError, match=f"take {request.ByteSize()} bytes, more than 1048576") as large:
            await running.service.register_producer_offsets(request, CONTEXT)
        assert large.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION


@async_test
async def test_who_may_write_to_all_tables_may_delete(tmp_path: Path) -> None:
    async with producers(tmp_path, permissions=lambda context: OnlyTableOne()) as running:
        await running.register("own", {TableBucket(1, None, 0): 1, TableBucket(3, None, 0): 1})
        await running.register("other")
        await running.delete("own")
        assert await running.get("own") is None, "one of its tables was dropped, the other is the caller's"
        with pytest.raises(FlussError) as refused:
            await running.delete("other")
        assert refused.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
        assert await running.get("other") is not None


def test_a_damaged_record_is_reported() -> None:
    for value in (b"", b"[]", b'{"expiration_time":1}', b'{"expiration_time":1,"offsets":[[1,2]]}'):
        with pytest.raises(FlussError, match="/producers/p cannot be read"):
            ProducerRecord.decode("/producers/p", value)
