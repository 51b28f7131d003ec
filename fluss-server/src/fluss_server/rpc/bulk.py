"""Codecs for messages with a ``records`` field that must not be copied.

protobuf copies a ``bytes`` field on the way in and twice on the way out: 5 to 10 times the cost of everything else in a
request of 1 MiB. Requests are therefore scanned, ``records`` staying a view of the frame, and responses assembled as a
list of pieces: small encoded fields, buffers, and file regions that are never read. Field numbers are those of
``api/fluss.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.frames import Piece, piece_size
from fluss_server.rpc.wire import as_int32, as_int64, corrupt, read_fields, read_varint, varint
from fluss_server.runtime.disk import Buffer


class BucketRecords(NamedTuple):
    """What one bucket is to write.

    Attributes:
        partition_id: None for a table without partitions.
        bucket_id: number of the bucket.
        records: the batch or batches, a view of the request's frame; valid for as long as it is referenced.
        routing_bucket_count: with how many buckets the client chose this one; None if it does not say.
    """

    partition_id: int | None
    bucket_id: int
    records: memoryview
    routing_bucket_count: int | None = None


def without_records(buckets: Sequence[BucketRecords]) -> list[BucketRecords]:
    """The same buckets, without a hold on the request's frame."""
    nothing = memoryview(b"")
    return [BucketRecords(bucket.partition_id, bucket.bucket_id, nothing) for bucket in buckets]


@dataclass(slots=True)
class ProduceLogRequest:
    """``PRODUCE_LOG``; the fields are those of the message."""

    table_id: int
    acks: int
    timeout_ms: int
    buckets: list[BucketRecords]


@dataclass(slots=True)
class PutKvRequest:
    """``PUT_KV``; ``target_columns`` is empty for whole rows."""

    table_id: int
    acks: int
    timeout_ms: int
    buckets: list[BucketRecords]
    target_columns: list[int]
    agg_mode: int


# Tags (field number << 3 | wire type) of the request fields.
_ACKS, _TABLE_ID, _TIMEOUT_MS = 0x08, 0x10, 0x18
_PRODUCE_BUCKETS = 0x22
_TARGET_COLUMN, _TARGET_COLUMNS, _PUT_BUCKETS, _AGG_MODE = 0x20, 0x22, 0x2A, 0x30
_PARTITION_ID, _BUCKET_ID, _RECORDS, _ROUTING_BUCKET_COUNT = 0x08, 0x10, 0x1A, 0x28


def parse_produce_log(body: Buffer) -> ProduceLogRequest:
    """Read a ``ProduceLogRequest``.

    Raises:
        FlussError: ``CORRUPT_MESSAGE`` when the bytes are not one or a required field is absent.
    """
    data = memoryview(body)
    acks = table_id = timeout_ms = None
    buckets = []
    for tag, value, stop in read_fields(data, 0, len(data)):
        if tag == _PRODUCE_BUCKETS:
            buckets.append(_parse_bucket(data, value, stop))
        elif tag == _ACKS:
            acks = as_int32(value)
        elif tag == _TABLE_ID:
            table_id = as_int64(value)
        elif tag == _TIMEOUT_MS:
            timeout_ms = as_int32(value)
    if acks is None or table_id is None or timeout_ms is None:
        raise corrupt("acks, table_id and timeout_ms are required")
    return ProduceLogRequest(table_id, acks, timeout_ms, buckets)


