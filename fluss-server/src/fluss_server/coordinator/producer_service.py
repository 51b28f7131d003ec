"""REGISTER_PRODUCER_OFFSETS, GET_PRODUCER_OFFSETS and DELETE_PRODUCER_OFFSETS.

A job that writes aggregates registers, before its first write, where the logs of its tables end. When it fails before
its first checkpoint, the next attempt finds these offsets and undoes what was written after them.

Where they are kept: Apache Fluss writes a file per table to remote storage and a pointer to the files into ZooKeeper. A
single server has no remote storage, and two places can disagree after a crash. Here the node itself holds the offsets
(about 20 bytes per bucket), so a registration is one atomic, durable commit and there are no orphaned files to find. In
exchange one producer may have 1 MiB of them, enough for 20,000 buckets, and all together 32 MiB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.producer_records import PRODUCERS, ProducerRecord, producer_path
from fluss_server.metadata.store import (
    Create,
    Delete,
    MetadataStore,
    Set,
    StoreOperation,
    in_batches,
    missing_parents,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model import acl
from fluss_server.model.identifiers import TableBucket, name_characters_problem
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.clock import Clock

if TYPE_CHECKING:
    from fluss_server.security.rules import Permissions

MAX_PRODUCERS = 10_000
"""Most producers that have offsets at a time."""

MAX_TOTAL_BYTES = 32 << 20
"""Most bytes of the offsets of all producers; they are in memory, as everything in the metadata store."""

MAX_TTL_MS = 30 * 86_400_000
"""Longest time for which a producer may register offsets, unless the default of the server is longer."""

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
        sweep_interval_ms: expired ones are removed by the first registration after this time, and by one that finds
            no capacity.
        permissions: what the caller of a request may do; None = everything.
    """

    def __init__(
        self,
        store: MetadataStore,
        clock: Clock,
        *,
        default_ttl_ms: int,
        sweep_interval_ms: int,
        permissions: Callable[[RequestContext], Permissions] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._default_ttl_ms = default_ttl_ms
        self._sweep_interval_s = sweep_interval_ms / 1000
        self._permissions = permissions
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
        self._check_size(request.producer_id, request.ByteSize())  # a node is larger still than its request
        ttl_ms = request.ttl_ms if request.HasField("ttl_ms") else self._default_ttl_ms
        _check_ttl(ttl_ms, max(MAX_TTL_MS, self._default_ttl_ms))
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

    def _check_size(self, producer_id: str, size: int) -> None:
        limit = self._store.limits.value_bytes
        if size > limit:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"the offsets of producer {producer_id!r} take {size} bytes, more than {limit}",
            )

    async def _find(self, producer_id: str) -> ProducerRecord | None:
        path = producer_path(producer_id)
        node = await self._store.get(path)
        record = None if node is None else ProducerRecord.decode(path, node.value)
        return None if record is None or record.expiration_time < self._clock.now_ms() else record

    async def _register(self, producer_id: str, value: bytes) -> Registration:
        self._check_size(producer_id, len(value))
        async with self._lock:
            if await self._find(producer_id) is not None:
                return Registration.ALREADY_EXISTS
            if self._is_sweep_due() or not await self._has_capacity(len(value)):
                await self._sweep()
            if not await self._has_capacity(len(value)):
                raise FlussError(
                    ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION,
                    f"there is no capacity for the offsets of producer {producer_id!r}: {MAX_PRODUCERS} producers with"
                    f" {MAX_TOTAL_BYTES} bytes are the limit",
                    hint="delete those of producers that are gone, or register with a shorter time to live",
                )
            path = producer_path(producer_id)
            operations: list[StoreOperation] = await missing_parents(self._store, path)
            expired = await self._store.get(path) is not None
            operations.append(Set(path, value) if expired else Create(path, value))
            await self._store.commit(operations)
            return Registration.CREATED

    async def _has_capacity(self, size: int) -> bool:
        """Whether one more node of a size may be there."""
        if await self._store.get(PRODUCERS) is None:
            return True
        names = await self._store.children(PRODUCERS)
        nodes = await self._store.get_all([producer_path(name) for name in names])
        total = sum(len(node.value) for node in nodes if node is not None)
        return len(names) < MAX_PRODUCERS and total + size <= MAX_TOTAL_BYTES

    def _is_sweep_due(self) -> bool:
        return self._swept_at is None or self._clock.monotonic() - self._swept_at >= self._sweep_interval_s

    async def _sweep(self) -> None:
        """Remove what has expired."""
        self._swept_at = self._clock.monotonic()
        if await self._store.get(PRODUCERS) is None:
            return
        expired: list[StoreOperation] = []
        for name in await self._store.children(PRODUCERS):
            if await self._find(name) is None:
                expired.append(Delete(producer_path(name)))
            await asyncio.sleep(0)  # 32 MiB of JSON must not hold up the event loop
        for batch in in_batches(expired, self._store.limits):
            await self._store.commit(batch)

    async def _delete(self, producer_id: str, context: RequestContext) -> None:
        async with self._lock:
            path = producer_path(producer_id)
            node = await self._store.get(path)
            if node is None:
                return
            if self._permissions is not None:
                permissions = self._permissions(context)
                tables = {bucket.table_id for bucket in ProducerRecord.decode(path, node.value).offsets}
                if not tables:
                    permissions.require(acl.Operation.WRITE, acl.CLUSTER)
                for table_id in tables:
                    refusal = permissions.table_refusal(acl.Operation.WRITE, table_id)
                    # Who may write to every table may remove the offsets of one that is gone.
                    if refusal is not None and refusal.code is not ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION:
                        raise refusal
            await self._store.commit([Delete(path)])


def _check_producer_id(producer_id: str) -> None:
    if problem := name_characters_problem(producer_id):
        raise FlussError(ErrorCode.INVALID_PRODUCER_ID_EXCEPTION, f"bad producer id {producer_id!r}", hint=problem)


def _check_ttl(ttl_ms: int, longest_ms: int) -> None:
    if not 0 <= ttl_ms <= longest_ms:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"offsets of producers are kept for 0 to {longest_ms} ms, not {ttl_ms}",
            hint="leave ttl_ms out for coordinator.producer-offsets.ttl",
        )


def _offsets(request: pb.RegisterProducerOffsetsRequest) -> dict[TableBucket, int]:
    offsets = {}
    for table in request.table_offsets:
        for entry in table.bucket_offsets:
            partition_id = entry.partition_id if entry.HasField("partition_id") else None
            bucket = TableBucket(table.table_id, partition_id, entry.bucket_id)
            if not entry.HasField("log_end_offset"):
                raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"bucket {bucket} has no log_end_offset")
            offsets[bucket] = entry.log_end_offset
    return offsets
