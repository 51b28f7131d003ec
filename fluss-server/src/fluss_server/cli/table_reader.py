"""Reading tables for the command line: the log from any offset or time, rows by key, the first rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.session import Partition, Session, raise_bucket_error
from fluss_server.formats.log_batch import BatchHeader, ChangeType, iter_batches
from fluss_server.formats.value_batch import decode_value, parse_value_batch
from fluss_server.model.table import LogFormat, TableInfo

if TYPE_CHECKING:
    import pyarrow as pa

FETCH_BYTES = 16 << 20
BUCKET_FETCH_BYTES = 1 << 20
CHANGE_NAMES = {
    ChangeType.APPEND: "+A",
    ChangeType.INSERT: "+I",
    ChangeType.UPDATE_BEFORE: "-U",
    ChangeType.UPDATE_AFTER: "+U",
    ChangeType.DELETE: "-D",
}
EARLIEST, LATEST, TIMESTAMP = 0, 1, 2
"""Kinds of offsets that LIST_OFFSETS knows."""


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
        bucket_id=range(table.bucket_count),
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

    def __init__(self, session: Session, table: TableInfo, positions: dict[tuple[Partition, int], int]) -> None:
        self._session = session
        self._table = table
        self._partitions = {partition.partition_id: partition for partition, _ in positions}
        self.positions = dict(positions)
        """Next offset to be read of each bucket."""

    def poll(self, wait_ms: int) -> list[LogPage]:
        """What there is now, or after at most ``wait_ms`` milliseconds; it may be nothing."""
        request = pb.FetchLogRequest(
            follower_server_id=-1, max_bytes=FETCH_BYTES, max_wait_ms=wait_ms, min_bytes=1 if wait_ms else 0
        )
        table = request.tables_req.add(table_id=self._table.table_id, projection_pushdown_enabled=False)
        for (partition, bucket), offset in self.positions.items():
            table.buckets_req.add(
                partition_id=partition.partition_id,
                bucket_id=bucket,
                fetch_offset=offset,
                max_fetch_bytes=BUCKET_FETCH_BYTES,
            )
        if not table.buckets_req:
            return []
        pages: list[LogPage] = []
        for response in self._session.call(ApiKey.FETCH_LOG, request).tables_resp[0].buckets_resp:
            raise_bucket_error(response)
            partition = self._partitions[response.partition_id if response.HasField("partition_id") else None]
            pages += self._pages(partition, response.bucket_id, response.records)
        return pages

    def _pages(self, partition: Partition, bucket: int, records: bytes) -> Iterator[LogPage]:
        for position, header in iter_batches(records):
            wanted = self.positions[partition, bucket]
            self.positions[partition, bucket] = max(wanted, header.next_offset)
            if header.next_offset <= wanted or not header.record_count:
                continue
            change_types, rows = self._decode(memoryview(records)[position : position + header.size], header)
            skip = max(wanted - header.base_offset, 0)
            yield LogPage(
                partition,
                bucket,
                header.base_offset + skip,
                header.commit_timestamp,
                change_types[skip:],
                rows.slice(skip),
            )

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


def widen(rows: pa.RecordBatch, table: TableInfo) -> pa.RecordBatch:
    """Rows of an older schema in the newest one; columns added since are null."""
    import pyarrow as pa

    from fluss_server.formats.arrow_types import arrow_schema

    schema = arrow_schema(table.schema)
    added = [pa.nulls(rows.num_rows, field.type) for field in list(schema)[rows.num_columns :]]
    return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=schema)


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
        table_id=table.table_id, partition_id=partition.partition_id, bucket_id=bucket, limit=limit
    )
    response = session.call(ApiKey.LIMIT_SCAN, request)
    raise_bucket_error(response)
    return decode_values(session, table, parse_value_batch(response.records) if response.records else [])