def parse_put_kv(body: Buffer) -> PutKvRequest:
    """Read a ``PutKvRequest``.

    Raises:
        FlussError: ``CORRUPT_MESSAGE`` when the bytes are not one or a required field is absent.
    """
    data = memoryview(body)
    acks = table_id = timeout_ms = None
    agg_mode = 0
    buckets = []
    target_columns: list[int] = []
    for tag, value, stop in read_fields(data, 0, len(data)):
        if tag == _PUT_BUCKETS:
            buckets.append(_parse_bucket(data, value, stop))
        elif tag == _ACKS:
            acks = as_int32(value)
        elif tag == _TABLE_ID:
            table_id = as_int64(value)
        elif tag == _TIMEOUT_MS:
            timeout_ms = as_int32(value)
        elif tag == _TARGET_COLUMNS:
            while value < stop:
                column, value = read_varint(data, value, stop)
                target_columns.append(as_int32(column))
        elif tag == _TARGET_COLUMN:
            target_columns.append(as_int32(value))
        elif tag == _AGG_MODE:
            agg_mode = as_int32(value)
    if acks is None or table_id is None or timeout_ms is None:
        raise corrupt("acks, table_id and timeout_ms are required")
    return PutKvRequest(table_id, acks, timeout_ms, buckets, target_columns, agg_mode)


def _parse_bucket(data: memoryview, position: int, end: int) -> BucketRecords:
    partition_id = bucket_id = records = routing_bucket_count = None
    for tag, value, stop in read_fields(data, position, end):
        if tag == _RECORDS:
            records = data[value:stop]
        elif tag == _BUCKET_ID:
            bucket_id = as_int32(value)
        elif tag == _PARTITION_ID:
            partition_id = as_int64(value)
        elif tag == _ROUTING_BUCKET_COUNT:
            routing_bucket_count = as_int32(value)
    if bucket_id is None or records is None:
        raise corrupt("bucket_id and records of a bucket are required")
    return BucketRecords(partition_id, bucket_id, records, routing_bucket_count)


class FetchLogResponseBuilder:
    """Builds a ``FetchLogResponse``: :meth:`table`, then :meth:`data` or :meth:`error` for each of its buckets."""

    def __init__(self) -> None:
        self._tables: list[tuple[int, list[Piece]]] = []
        self._buckets: list[Piece] = []
        self._records_size = 0

    @property
    def records_size(self) -> int:
        """Bytes of records added so far."""
        return self._records_size

    def table(self, table_id: int) -> None:
        """Start the buckets of a table."""
        self._buckets = []
        self._tables.append((table_id, self._buckets))

    def data(
        self,
        bucket_id: int,
        *,
        partition_id: int | None = None,
        high_watermark: int,
        log_start_offset: int,
        records: Sequence[Piece] = (),
        filtered_end_offset: int | None = None,
    ) -> None:
        """A bucket that was read; without records it has nothing new."""
        size = sum(map(piece_size, records))
        self._records_size += size
        fields = (
            _bucket_key(partition_id, bucket_id)
            + b"\x28"
            + varint(high_watermark)
            + b"\x30"
            + varint(log_start_offset)
            + (b"" if filtered_end_offset is None else b"\x48" + varint(filtered_end_offset))
            + b"\x42"
            + varint(size)
        )
        self._buckets.append(b"\x12" + varint(len(fields) + size) + fields)
        self._buckets.extend(records)

    def error(self, bucket_id: int, code: int, message: str | None, *, partition_id: int | None = None) -> None:
        """A bucket that could not be read."""
        fields = _bucket_key(partition_id, bucket_id) + b"\x18" + varint(code)
        if message is not None:
            fields += _bytes_field(b"\x22", message.encode())
        self._buckets.append(b"\x12" + varint(len(fields)) + fields)

    def pieces(self) -> list[Piece]:
        """The encoded message."""
        out: list[Piece] = []
        for table_id, buckets in self._tables:
            head = b"\x08" + varint(table_id)
            size = len(head) + sum(map(piece_size, buckets))
            out.append(b"\x0a" + varint(size) + head)
            out.extend(buckets)
        return _join_small(out)


class FetchedBucket(NamedTuple):
    """What one bucket of a ``FetchLogResponse`` holds.

    Attributes:
        partition_id: None for a table without partitions.
        error_code: 0 = it was read.
        records: whole batches, a view of the response's frame.
    """

    table_id: int
    partition_id: int | None
    bucket_id: int
    error_code: int
    error_message: str
    high_watermark: int
    log_start_offset: int
    records: memoryview


