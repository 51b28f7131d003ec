"""FETCH_LOG, LIST_OFFSETS, LOOKUP, PREFIX_LOOKUP, LIMIT_SCAN, SCAN_KV and GET_TABLE_STATS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.projection import TableProjector
from fluss_server.formats.value_batch import build_value_batch
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.principal import Principal
from fluss_server.model.table import LogFormat
from fluss_server.replica.replica import Replica
from fluss_server.rpc.bulk import (
    FetchLogResponseBuilder,
    LookupResponseBuilder,
    encode_limit_scan_response,
    encode_scan_kv_response,
)
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.loop_share import LoopShare, TimeSlice
from fluss_server.tablet.bucket_routing import sent_count
from fluss_server.tablet.disk_write_lock import DiskWriteLock
from fluss_server.tablet.fetch import BucketFetch, BucketResult, FetchLimits, fetch_log
from fluss_server.tablet.inserting_lookups import MAX_TIMEOUT_MS, find_or_insert
from fluss_server.tablet.kv_scanners import KvScanners
from fluss_server.tablet.log_filter import LogFilter, read_predicate
from fluss_server.tablet.lookups import (
    MAX_READ_BYTES,
    MAX_VALUES_BYTES,
    LookupReader,
    are_few_keys,
    check_key_count,
    read_all,
)
from fluss_server.tablet.parked_fetches import ParkedFetches
from fluss_server.tablet.replica_manager import ReplicaManager

if TYPE_CHECKING:
    from fluss_server.tablet.replication_service import ReplicationService

OFFSET_EARLIEST, OFFSET_LATEST, OFFSET_TIMESTAMP, OFFSET_LEADER_END = 0, 1, 2, 3
MAX_LIMIT_SCAN_ROWS = 1_000_000
MAX_INLINE_SCAN_ROWS = 1_000
"""Larger limit scans run in the KV thread, so that they do not hold up the event loop."""
MAX_LIMIT_SCAN_BYTES = 64 << 20
MAX_PREFIX_LOOKUP_BYTES = 64 << 20
MAX_INLINE_PREFIX_ROWS = 256
"""Rows of one prefix that are read on the event loop; more are read by a worker."""
MAX_FETCH_BYTES = 64 << 20
MAX_FETCH_BUCKETS = 20_000
"""Buckets of one fetch; each costs about half a kilobyte while the fetch waits."""

_MAX_CACHED_PROJECTORS = 1_000
_MAX_CACHED_FILTERS = 200


class ReadService:
    """Everything that reads. Only a lookup that is told to insert missing keys changes something."""

    def __init__(
        self,
        replicas: ReplicaManager,
        replication: Callable[[], ReplicationService],
        scanners: KvScanners,
        disk: DiskWriteLock,
        clock: Clock,
        *,
        max_parked_fetches: int,
    ) -> None:
        self._replicas = replicas
        self._replication = replication
        self._scanners = scanners
        self._disk = disk
        self._clock = clock
        self.parked = ParkedFetches(max_parked_fetches)
        self._share = LoopShare()
        self._log_filters: dict[tuple[int, int, bytes], LogFilter | None] = {}
        self._projectors: dict[tuple[int, int, tuple[int, ...]], TableProjector] = {}

    def _time_slice(self) -> TimeSlice:
        return TimeSlice(self._share, self._clock)

    # ------------------------------------------------------------------ log

    @rpc(ApiKey.FETCH_LOG, cancel_on_disconnect=True, starts_at_once=True)
    async def fetch_log(self, request: pb.FetchLogRequest, context: RequestContext) -> ResponseBody:
        """Log batches from an offset on, up to the high watermark; waits for data as the request asks."""
        bucket_count = sum([len(table.buckets_req) for table in request.tables_req])
        if bucket_count > MAX_FETCH_BUCKETS:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"a fetch of {bucket_count} buckets; {MAX_FETCH_BUCKETS} are allowed",
            )
        if request.follower_server_id >= 0:
            results = await self._replication().fetch(request, context)
            return await self._fetch_response(results, (), self._time_slice(), counted=False)
        time_slice = self._time_slice()
        fetches: list[BucketFetch] = []
        failed: list[BucketResult] = []
        for table in request.tables_req:
            projector, problem = None, None
            log_filter = self._log_filter(table) if table.HasField("filter_predicate") else None
            if table.projection_pushdown_enabled:
                try:
                    projector = self._projector(table.table_id, tuple(table.projected_fields))
                except FlussError as error:
                    problem = error
            for bucket in table.buckets_req:
                await time_slice.pause_if_over()
                partition_id = bucket.partition_id if bucket.HasField("partition_id") else None
                fetch = BucketFetch(
                    TableBucket(table.table_id, partition_id, bucket.bucket_id),
                    bucket.fetch_offset,
                    max(bucket.max_fetch_bytes, 0),
                    projector,
                    log_filter,
                )
                wrong = problem or self._wrong_routing(fetch.bucket, bucket)
                if wrong is None:
                    fetches.append(fetch)
                else:
                    failed.append(BucketResult(fetch, wrong))
        results = await fetch_log(
            fetches,
            self._replicas.leader,
            FetchLimits(
                max_bytes=min(max(request.max_bytes, 0), MAX_FETCH_BYTES),
                min_bytes=request.min_bytes if request.HasField("min_bytes") and not failed else None,
                max_wait_ms=request.max_wait_ms if request.HasField("max_wait_ms") else None,
            ),
            response_slot=context.response_slot,
            response_capacity=context.response_capacity,
            parked=self.parked,
            time_slice=time_slice,
            read_pool=self._replicas.read_pool,
        )
        return await self._fetch_response(results, failed, time_slice, counted=True)

    def _wrong_routing(self, bucket: TableBucket, request: pb.PbFetchLogReqForBucket) -> FlussError | None:
        """Why a client may not fetch a bucket of a table whose number of buckets was changed."""
        replica = self._replicas.find(bucket)
        if replica is not None and replica.table.bucket_count_epoch:
            try:
                self._replicas.check_routing(replica, sent_count(request))
            except FlussError as error:
                return error
        return None

    async def _fetch_response(
        self, results: Sequence[BucketResult], failed: Sequence[BucketResult], time_slice: TimeSlice, *, counted: bool
    ) -> ResponseBody:
        """The response to a fetch, which is ``counted`` if a client has sent it."""
        builder = FetchLogResponseBuilder()
        table_id: int | None = None
        for number, result in enumerate(chain(results, failed)):
            await time_slice.pause_if_over()
            if result.fetch.bucket.table_id != table_id:
                table_id = result.fetch.bucket.table_id
                builder.table(table_id)
            _add_result(builder, result)
            is_counted = counted and number < len(results)
            if is_counted and (replica := self._replicas.find(result.fetch.bucket)) is not None:
                replica.counters.fetch_requests += 1
                replica.counters.bytes_out += result.size_bytes
        return builder.pieces()

    def _log_filter(self, request: pb.PbFetchLogReqForTable) -> LogFilter | None:
        """The filter of a table's part of a fetch; None if it is not understood, which is always correct."""
        if not request.HasField("filter_schema_id"):
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"the filter of table {request.table_id} names no schema")
        key = (request.table_id, request.filter_schema_id, request.filter_predicate.SerializeToString())
        if key not in self._log_filters:
            schemas = partial(self._replicas.schema, request.table_id)
            try:
                predicate = read_predicate(request.filter_predicate, schemas(request.filter_schema_id))
            except FlussError:
                return None  # an unknown table is reported for its buckets
            if len(self._log_filters) >= _MAX_CACHED_FILTERS:
                self._log_filters.clear()
            self._log_filters[key] = None if predicate is None else LogFilter(predicate, schemas)
        return self._log_filters[key]

    def _projector(self, table_id: int, fields: tuple[int, ...]) -> TableProjector:
        table = self._replicas.table(table_id)
        key = (table_id, table.schema_id, fields)
        projector = self._projectors.get(key)
        if projector is None:
            if table.log_format is not LogFormat.ARROW:
                raise FlussError(
                    ErrorCode.INVALID_COLUMN_PROJECTION,
                    f"{table.path} has the log format {table.log_format.value}; only ARROW can be projected",
                    hint="read all columns",
                )
            projector = TableProjector(fields, table.schema, partial(self._replicas.schema, table_id))
            if len(self._projectors) >= _MAX_CACHED_PROJECTORS:
                self._projectors.clear()
            self._projectors[key] = projector
        return projector

    @rpc(ApiKey.LIST_OFFSETS)
    async def list_offsets(self, request: pb.ListOffsetsRequest, context: RequestContext) -> ResponseBody:
        """Earliest, latest (high watermark) or first offset at a time, per bucket."""
        response = pb.ListOffsetsResponse()
        partition_id = request.partition_id if request.HasField("partition_id") else None
        time_slice = self._time_slice()
        for bucket in request.bucket_id:
            await time_slice.pause_if_over()
            entry = response.buckets_resp.add(bucket_id=bucket)
            try:
                replica = await self._replicas.served_replica(TableBucket(request.table_id, partition_id, bucket))
                # Clients of Apache Fluss 1.0 send no number here; reading itself is refused where it would be wrong.
                if replica.table.bucket_count_epoch and (sent := sent_count(request)):
                    self._replicas.check_routing(replica, sent)
                entry.offset = self._offset(replica, request)
            except FlussError as error:
                entry.error_code, entry.error_message = int(error.code), str(error)
        return response

    def _offset(self, replica: Replica, request: pb.ListOffsetsRequest) -> int:
        if request.offset_type == OFFSET_EARLIEST:
            return replica.log.start_offset
        if request.offset_type == OFFSET_LATEST:
            return replica.high_watermark.value
        if request.offset_type == OFFSET_LEADER_END:
            return replica.log.end_offset
        if request.offset_type != OFFSET_TIMESTAMP or not request.HasField("startTimestamp"):
            raise FlussError(
                ErrorCode.INVALID_TIMESTAMP_EXCEPTION, f"offset type {request.offset_type} needs a valid startTimestamp"
            )
        if request.startTimestamp > self._clock.now_ms():
            raise FlussError(
                ErrorCode.INVALID_TIMESTAMP_EXCEPTION, f"the timestamp {request.startTimestamp} lies in the future"
            )
        offset = replica.log.offset_for_timestamp(request.startTimestamp)
        return replica.high_watermark.value if offset is None else min(offset, replica.high_watermark.value)

    # ------------------------------------------------------------------ KvStore

    @rpc(ApiKey.LOOKUP)
    def lookup(self, request: pb.LookupRequest, context: RequestContext) -> ResponseBody | Awaitable[ResponseBody]:
        """Values of encoded primary keys; a missing key has no value, or gets a row if the request says so."""
        if request.insert_if_not_exists:
            return self._find_or_insert(request)
        buckets = request.buckets_req[:]  # slices cost less than protobuf's iterators
        if not are_few_keys(buckets):
            return self._lookup_many(request.table_id, buckets, context)
        response = LookupResponseBuilder(MAX_VALUES_BYTES)
        for bucket in buckets:
            bucket_id = bucket.bucket_id
            partition_id = bucket.partition_id if bucket.HasField("partition_id") else None
            try:
                replica = self._replicas.replica(TableBucket(request.table_id, partition_id, bucket_id))
                replica.counters.lookup_requests += 1
                if replica.table.bucket_count_epoch:
                    self._replicas.check_routing(replica, sent_count(bucket))
                values = replica.require_kv().lookup(bucket.keys[:])
                response.values(bucket_id, values, partition_id)
            except FlussError as error:
                if error.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION:
                    return self._lookup_many(request.table_id, buckets, context)
                response.error(bucket_id, int(error.code), str(error), partition_id=partition_id)
        return response.pieces()

    async def _lookup_many(
        self,
        table_id: int,
        buckets: Sequence[pb.PbLookupReqForBucket],
        context: RequestContext,
    ) -> ResponseBody:
        """A lookup that would hold up the event loop, or waits: one of a connection at a time, read by a worker."""
        check_key_count(sum([len(bucket.keys) for bucket in buckets]))
        await context.response_slot()
        response = LookupResponseBuilder(MAX_VALUES_BYTES)
        run = self._scanners.run
        time_slice = self._time_slice()
        for bucket in buckets:
            await time_slice.pause_if_over()
            partition_id = bucket.partition_id if bucket.HasField("partition_id") else None
            try:
                replica = await self._replicas.served_replica(TableBucket(table_id, partition_id, bucket.bucket_id))
                replica.counters.lookup_requests += 1
                if replica.table.bucket_count_epoch:
                    self._replicas.check_routing(replica, sent_count(bucket))
                reader = LookupReader(replica.require_kv(), bucket.keys, response.size_bytes)
                await read_all(reader, run)
                await run(partial(_add_values, response, bucket.bucket_id, partition_id, reader))
            except FlussError as error:
                response.error(bucket.bucket_id, int(error.code), str(error), partition_id=partition_id)
        return await run(response.pieces)

    async def _find_or_insert(self, request: pb.LookupRequest) -> ResponseBody:
        acks = request.acks if request.HasField("acks") else -1
        timeout_ms = request.timeout_ms if request.HasField("timeout_ms") else MAX_TIMEOUT_MS

        async def run(bucket: Any) -> list[bytes | None] | FlussError:
            try:
                replica = await self._replica(request.table_id, bucket)
                replica.counters.lookup_requests += 1
                self._disk.check()
                return await find_or_insert(
                    replica, list(bucket.keys), self._scanners.run, acks=acks, timeout_ms=timeout_ms
                )
            except FlussError as error:
                return error

        outcomes = await asyncio.gather(*map(run, request.buckets_req))
        response = LookupResponseBuilder(MAX_VALUES_BYTES)
        for bucket, outcome in zip(request.buckets_req, outcomes, strict=True):
            partition_id = bucket.partition_id if bucket.HasField("partition_id") else None
            if isinstance(outcome, FlussError):
                response.error(bucket.bucket_id, int(outcome.code), str(outcome), partition_id=partition_id)
            else:
                response.values(bucket.bucket_id, outcome, partition_id)
        return response.pieces()

    @rpc(ApiKey.PREFIX_LOOKUP)
    async def prefix_lookup(self, request: pb.PrefixLookupRequest, context: RequestContext) -> ResponseBody:
        """All values whose keys start with an encoded bucket key, in key order."""
        check_key_count(sum(len(bucket.keys) for bucket in request.buckets_req))
        await context.response_slot()
        response = pb.PrefixLookupResponse()
        capacity = MAX_PREFIX_LOOKUP_BYTES
        time_slice = self._time_slice()
        for bucket in request.buckets_req:
            await time_slice.pause_if_over()
            entry = response.buckets_resp.add(bucket_id=bucket.bucket_id)
            if bucket.HasField("partition_id"):
                entry.partition_id = bucket.partition_id
            try:
                replica = await self._replica(request.table_id, bucket)
                replica.counters.prefix_lookup_requests += 1
                kv = replica.require_kv()
                found = []
                for prefix in bucket.keys:
                    await time_slice.pause_if_over()
                    values = kv.prefix_lookup_few(prefix, MAX_INLINE_PREFIX_ROWS, min(capacity, MAX_READ_BYTES))
                    if values is None:
                        values = await self._scanners.run(kv.prefix_lookup, prefix, capacity)
                    found.append(values)
                    capacity -= sum(map(len, found[-1]))
            except FlussError as error:
                entry.error_code, entry.error_message = int(error.code), str(error)
                continue
            for values in found:
                await time_slice.pause_if_over()
                entry.value_lists.add(values=values)
        return response

    @rpc(ApiKey.LIMIT_SCAN)
    async def limit_scan(self, request: pb.LimitScanRequest, context: RequestContext) -> ResponseBody:
        """The first rows of a primary-key bucket, or the newest batches of a log bucket."""
        try:
            replica = await self._replica(request.table_id, request)
            replica.counters.limit_scan_requests += 1
            await context.response_slot()
            limit = min(request.limit, MAX_LIMIT_SCAN_ROWS)
            if limit <= 0:
                raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, f"limit must be positive, not {request.limit}")
            if replica.kv is not None:
                if limit <= MAX_INLINE_SCAN_ROWS:
                    values = replica.kv.limit_scan(limit, MAX_LIMIT_SCAN_BYTES)
                else:
                    worker = self._replicas.kv_worker
                    values = await worker.run(replica.kv.limit_scan, limit, MAX_LIMIT_SCAN_BYTES)
                return encode_limit_scan_response(is_log_table=False, records=[build_value_batch(values)])
            newest = await self._replicas.read_pool.run(_newest, replica, limit)
            return encode_limit_scan_response(is_log_table=True, records=newest)
        except FlussError as error:
            return pb.LimitScanResponse(error_code=int(error.code), error_message=str(error))

    @rpc(ApiKey.SCAN_KV)
    async def scan_kv(self, request: pb.ScanKvRequest, context: RequestContext) -> ResponseBody:
        """One step of a scan over the whole state of a bucket as it was at one changelog offset."""
        try:
            await context.response_slot()
            return await self._scan_step(request, context.principal)
        except FlussError as error:
            return pb.ScanKvResponse(error_code=int(error.code), error_message=str(error))

    async def _scan_step(self, request: pb.ScanKvRequest, caller: Principal) -> ResponseBody:
        continues = request.HasField("scanner_id")
        if continues == request.HasField("bucket_scan_req"):
            raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, "give either a scanner id or a bucket to scan")
        if request.close_scanner:
            if not continues:
                raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, "a scan cannot be opened and closed at once")
            self._scanners.close_for(request.scanner_id, caller)
            return pb.ScanKvResponse(scanner_id=request.scanner_id, has_more_results=False)
        try:
            if request.batch_size_bytes <= 0:
                raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, "batch_size_bytes must be positive")
            if not request.HasField("call_seq_id"):
                raise FlussError(ErrorCode.INVALID_SCAN_REQUEST, "call_seq_id is missing")
        except FlussError:
            self._scanners.close_for(request.scanner_id, caller)
            raise
        call, max_bytes = request.call_seq_id, request.batch_size_bytes
        if continues:
            response = await self._scanners.next(request.scanner_id, call, max_bytes, caller)
        else:
            scan = request.bucket_scan_req
            replica = await self._replica(scan.table_id, scan)
            limit = scan.limit if scan.HasField("limit") and scan.limit > 0 else None
            opener = replica.require_kv().open_scan
            response = await self._scanners.open(replica.bucket, opener, limit, call, max_bytes, caller)
        if response.scanner_id is None:
            return pb.ScanKvResponse(has_more_results=False, log_offset=response.log_offset)
        return encode_scan_kv_response(
            scanner_id=response.scanner_id,
            has_more_results=response.has_more,
            records=[build_value_batch(response.values)],
            log_offset=response.log_offset,
        )

    @rpc(ApiKey.GET_TABLE_STATS)
    async def get_table_stats(self, request: pb.GetTableStatsRequest, context: RequestContext) -> ResponseBody:
        """Row counts: exact for primary-key tables, offsets between start and high watermark for log tables."""
        response = pb.GetTableStatsResponse()
        time_slice = self._time_slice()
        for bucket in request.buckets_req:
            await time_slice.pause_if_over()
            entry = response.buckets_resp.add(bucket_id=bucket.bucket_id)
            if bucket.HasField("partition_id"):
                entry.partition_id = bucket.partition_id
            try:
                entry.row_count = (await self._replica(request.table_id, bucket, any_client=True)).row_count
            except FlussError as error:
                entry.error_code, entry.error_message = int(error.code), str(error)
        return response

    async def _replica(self, table_id: int, bucket: object, *, any_client: bool = False) -> Replica:
        """The replica that a request's bucket names by ``partition_id`` and ``bucket_id``.

        Args:
            any_client: also for clients that do not say with how many buckets they chose this one.
        """
        partition_id = bucket.partition_id if bucket.HasField("partition_id") else None  # type: ignore[attr-defined]
        bucket_id = bucket.bucket_id  # type: ignore[attr-defined]
        replica = await self._replicas.served_replica(TableBucket(table_id, partition_id, bucket_id))
        if replica.table.bucket_count_epoch and ((sent := sent_count(bucket)) or not any_client):
            self._replicas.check_routing(replica, sent)
        return replica


