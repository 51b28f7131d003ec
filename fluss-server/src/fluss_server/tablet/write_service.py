"""PRODUCE_LOG and PUT_KV.

Failures are always reported per bucket: clients take an error of the whole request for a broken network and repeat it
at once, indefinitely. The code of a method up to its first wait runs in the order in which requests arrived; batch
sequences rely on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import merge_cost_bytes
from fluss_server.log.log_tablet import AppendResult
from fluss_server.metrics.instruments import BucketCounters
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.replica import Replica
from fluss_server.rpc.bulk import BucketRecords, ProduceLogRequest, PutKvRequest, without_records
from fluss_server.rpc.byte_budget import ByteBudget
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.tablet.disk_write_lock import DiskWriteLock
from fluss_server.tablet.replica_manager import ReplicaManager

logger = logging.getLogger(__name__)

MAX_TIMEOUT_MS = 120_000
"""Upper bound of the time a write waits for its acknowledgement, whatever it requests."""

MERGE_SHARE = 4
"""A single KV batch may take this many times kv.write-queue.size of memory while it is merged: rows become objects."""

# Errors that clients do not cause, and that are no request to repeat something later.
_SERVER_FAULTS = frozenset(
    {
        ErrorCode.UNKNOWN_SERVER_ERROR,
        ErrorCode.LOG_STORAGE_EXCEPTION,
        ErrorCode.KV_STORAGE_EXCEPTION,
        ErrorCode.STORAGE_EXCEPTION,
        ErrorCode.REQUEST_TIME_OUT,
    }
)
_VALID_ACKS = (-1, 0, 1)
_MODE_DEFAULT, _MODE_OVERWRITE = 0, 1


class Acknowledgement(NamedTuple):
    """What a part of a write waits for: ``done`` completes when ``replica`` acknowledges it."""

    replica: Replica
    done: asyncio.Future[None]


class WriteService:
    """Appends to log tables, upserts and deletes in primary-key tables.

    Args:
        replicas: of this server.
        disk: whether writes are refused.
        kv_queue_bytes: most bytes of upserts that wait.
        refused: called when a write was refused because the disk is full.
    """

    def __init__(
        self,
        replicas: ReplicaManager,
        disk: DiskWriteLock,
        *,
        kv_queue_bytes: int,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._replicas = replicas
        self._disk = disk
        self._kv_budget = ByteBudget(kv_queue_bytes)
        self._max_merge_bytes = MERGE_SHARE * kv_queue_bytes
        self._refused = refused

    @rpc(ApiKey.PRODUCE_LOG)
    def produce_log(
        self, request: ProduceLogRequest, context: RequestContext
    ) -> ResponseBody | Awaitable[ResponseBody]:
        """Append one or more batches per bucket; ``acks`` 1 waits until the leader has them, -1 for the whole ISR."""
        _check_acks(request.acks)
        outcomes = [self._append(request.table_id, bucket, request.acks) for bucket in request.buckets]
        # What is in the log needs the memory of the request no more.
        sizes = [len(bucket.records) for bucket in request.buckets]
        request.buckets = without_records(request.buckets)
        settled, waiting = _to_wait_for(outcomes, request.acks)
        if not waiting:
            return self._produced(request, sizes, settled)
        return self._produced_when_settled(request, sizes, settled, waiting)

    async def _produced_when_settled(
        self,
        request: ProduceLogRequest,
        sizes: Sequence[int],
        settled: list[FlussError | AppendResult],
        waiting: dict[int, Acknowledgement],
    ) -> ResponseBody:
        await _settle(settled, waiting, request.acks, request.timeout_ms)
        return self._produced(request, sizes, settled)

    def _produced(
        self, request: ProduceLogRequest, sizes: Sequence[int], settled: Sequence[FlussError | AppendResult]
    ) -> ResponseBody:
        response = pb.ProduceLogResponse()
        for bucket, size, outcome in zip(request.buckets, sizes, settled, strict=True):
            entry = response.buckets_resp.add(bucket_id=bucket.bucket_id)
            if bucket.partition_id is not None:
                entry.partition_id = bucket.partition_id
            replica = self._replicas.find(TableBucket(request.table_id, bucket.partition_id, bucket.bucket_id))
            if replica is not None:
                counters = replica.counters
                counters.produce_requests += 1
                counters.failed_produce_requests += _count(counters, size, outcome)
            if isinstance(outcome, FlussError):
                entry.error_code, entry.error_message = int(outcome.code), str(outcome)
            else:
                entry.base_offset = outcome.base_offset
        return response

    def _append(self, table_id: int, bucket: BucketRecords, acks: int) -> FlussError | tuple[Replica, AppendResult]:
        try:
            self._disk.check()
            replica = self._replicas.leader(TableBucket(table_id, bucket.partition_id, bucket.bucket_id))
            replica.check_acks(acks)
            # Without a bucket key, rows may be in any bucket.
            if replica.table.bucket_count_epoch and replica.table.descriptor.bucket_key:
                self._replicas.check_routing(replica, bucket.routing_bucket_count)
            return replica, replica.append(bucket.records)
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> FlussError:
        found = _as_fluss_error(error)
        if found.code is ErrorCode.DISK_WRITE_LOCKED:
            self._refused()
        return found

    @rpc(ApiKey.PUT_KV)
    async def put_kv(self, request: PutKvRequest, context: RequestContext) -> ResponseBody:
        """Merge one KV batch per bucket; ``acks`` as for appends."""
        _check_acks(request.acks)
        async with self._kv_budget.hold(sum(len(bucket.records) for bucket in request.buckets)):
            # Every put is handed to the worker before the first wait, so that later requests cannot overtake.
            puts = [
                self._start_put(request.table_id, bucket, request.acks, request.target_columns, request.agg_mode)
                for bucket in request.buckets
            ]
            outcomes = [await put for put in puts]
        puts.clear()
        sizes = [len(bucket.records) for bucket in request.buckets]
        request.buckets = without_records(request.buckets)
        settled, waiting = _to_wait_for(outcomes, request.acks)
        if waiting:
            await _settle(settled, waiting, request.acks, request.timeout_ms)
        response = pb.PutKvResponse()
        for bucket, size, outcome in zip(request.buckets, sizes, settled, strict=True):
            entry = response.buckets_resp.add(bucket_id=bucket.bucket_id)
            if bucket.partition_id is not None:
                entry.partition_id = bucket.partition_id
            if isinstance(outcome, FlussError):
                entry.error_code = int(put_kv_code(outcome.code, context.api_version))
                entry.error_message = str(outcome)
            else:
                entry.log_end_offset = outcome.last_offset + 1
            replica = self._replicas.find(TableBucket(request.table_id, bucket.partition_id, bucket.bucket_id))
            if replica is not None:
                counters = replica.counters
                counters.put_requests += 1
                counters.failed_put_requests += _count(counters, size, outcome)
                if replica.kv is not None and (pressure := replica.kv.backpressure.pressure):
                    entry.pressure = pressure
        return response

    def _start_put(
        self, table_id: int, bucket: BucketRecords, acks: int, target_columns: Sequence[int], agg_mode: int
    ) -> Awaitable[FlussError | tuple[Replica, AppendResult]]:
        async def run() -> FlussError | tuple[Replica, AppendResult]:
            try:
                self._disk.check()
                cost = merge_cost_bytes(bucket.records)
                if cost > self._max_merge_bytes:
                    raise FlussError(
                        ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                        f"merging this batch of {len(bucket.records)} bytes would take about {cost} bytes of memory,"
                        f" the limit is {self._max_merge_bytes}",
                        hint="write smaller batches, or raise kv.write-queue.size",
                    )
                key = TableBucket(table_id, bucket.partition_id, bucket.bucket_id)
                replica = await self._replicas.served_replica(key)  # waits only for a new leader, in order
                replica.check_acks(acks)
                if replica.table.bucket_count_epoch:
                    self._replicas.check_routing(replica, bucket.routing_bucket_count)
                overwrite = _is_overwrite(agg_mode)
                return replica, await replica.put(bucket.records, target_columns, overwrite=overwrite)
            except Exception as error:
                return self._failed(error)

        return asyncio.ensure_future(run())


def _count(counters: BucketCounters, size: int, outcome: FlussError | AppendResult) -> bool:
    """Count what a write of ``size`` bytes brought; returns whether the server failed."""
    if isinstance(outcome, FlussError):
        return outcome.code in _SERVER_FAULTS
    if not outcome.duplicate:
        counters.messages_in += outcome.last_offset - outcome.base_offset + 1
        counters.bytes_in += size
    return False


def put_kv_code(code: ErrorCode, api_version: int) -> ErrorCode:
    """The code that a client of that version of PUT_KV knows."""
    if code is ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION and api_version < 2:
        return ErrorCode.KV_STORAGE_EXCEPTION
    return code


def _to_wait_for(
    outcomes: Sequence[FlussError | tuple[Replica, AppendResult]], acks: int
) -> tuple[list[FlussError | AppendResult], dict[int, Acknowledgement]]:
    """The results of the parts of a write, and by index the acknowledgements that it has to wait for."""
    waiting: dict[int, Acknowledgement] = {}
    settled: list[FlussError | AppendResult] = []
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, FlussError):
            settled.append(outcome)
            continue
        replica, result = outcome
        settled.append(result)
        if acks != 0:
            try:
                waiting[index] = Acknowledgement(replica, replica.acknowledged(result, acks))
            except FlussError as error:
                settled[index] = error
    return settled, waiting


async def _settle(
    settled: list[FlussError | AppendResult], waiting: dict[int, Acknowledgement], acks: int, timeout_ms: int
) -> None:
    """Wait for acknowledgements; a part that fails, or whose time is up, gets its error in ``settled``."""
    time_is_up = False

    def abandon() -> None:
        nonlocal time_is_up
        time_is_up = True
        for _, future in waiting.values():
            future.cancel()

    timer = asyncio.get_running_loop().call_later(min(max(timeout_ms, 1), MAX_TIMEOUT_MS) / 1000, abandon)
    try:
        for index, (replica, future) in waiting.items():
            try:
                await future
            except asyncio.CancelledError:
                if not time_is_up:
                    raise
                settled[index] = _not_in_time(replica, acks, timeout_ms)
            except Exception as error:
                settled[index] = _as_fluss_error(error)
    finally:
        timer.cancel()


def _not_in_time(replica: Replica, acks: int, timeout_ms: int) -> FlussError:
    """The error of a write that was appended and not acknowledged."""
    followers = replica.followers
    if acks == -1 and followers is not None and not followers.has_enough_replicas:
        return FlussError(
            ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND_EXCEPTION,
            f"{len(followers.isr.members)} replicas are in sync, {followers.min_isr} are needed; the rows are in the"
            " log and may still be acknowledged",
            hint="write them again when more servers are back; idempotent writers write them once",
        )
    return FlussError(
        ErrorCode.REQUEST_TIME_OUT,
        f"not acknowledged within {timeout_ms} ms; the rows are in the log and may still be acknowledged",
    )


def _as_fluss_error(error: BaseException) -> FlussError:
    if isinstance(error, FlussError):
        return error
    logger.error("a write failed unexpectedly", exc_info=error)
    return FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{type(error).__name__}: {error}")


def _check_acks(acks: int) -> None:
    if acks not in _VALID_ACKS:
        raise FlussError(ErrorCode.INVALID_REQUIRED_ACKS, f"acks must be -1, 0 or 1, not {acks}")


def _is_overwrite(agg_mode: int) -> bool:
    """Whether the rows of a PUT_KV replace others whatever the table's merge engine."""
    if agg_mode not in (_MODE_DEFAULT, _MODE_OVERWRITE):
        raise FlussError(
            ErrorCode.UNSUPPORTED_VERSION, f"unknown merge mode {agg_mode}; known are 0 (default) and 1 (overwrite)"
        )
    return agg_mode == _MODE_OVERWRITE