def parse_fetch_log_response(body: Buffer) -> list[FetchedBucket]:
    """Read a ``FetchLogResponse``, without its remote and filter fields.

    Raises:
        FlussError: ``CORRUPT_MESSAGE`` when the bytes are not one or a required field is absent.
    """
    data = memoryview(body)
    buckets: list[FetchedBucket] = []
    for tag, value, stop in read_fields(data, 0, len(data)):
        if tag != 0x0A:
            continue
        table_id = None
        parts = []
        for table_tag, table_value, table_stop in read_fields(data, value, stop):
            if table_tag == 0x08:
                table_id = as_int64(table_value)
            elif table_tag == 0x12:
                parts.append((table_value, table_stop))
        if table_id is None:
            raise corrupt("table_id is required")
        buckets += (_parse_fetched_bucket(data, table_id, *part) for part in parts)
    return buckets


def _parse_fetched_bucket(data: memoryview, table_id: int, position: int, end: int) -> FetchedBucket:
    partition_id = bucket_id = None
    error_code = high_watermark = log_start_offset = 0
    error_message = ""
    records = data[:0]
    for tag, value, stop in read_fields(data, position, end):
        if tag == 0x08:
            partition_id = as_int64(value)
        elif tag == 0x10:
            bucket_id = as_int32(value)
        elif tag == 0x18:
            error_code = as_int32(value)
        elif tag == 0x22:
            error_message = str(data[value:stop], "utf-8", "replace")
        elif tag == 0x28:
            high_watermark = as_int64(value)
        elif tag == 0x30:
            log_start_offset = as_int64(value)
        elif tag == 0x42:
            records = data[value:stop]
    if bucket_id is None:
        raise corrupt("bucket_id is required")
    return FetchedBucket(
        table_id, partition_id, bucket_id, error_code, error_message, high_watermark, log_start_offset, records
    )


