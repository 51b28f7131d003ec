"""REGISTER_PRODUCER_OFFSETS, GET_PRODUCER_OFFSETS and DELETE_PRODUCER_OFFSETS.

A job that writes aggregates registers, before its first write, where the logs of its tables end. When it fails before
its first checkpoint, the next attempt finds these offsets and undoes what was written behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.producer_records import PRODUCERS, ProducerRecord, producer_path
from fluss_server.metadata.store import (
    MAX_VALUE_BYTES,
    Create,
    Delete,
    MetadataStore,
    Operation,
    Set,
    missing_parents,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model import acl
from fluss_server.model.identifiers import TableBucket, name_characters_problem
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.clock import Clock
from fluss_server.security.rules import Rights

MAX_PRODUCERS = 10_000
"""Most producers that have offsets at a time."""

_MAX_TIME = 2**63 - 1


class Registration(IntEnum):
    """Result of a registration; the numbers are the protocol's."""

    CREATED = 0
    ALREADY_EXISTS = 1


class ProducerService:
    """Offsets of producers, kept until they are deleted or expire.

    Args:
        store: keeps them.
        clock: decides what has expired.
        default_ttl_ms: how long offsets are kept whose producer does not say.
        sweep_interval_ms: expired ones are removed by the first registration after this time.
        rights: what the caller of a request may do; None = everybody may do everything.
    """

    def __init__(
        self,
        store: MetadataStore,
        clock: Clock,
        *,
        default_ttl_ms: int,
        sweep_interval_ms: int,
        rights: Callable[[RequestContext], Rights] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._default_ttl_ms = default_ttl_ms
        self._sweep_interval_s = sweep_interval_ms / 1000
        self._rights = rights
        self._swept_at: float | None = None
        self._lock = asyncio.Lock()
        self._tasks = UninterruptedTasks()

    async def close(self) -> None:
        """Wait for changes that have begun."""
        await self._tasks.wait()

    @rpc(ApiKey.REGISTER_PRODUCER_OFFSETS)
    async def register_producer_offsets(
        self, request: pb.RegisterProducerOffsetsRequest, context: RequestContext
    ) -> ResponseBody:
        """The first registration of a producer counts; later ones leave it as it is."""
        _check_producer_id(request.producer_id)
        ttl_ms = request.ttl_ms if request.HasField("ttl_ms") else self._default_ttl_ms
        record = ProducerRecord(min(self._clock.now_ms() + ttl_ms, _MAX_TIME), _offsets(request))
        result = await self._tasks.run(self._register(request.producer_id, record.encode()))
        return pb.RegisterProducerOffsetsResponse(result=result)

    @rpc(ApiKey.GET_PRODUCER_OFFSETS)
    async def get_producer_offsets(
        self, request: pb.GetProducerOffsetsRequest, context: RequestContext
    ) -> ResponseBody:
        """What was registered; empty for a producer without offsets."""
        _check_producer_id(request.producer_id)
        response = pb.GetProducerOffsetsResponse()
        record = await self._find(request.producer_id)
        if record is None:
            return response
        response.producer_id = request.producer_id
        response.expiration_time = record.expiration_time
        tables: dict[int, pb.PbProducerTableOffsets] = {}
        for (table_id, partition_id, bucket), offset in record.offsets.items():
            if table_id not in tables:
                tables[table_id] = response.table_offsets.add(table_id=table_id)
            entry = tables[table_id].bucket_offsets.add(bucket_id=bucket, log_end_offset=offset)
            if partition_id is not None:
                entry.partition_id = partition_id
        return response

    @rpc(ApiKey.DELETE_PRODUCER_OFFSETS)
    async def delete_producer_offsets(
        self, request: pb.DeleteProducerOffsetsRequest, context: RequestContext
    ) -> ResponseBody:
        """Nothing happens when there are none."""
        _check_producer_id(request.producer_id)
        await self._tasks.run(self._delete(request.producer_id, context))
        return pb.DeleteProducerOffsetsResponse()

    async def _find(self, producer_id: str) -> ProducerRecord | None:
        path = producer_path(producer_id)
        node = await self._store.get(path)
        record = None if node is None else ProducerRecord.decode(path, node.value)
        return None if record is None or record.expiration_time <= self._clock.now_ms() else record

    async def _register(self, producer_id: str, value: bytes) -> Registration:
        if len(value) > MAX_VALUE_BYTES:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"the offsets of producer {producer_id!r} take {len(value)} bytes, more than {MAX_VALUE_BYTES}",
            )
        async with self._lock:
            if await self._find(producer_id) is not None:
                return Registration.ALREADY_EXISTS
            await self._sweep()
            path = producer_path(producer_id)
            operations: list[Operation] = await missing_parents(self._store, path)
            if await self._store.get(path) is not None:  # expired
                operations.append(Set(path, value))
            else:
                await self._check_room(operations)
                operations.append(Create(path, value))
            await self._store.commit(operations)
            return Registration.CREATED

    async def _check_room(self, missing: list[Operation]) -> None:
        if not missing and len(await self._store.children(PRODUCERS)) >= MAX_PRODUCERS:
            raise FlussError(
                ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION,
                f"{MAX_PRODUCERS} producers have registered offsets, which is the limit",
                hint="delete those of producers that are gone, or register with a shorter time to live",
            )

    async def _sweep(self) -> None:
        """Remove what has expired, unless that was done a moment ago."""
        now = self._clock.monotonic()
        if self._swept_at is not None and now - self._swept_at < self._sweep_interval_s:
            return
        self._swept_at = now
        if await self._store.get(PRODUCERS) is None:
            return
        names = await self._store.children(PRODUCERS)
        expired: list[Operation] = [Delete(producer_path(name)) for name in names if await self._find(name) is None]
        if expired:
            await self._store.commit(expired)

    async def _delete(self, producer_id: str, context: RequestContext) -> None:
        async with self._lock:
            path = producer_path(producer_id)
            node = await self._store.get(path)
            if node is None:
                return
            if self._rights is not None:
                rights = self._rights(context)
                for table_id in {bucket.table_id for bucket in ProducerRecord.decode(path, node.value).offsets}:
                    if (refusal := rights.table_refusal(acl.Operation.WRITE, table_id)) is not None:
                        raise refusal
            await self._store.commit([Delete(path)])


def _check_producer_id(producer_id: str) -> None:
    if problem := name_characters_problem(producer_id):
        raise FlussError(ErrorCode.INVALID_PRODUCER_ID_EXCEPTION, f"bad producer id {producer_id!r}", hint=problem)


def _offsets(request: pb.RegisterProducerOffsetsRequest) -> dict[TableBucket, int]:
    offsets = {}
    for table in request.table_offsets:
        for entry in table.bucket_offsets:
            partition_id = entry.partition_id if entry.HasField("partition_id") else None
            bucket = TableBucket(table.table_id, partition_id, entry.bucket_id)
            if not entry.HasField("log_end_offset"):
                raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"bucket {bucket} has no log_end_offset")
            offsets[bucket] = entry.log_end_offset
    return offsets
