"""Reading tables for the command line: the log from any offset or time, rows by key, the first rows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.session import Partition, Session, bucket_error, raise_bucket_error
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import BatchHeader, ChangeType, iter_batches
from fluss_server.formats.value_batch import decode_value, parse_value_batch
from fluss_server.model.table import LogFormat, TableInfo

if TYPE_CHECKING:
    import pyarrow as pa

_WAIT_MS = 500
FETCH_BYTES = 16 << 20
BUCKET_FETCH_BYTES = 1 << 20
CHANGE_NAMES = {
    ChangeType.APPEND: "+A",
    ChangeType.INSERT: "+I",
    ChangeType.UPDATE_BEFORE: "-U",
    ChangeType.UPDATE_AFTER: "+U",
    ChangeType.DELETE: "-D",
}
SCAN_BYTES = 4 << 20
STALLED_S = 60.0
"""A read below the high watermark that brings nothing for so long has failed."""
EARLIEST, LATEST, TIMESTAMP = 0, 1, 2
"""Kinds of offsets that LIST_OFFSETS knows."""


Bucket = tuple[Partition, int]


@dataclass(frozen=True)
class LogPage:
    """Rows of one batch.

    Attributes:
        partition: partition of the batch.
        bucket: its bucket.
        first_offset: offset of the first row; the others follow.
        timestamp: when the batch was appended, epoch milliseconds.
        change_types: a byte per row.
        rows: in the table's newest schema.
    """

    partition: Partition
    bucket: int
    first_offset: int
    timestamp: int
    change_types: bytes
    rows: pa.RecordBatch

    def first(self, rows: int) -> LogPage:
        """The first ``rows`` rows."""
        if rows >= self.rows.num_rows:
            return self
        return replace(self, change_types=self.change_types[:rows], rows=self.rows.slice(0, rows))

    def last(self, rows: int) -> LogPage:
        """The last ``rows`` rows."""
        skip = self.rows.num_rows - rows
        if skip <= 0:
            return self
        return replace(
            self,
            first_offset=self.first_offset + skip,
            change_types=self.change_types[skip:],
            rows=self.rows.slice(skip),
        )


def bucket_offsets(
    session: Session, table: TableInfo, buckets: Collection[Bucket], kind: int, timestamp_ms: int | None = None
) -> dict[Bucket, int]:
    """Offset of each bucket; see :func:`list_offsets`."""
    found = {}
    for partition in dict.fromkeys(partition for partition, _ in buckets):
        offsets = list_offsets(session, table, partition, kind, timestamp_ms)
        found.update({(partition, bucket): offset for bucket, offset in offsets.items()})
    return {key: found[key] for key in buckets}


def list_offsets(
    session: Session, table: TableInfo, partition: Partition, kind: int, timestamp_ms: int | None = None
) -> dict[int, int]:
    """Offset of every bucket of a partition.

    Args:
        kind: :data:`EARLIEST`, :data:`LATEST` or :data:`TIMESTAMP`.
        timestamp_ms: epoch milliseconds, for :data:`TIMESTAMP`.
    """
    request = pb.ListOffsetsRequest(
        follower_server_id=-1,
        offset_type=kind,
        table_id=table.table_id,
        partition_id=partition.partition_id,
        bucket_id=range(partition.bucket_count_in(table)),
        startTimestamp=timestamp_ms,
    )
    offsets = {}
    for response in session.call(ApiKey.LIST_OFFSETS, request).buckets_resp:
        raise_bucket_error(response)
        offsets[response.bucket_id] = response.offset
    return offsets


class LogReader:
    """Reads the log of a table from given offsets on.

    Args:
        positions: first wanted offset of each bucket.
    """

    def __init__(self, session: Session, table: TableInfo, positions: Mapping[Bucket, int]) -> None:
        self._session = session
        self._table = table
        self.positions = dict(positions)
        """Next offset to be read of each bucket; what a failed :meth:`poll` was to read, the next one reads."""

    def poll(self, wait_ms: int, buckets: Collection[Bucket] | None = None) -> list[LogPage]:
        """What there is now, or after at most ``wait_ms`` milliseconds; it may be nothing.

        Args:
            buckets: read these only.

        Raises:
            FlussError: nothing could be read.
        """
        request = pb.FetchLogRequest(
            follower_server_id=-1, max_bytes=FETCH_BYTES, max_wait_ms=wait_ms, min_bytes=1 if wait_ms else 0
        )
        table = request.tables_req.add(table_id=self._table.table_id, projection_pushdown_enabled=False)
        wanted = {}
        for partition, bucket in self.positions if buckets is None else buckets:
            wanted[partition.partition_id, bucket] = partition, bucket
            table.buckets_req.add(
                partition_id=partition.partition_id,
                bucket_id=bucket,
                fetch_offset=self.positions[partition, bucket],
                max_fetch_bytes=BUCKET_FETCH_BYTES,
                routing_bucket_count=partition.bucket_count_in(self._table),
            )
        if not table.buckets_req:
            return []
        pages: list[LogPage] = []
        failure = None
        for response in self._session.call(ApiKey.FETCH_LOG, request).tables_resp[0].buckets_resp:
            key = wanted[response.partition_id if response.HasField("partition_id") else None, response.bucket_id]
            error = bucket_error(response)
            if error is not None:
                failure = failure or error
                continue
            found, position = self._pages(key, response.records)
            pages += found
            self.positions[key] = position
        if failure is not None and not pages:
            raise failure
        return pages

    def _pages(self, key: Bucket, records: bytes) -> tuple[list[LogPage], int]:
        """Rows of a response, and the offset after them."""
        partition, bucket = key
        wanted = self.positions[key]
        pages = []
        for position, header in iter_batches(records):
            if header.next_offset <= wanted:
                continue
            skip = max(wanted - header.base_offset, 0)
            wanted = header.next_offset
            if not header.record_count:
                continue
            change_types, rows = self._decode(memoryview(records)[position : position + header.size], header)
            pages.append(
                LogPage(
                    partition,
                    bucket,
                    header.base_offset + skip,
                    header.commit_timestamp,
                    change_types[skip:],
                    rows.slice(skip),
                )
            )
        return pages, wanted

    def _decode(self, batch: memoryview, header: BatchHeader) -> tuple[bytes, pa.RecordBatch]:
        from fluss_server.formats.arrow_batch import decode_batch
        from fluss_server.formats.arrow_types import arrow_schema
        from fluss_server.formats.columns import rows_to_record_batch
        from fluss_server.formats.row_log import decode_row_batch
        from fluss_server.model.table import KvFormat

        schema = self._session.schema(self._table, header.schema_id)
        if self._table.log_format is LogFormat.ARROW:
            types, rows = decode_batch(batch, header, arrow_schema(schema))
            return bytes(header.record_count) if types is None else types.tobytes(), widen(rows, self._table)
        types_of_rows, encoded = decode_row_batch(batch, header)
        return types_of_rows, rows_to_record_batch(
            self._table.schema, KvFormat(self._table.log_format.value), encoded, schema
        )


def read_log(
    session: Session, table: TableInfo, starts: Mapping[Bucket, int], ends: Mapping[Bucket, int]
) -> Iterator[LogPage]:
    """The rows of each bucket from its start to its end, those of all buckets in the order of their timestamps.

    At most the response of one fetch is held of each bucket.

    Args:
        ends: first offset of each bucket that is not read; at most the high watermark.

    Raises:
        FlussError: ``REQUEST_TIME_OUT`` when nothing comes for :data:`STALLED_S`; what the server returns.
    """
    reader = LogReader(session, table, starts)
    waiting: dict[Bucket, deque[LogPage]] = {key: deque() for key in starts}
    progress = time.monotonic()
    while True:
        empty = [key for key in starts if not waiting[key] and reader.positions[key] < ends[key]]
        if empty:
            before = [reader.positions[key] for key in empty]
            for page in reader.poll(_WAIT_MS, empty):
                key = page.partition, page.bucket
                page = page.first(ends[key] - page.first_offset)
                if page.rows.num_rows:
                    waiting[key].append(page)
            if before != [reader.positions[key] for key in empty]:
                progress = time.monotonic()
            elif time.monotonic() - progress > STALLED_S:
                raise FlussError(ErrorCode.REQUEST_TIME_OUT, f"{table.path}: no rows in {STALLED_S:.0f} s")
            continue
        ready = [pages for pages in waiting.values() if pages]
        if not ready:
            return
        yield min(ready, key=lambda pages: (pages[0].timestamp, pages[0].bucket)).popleft()


def last_rows(
    session: Session, table: TableInfo, earliest: Mapping[Bucket, int], ends: Mapping[Bucket, int], rows: int
) -> list[LogPage]:
    """The newest rows of all buckets together, at most ``rows``, in the order of their timestamps."""
    window = rows
    while True:
        starts = {key: max(earliest[key], end - window) for key, end in ends.items()}
        pages: deque[LogPage] = deque()
        held = 0
        for page in read_log(session, table, starts, ends):
            pages.append(page)
            held += page.rows.num_rows
            while held - pages[0].rows.num_rows >= rows:
                held -= pages.popleft().rows.num_rows
        if held >= rows or starts == dict(earliest):
            break
        window *= 4  # some offsets have no rows
    if held > rows:
        pages[0] = pages[0].last(pages[0].rows.num_rows - (held - rows))
    return list(pages)


def scan_values(session: Session, table: TableInfo, key: Bucket) -> Iterator[list[tuple[Any, ...]]]:
    """All rows of a bucket of a primary-key table as they are at one moment, in portions."""
    partition, bucket = key
    request = pb.ScanKvRequest(call_seq_id=0, batch_size_bytes=SCAN_BYTES)
    request.bucket_scan_req.table_id = table.table_id
    request.bucket_scan_req.bucket_id = bucket
    request.bucket_scan_req.routing_bucket_count = partition.bucket_count_in(table)
    if partition.partition_id is not None:
        request.bucket_scan_req.partition_id = partition.partition_id
    scanner_id, more = None, True
    try:
        while more:
            response = session.call(ApiKey.SCAN_KV, request)
            raise_bucket_error(response)
            scanner_id, more = response.scanner_id, response.has_more_results
            if response.records:
                yield decode_values(session, table, parse_value_batch(response.records))
            request = pb.ScanKvRequest(
                scanner_id=scanner_id, call_seq_id=request.call_seq_id + 1, batch_size_bytes=SCAN_BYTES
            )
    finally:
        if more and scanner_id:
            session.call(ApiKey.SCAN_KV, pb.ScanKvRequest(scanner_id=scanner_id, close_scanner=True))


def widen(rows: pa.RecordBatch, table: TableInfo) -> pa.RecordBatch:
    """Rows of an older schema in the newest one; columns added since are null."""
    import pyarrow as pa

    from fluss_server.formats.arrow_types import arrow_schema

    schema = arrow_schema(table.schema)
    added = [pa.nulls(rows.num_rows, field.type) for field in list(schema)[rows.num_columns :]]
    return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=schema)


def values_batch(table: TableInfo, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Decoded rows as a batch."""
    import pyarrow as pa

    from fluss_server.formats.arrow_types import arrow_schema
    from fluss_server.formats.arrow_values import to_arrow

    columns = [to_arrow([row[index] for row in rows], kind) for index, kind in enumerate(table.schema.types)]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(table.schema))


