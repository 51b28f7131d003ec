"""Writing Arrow batches into tables for the command line: partitions, buckets, keys and rows, as any client does it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.json_values import to_json
from fluss_server.cli.session import WHOLE_TABLE, Partition, Session, bucket_error, path_message, raise_bucket_error
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buckets import bucket_of
from fluss_server.formats.keys import KeyEncoder, encoder_choice, key_encoder
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import build_batch
from fluss_server.model.table import KvFormat, LogFormat, TableInfo
from fluss_server.model.types import DataType, TypeRoot

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_REQUEST = 5_000
_TIMEOUT_MS = 60_000
_Key = TypeVar("_Key", bound=Hashable)
_PARTITION_TYPES = frozenset(
    {
        TypeRoot.CHAR,
        TypeRoot.STRING,
        TypeRoot.BOOLEAN,
        TypeRoot.TINYINT,
        TypeRoot.SMALLINT,
        TypeRoot.INTEGER,
        TypeRoot.BIGINT,
        TypeRoot.DATE,
    }
)


class TableKeys:
    """Key and bucket of rows of a primary-key table or of a log table with bucket key."""

    def __init__(self, table: TableInfo) -> None:
        options = table.descriptor.properties
        self._lake = options.get("table.datalake.format")
        self.key_columns = table.schema.indexes_of(table.physical_primary_key)
        self.bucket_columns = table.schema.indexes_of(table.descriptor.bucket_key)
        types = table.schema.types
        version = options.get("table.kv.format-version")
        choice = encoder_choice(
            None if version is None else int(version),
            self._lake,
            default_bucket_key=self.bucket_columns == self.key_columns,
        )
        self._key = key_encoder([types[index] for index in self.key_columns], choice) if self.key_columns else None
        self._bucket: KeyEncoder = key_encoder([types[index] for index in self.bucket_columns], self._lake)
        self._same = self.bucket_columns == self.key_columns and choice == self._lake

    def keys(self, columns: Sequence[pa.Array]) -> list[bytes]:
        """Primary keys of the rows of a batch, given as all its columns."""
        assert self._key is not None
        return self._key.encode_columns([columns[index] for index in self.key_columns])

    def buckets(self, columns: Sequence[pa.Array], bucket_count: int, keys: Sequence[bytes] | None = None) -> list[int]:
        """Buckets of the rows of a batch; ``keys`` are those of :meth:`keys`, if they are at hand."""
        if keys is None or not self._same:
            keys = self._bucket.encode_columns([columns[index] for index in self.bucket_columns])
        return [bucket_of(key, bucket_count, self._lake) for key in keys]

    def key_of(self, values: Sequence[Any], bucket_count: int) -> tuple[bytes, int]:
        """Primary key and bucket of one row, given as its key values in the order of ``key_columns``."""
        assert self._key is not None
        key = self._key.encode(values)
        by_column = dict(zip(self.key_columns, values, strict=True))
        return key, self.bucket_of_key([by_column[index] for index in self.bucket_columns], bucket_count)[1]

    def bucket_of_key(self, values: Sequence[Any], bucket_count: int) -> tuple[bytes, int]:
        """Bucket key and bucket of values in the order of ``bucket_columns``."""
        key = self._bucket.encode(values)
        return key, bucket_of(key, bucket_count, self._lake)


_MISSING, _UNKNOWN, _WRITTEN = range(3)
_MAY_BE_WRITTEN = frozenset(
    {
        ErrorCode.UNKNOWN_SERVER_ERROR,
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.REQUEST_TIME_OUT,
        ErrorCode.STORAGE_EXCEPTION,
        ErrorCode.LOG_STORAGE_EXCEPTION,
        ErrorCode.KV_STORAGE_EXCEPTION,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND_EXCEPTION,
    }
)
"""Errors that say nothing about whether rows are in the table; all others mean that they are not."""


class WriteFailure(Exception):
    """A batch that was not written as a whole.

    Attributes:
        error: what went wrong.
        missing: indexes of the rows that are not in the table.
        unknown: indexes of those of which that is not known, because no response came or the storage failed.
    """

    def __init__(self, error: FlussError, missing: Sequence[int], unknown: Sequence[int]) -> None:
        super().__init__(str(error))
        self.error = error
        self.missing = missing
        self.unknown = unknown


class TableWriter:
    """Writes batches; every batch is acknowledged, and so durable, before :meth:`write` returns.

    Rows of a table without bucket key go to one bucket after the other, a request each. Missing partitions are created.
    """

    def __init__(self, session: Session, table: TableInfo) -> None:
        self._session = session
        self._table = table
        self._keys = TableKeys(table) if table.descriptor.bucket_key else None
        self._partition_columns = table.schema.indexes_of(table.descriptor.partition_key)
        self._partitions = {partition.name: partition for partition in session.partitions(table)}
        self._next_bucket = 0

    def write(self, rows: pa.RecordBatch) -> None:
        """Append the rows to a log table, or upsert them into a primary-key table.

        Raises:
            WriteFailure: parts of the batch may have been written then.
        """
        outcome = _Outcome(rows.num_rows)
        try:
            for start in range(0, rows.num_rows, ROWS_PER_REQUEST):
                for values, indexes in self._by_partition(rows.slice(start, ROWS_PER_REQUEST)):
                    partition = self.partition(values) if self._partition_columns else WHOLE_TABLE
                    self._write_part(partition, rows, [start + index for index in indexes], outcome)
        except FlussError as error:
            raise WriteFailure(error, outcome.rows(_MISSING), outcome.rows(_UNKNOWN)) from None

    def delete(self, key: bytes, bucket: int, partition: Partition) -> None:
        """Delete a row of a primary-key table; nothing happens if there is none."""
        request = pb.PutKvRequest(acks=-1, table_id=self._table.table_id, timeout_ms=_TIMEOUT_MS)
        batch = build_kv_batch(self._table.schema_id, [(key, None)])
        request.buckets_req.add(
            partition_id=partition.partition_id,
            bucket_id=bucket,
            records=batch,
            routing_bucket_count=partition.bucket_count_in(self._table),
        )
        for response in self._session.call(ApiKey.PUT_KV, request, timeout_s=_TIMEOUT_MS / 1000).buckets_resp:
            raise_bucket_error(response)

    def _write_part(
        self, partition: Partition, rows: pa.RecordBatch, indexes: Sequence[int], outcome: _Outcome
    ) -> None:
        """Write rows of one partition in one request."""
        part = take(rows, indexes)
        bucket_count = partition.bucket_count_in(self._table)
        make = self._kv_batches if self._table.has_primary_key else self._log_batches
        positions, batches = make(part, bucket_count)
        message = pb.PutKvRequest if self._table.has_primary_key else pb.ProduceLogRequest
        key = ApiKey.PUT_KV if self._table.has_primary_key else ApiKey.PRODUCE_LOG
        request = message(acks=-1, table_id=self._table.table_id, timeout_ms=_TIMEOUT_MS)
        for bucket, batch in batches.items():
            request.buckets_req.add(
                partition_id=partition.partition_id,
                bucket_id=bucket,
                records=batch,
                routing_bucket_count=bucket_count,
            )
        outcome.set(indexes, _UNKNOWN)  # until the response has come
        try:
            response = self._session.call(key, request, timeout_s=_TIMEOUT_MS / 1000)
        except FlussError as error:
            if error.code not in _MAY_BE_WRITTEN:
                outcome.set(indexes, _MISSING)
            raise
        failure = None
        for bucket_response in response.buckets_resp:
            in_bucket = [indexes[position] for position in positions[bucket_response.bucket_id]]
            error_of_bucket = bucket_error(bucket_response)
            if error_of_bucket is None:
                outcome.set(in_bucket, _WRITTEN)
                continue
            failure = failure or error_of_bucket
            if error_of_bucket.code not in _MAY_BE_WRITTEN:
                outcome.set(in_bucket, _MISSING)
        if failure is not None:
            raise failure

    def _kv_batches(self, rows: pa.RecordBatch, bucket_count: int) -> tuple[dict[int, Sequence[int]], dict[int, bytes]]:
        """For each bucket the positions of its rows, and their batch."""
        from fluss_server.formats.columns import record_batch_to_rows

        assert self._keys is not None
        keys = self._keys.keys(rows.columns)
        encoded = record_batch_to_rows(self._table.schema, self._table.kv_format, rows)
        positions = _grouped(self._keys.buckets(rows.columns, bucket_count, keys))
        schema_id = self._table.schema_id
        return positions, {
            bucket: build_kv_batch(schema_id, [(keys[position], encoded[position]) for position in part])
            for bucket, part in positions.items()
        }

    def _log_batches(
        self, rows: pa.RecordBatch, bucket_count: int
    ) -> tuple[dict[int, Sequence[int]], dict[int, bytes]]:
        if self._keys is None:
            bucket = self._next_bucket % bucket_count
            self._next_bucket = bucket + 1
            return {bucket: range(rows.num_rows)}, {bucket: self._log_batch(rows)}
        positions = _grouped(self._keys.buckets(rows.columns, bucket_count))
        return positions, {bucket: self._log_batch(take(rows, part)) for bucket, part in positions.items()}

    def _log_batch(self, rows: pa.RecordBatch) -> bytes:
        from fluss_server.formats.arrow_batch import encode_payload
        from fluss_server.formats.columns import record_batch_to_rows
        from fluss_server.formats.row_log import encode_row_payload

        table = self._table
        if table.log_format is LogFormat.ARROW:
            payload = encode_payload(rows, table.arrow_compression, table.arrow_compression_level)
        else:
            payload = encode_row_payload(record_batch_to_rows(table.schema, KvFormat(table.log_format.value), rows))
        return bytes(build_batch(table.schema_id, change_types=None, payload=payload, record_count=rows.num_rows))

    # ---- partitions

    def _by_partition(self, rows: pa.RecordBatch) -> Iterator[tuple[tuple[Any, ...], Sequence[int]]]:
        """Values of the partition columns, and the indexes of their rows; all rows of a table without partitions."""
        if not self._partition_columns:
            yield (), range(rows.num_rows)
            return
        from fluss_server.formats.arrow_values import from_arrow

        types = [self._table.schema.types[index] for index in self._partition_columns]
        columns = [
            from_arrow(rows.column(index), kind) for index, kind in zip(self._partition_columns, types, strict=True)
        ]
        yield from _grouped(zip(*columns, strict=True)).items()

    def partition(self, values: Sequence[Any]) -> Partition:
        """The partition of values of the partition columns; created if missing."""
        names = self._table.descriptor.partition_key
        types = [self._table.schema.types[index] for index in self._partition_columns]
        texts = [partition_text(value, kind, name) for value, kind, name in zip(values, types, names, strict=True)]
        name = "$".join(texts)
        if name not in self._partitions:
            request = pb.CreatePartitionRequest(table_path=path_message(self._table.path), ignore_if_not_exists=True)
            for key, text in zip(names, texts, strict=True):
                request.partition_spec.partition_key_values.add(key=key, value=text)
            self._session.call(ApiKey.CREATE_PARTITION, request)
            self._partitions = {partition.name: partition for partition in self._session.partitions(self._table)}
        return self._partitions[name]


def partition_text(value: Any, data_type: DataType, name: str) -> str:
    """A partition column's value as it stands in the partition's name.

    Raises:
        FlussError: ``PARTITION_SPEC_INVALID_EXCEPTION`` for null, and for types that only other clients can write.
    """
    if value is None or data_type.root not in _PARTITION_TYPES:
        raise FlussError(
            ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION,
            f"partition column {name!r} of type {data_type} has the value {value!r}",
            hint="null is no partition; and this command can only write partitions of text, numbers and dates",
        )
    text = to_json(value, data_type)
    return text if isinstance(text, str) else str(text).lower()


def take(rows: pa.RecordBatch, indexes: Sequence[int]) -> pa.RecordBatch:
    """Some rows of a batch, in the order of the indexes, which are all different."""
    import pyarrow as pa

    return rows if len(indexes) == rows.num_rows else rows.take(pa.array(indexes, pa.int64()))


def _grouped(keys: Iterable[_Key]) -> dict[_Key, Sequence[int]]:
    """Positions of equal keys."""
    positions: dict[_Key, list[int]] = {}
    for position, key in enumerate(keys):
        positions.setdefault(key, []).append(position)
    return dict(positions)


class _Outcome:
    """What is known of each row of a batch."""

    def __init__(self, rows: int) -> None:
        self._states = bytearray([_MISSING]) * rows

    def set(self, indexes: Sequence[int], state: int) -> None:
        for index in indexes:
            self._states[index] = state

    def rows(self, state: int) -> list[int]:
        return [index for index, found in enumerate(self._states) if found == state]