def _add_values(
    response: LookupResponseBuilder, bucket_id: int, partition_id: int | None, reader: LookupReader
) -> None:
    response.values(bucket_id, reader.take_values(), partition_id)


def _newest(replica: Replica, limit: int) -> list[bytes]:
    """Whole batches that hold the newest ``limit`` offsets below the high watermark, bounded in bytes."""
    high_watermark = replica.high_watermark.value
    offset = max(replica.log.start_offset, high_watermark - limit)
    pieces: list[bytes] = []
    remaining = MAX_LIMIT_SCAN_BYTES
    while offset < high_watermark and remaining > 0:
        piece = replica.log.read(offset, remaining, high_watermark, at_least_one=not pieces)
        if piece is None:
            break
        pieces.append(piece.region.read())
        remaining -= piece.region.length
        offset = piece.next_offset
    return pieces


def _add_result(builder: FetchLogResponseBuilder, result: BucketResult) -> None:
    bucket = result.fetch.bucket
    if result.error is not None:
        builder.error(bucket.bucket, int(result.error.code), str(result.error), partition_id=bucket.partition_id)
    else:
        builder.data(
            bucket.bucket,
            partition_id=bucket.partition_id,
            high_watermark=result.high_watermark,
            log_start_offset=result.log_start_offset,
            records=result.pieces,
            filtered_end_offset=result.filtered_end_offset,
        )