def count_rows(session: Session, table: TableInfo, buckets: Collection[Bucket]) -> int:
    """Rows of a primary-key table; of a log table, the offsets that are not deleted."""
    request = pb.GetTableStatsRequest(table_id=table.table_id)
    for partition, bucket in buckets:
        request.buckets_req.add(partition_id=partition.partition_id, bucket_id=bucket)
    total = 0
    for response in session.call(ApiKey.GET_TABLE_STATS, request).buckets_resp:
        raise_bucket_error(response)
        total += response.row_count
    return total


def decode_values(session: Session, table: TableInfo, values: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Rows of stored values, in the newest schema; values as in :mod:`fluss_server.model.types`."""
    from fluss_server.formats.row_codec import row_codec

    rows = []
    for value in values:
        schema_id, row = decode_value(value)
        decoded = row_codec(session.schema(table, schema_id).types, table.kv_format).decode(row)
        rows.append((*decoded, *(None,) * (len(table.schema.columns) - len(decoded))))
    return rows


def first_rows(
    session: Session, table: TableInfo, partition: Partition, bucket: int, limit: int
) -> list[tuple[Any, ...]]:
    """Some rows of a bucket of a primary-key table, at most ``limit``."""
    request = pb.LimitScanRequest(
        table_id=table.table_id,
        partition_id=partition.partition_id,
        bucket_id=bucket,
        limit=limit,
        routing_bucket_count=partition.bucket_count_in(table),
    )
    response = session.call(ApiKey.LIMIT_SCAN, request)
    raise_bucket_error(response)
    return decode_values(session, table, parse_value_batch(response.records) if response.records else [])