class LookupResponseBuilder:
    """Builds a ``LookupResponse``: :meth:`values` or :meth:`error` for each bucket.

    protobuf takes half a microsecond to make the object of a value, several times the cost of finding it.

    Args:
        max_bytes: of all values.

    Attributes:
        size_bytes: of the values so far.
    """

    __slots__ = ("_max_bytes", "_pieces", "size_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[Piece] = []
        self.size_bytes = 0

    def values(self, bucket_id: int, values: Sequence[bytes | None], partition_id: int | None = None) -> None:
        """A bucket that was read: one value for each key, None = absent. Long values are not copied.

        Raises:
            FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` when long values exceed the bound; nothing is added.
        """
        key = _bucket_key(partition_id, bucket_id)
        count = len(values)
        short = _short_value(key, values[0]) if count == 1 else _short_values(key, values) if count > 2 else None
        if short is not None:
            self._pieces.append(_bytes_field(b"\x0a", short))
            self.size_bytes += len(short)
            return
        fields = [key]
        long: list[Piece] = []  # what comes before the last fields
        heads = _VALUE_HEADS
        for value in values:
            if value is None:
                fields.append(_ABSENT_VALUE)
                continue
            head = heads.get(len(value))
            fields += (_value_head(len(value)) if head is None else head, value)
            if len(value) >= _LONG_VALUE:
                long += (b"".join(fields[:-1]), value)
                fields = []
        end = b"".join(fields)
        if long:
            if end:
                long.append(end)
            size = sum(map(piece_size, long))
            if self.size_bytes + size > self._max_bytes:
                raise FlussError(
                    ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                    f"the values of {count} keys take more than {self._max_bytes} bytes",
                    hint="look up fewer keys at a time",
                )
            self._pieces += (b"\x0a" + varint(size), *long)
            self.size_bytes += size
        else:
            self._pieces.append(_bytes_field(b"\x0a", end))
            self.size_bytes += len(end)

    def error(self, bucket_id: int, code: int, message: str, *, partition_id: int | None = None) -> None:
        """A bucket that could not be read."""
        fields = _bucket_key(partition_id, bucket_id) + b"\x18" + varint(code) + _bytes_field(b"\x22", message.encode())
        self._pieces.append(_bytes_field(b"\x0a", fields))

    def pieces(self) -> list[Piece]:
        """The encoded message."""
        pieces = self._pieces
        return pieces if len(pieces) == 1 else _join_small(pieces) or [b""]


_LONG_VALUE = 16 << 10
_ABSENT_VALUE = b"\x2a\x00"
_MAX_VALUE_HEADS = 4_096
_VALUE_HEADS: dict[int, bytes] = {}


def _short_value(key: bytes, value: bytes | None) -> bytes | None:
    """``key`` and the field of a value, unless that is long or of a size that is met for the first time."""
    if value is None:
        return key + _ABSENT_VALUE
    size = len(value)
    head = _VALUE_HEADS.get(size)
    return None if head is None or size >= _LONG_VALUE else key + head + value


def _short_values(key: bytes, values: Sequence[bytes | None]) -> bytes | None:
    """``key`` and a field for each value, if none is absent, long, or of a size that is met for the first time."""
    try:
        sizes = list(map(len, values))  # type: ignore[arg-type]  # TypeError for an absent value
        if max(sizes) >= _LONG_VALUE:
            return None
        fields = [key] * (2 * len(values) + 1)
        fields[1::2] = map(_VALUE_HEADS.__getitem__, sizes)
        fields[2::2] = values  # type: ignore[assignment]  # none is absent
    except (TypeError, KeyError):
        return None
    return b"".join(fields)


def _value_head(size: int) -> bytes:
    """What stands before a value of ``size`` bytes in a ``LookupResponse``: two tags and two lengths."""
    inner = b"\x0a" + varint(size)
    head = b"\x2a" + varint(len(inner) + size) + inner
    if len(_VALUE_HEADS) < _MAX_VALUE_HEADS:
        _VALUE_HEADS[size] = head
    return head


def encode_limit_scan_response(*, is_log_table: bool, records: Sequence[Piece]) -> list[Piece]:
    """A successful ``LimitScanResponse``."""
    size = sum(map(piece_size, records))
    return [(b"\x18\x01" if is_log_table else b"\x18\x00") + b"\x22" + varint(size), *records]


def encode_scan_kv_response(
    *, scanner_id: bytes | None, has_more_results: bool, records: Sequence[Piece], log_offset: int | None = None
) -> list[Piece]:
    """A successful ``ScanKvResponse``; ``log_offset`` belongs to the first response of a scan only.

    ``scanner_id`` is None in the last response, when the scan is closed.
    """
    size = sum(map(piece_size, records))
    head = b"\x20\x01" if has_more_results else b"\x20\x00"
    if scanner_id is not None:
        head = _bytes_field(b"\x1a", scanner_id) + head
    if log_offset is not None:
        head += b"\x30" + varint(log_offset)
    return [head + b"\x2a" + varint(size), *records]


def _bucket_key(partition_id: int | None, bucket_id: int) -> bytes:
    key = b"\x10" + varint(bucket_id)
    return key if partition_id is None else b"\x08" + varint(partition_id) + key


def _bytes_field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def _join_small(pieces: list[Piece]) -> list[Piece]:
    """Join neighbouring short ``bytes``, so that a response of many empty buckets is one piece."""
    out: list[Piece] = []
    run: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes) and len(piece) < _LONG_VALUE:
            run.append(piece)
            continue
        if run:
            out.append(b"".join(run))
            run = []
        out.append(piece)
    if run:
        out.append(b"".join(run))
    return out
