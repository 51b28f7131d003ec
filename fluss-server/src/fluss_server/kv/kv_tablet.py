"""The rows of one bucket of a primary-key table."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.kv_batch import NO_BATCH_SEQUENCE, NO_WRITER_ID, KvBatch
from fluss_server.formats.value_batch import encode_value
from fluss_server.kv.auto_increment import AutoIncrement, IdRange, ReserveIds
from fluss_server.kv.backpressure import Backpressure
from fluss_server.kv.changelog import ChangelogReader, ChangelogWriter, primary_key_encoder
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.kv.merge import keys_to_read, merge_batch
from fluss_server.kv.merging.engine import TableMergers
from fluss_server.kv.merging.row_merger import ChangelogImage, DeleteBehavior, RowMerger
from fluss_server.kv.pre_write_buffer import PendingBatch, PreWriteBuffer
from fluss_server.kv.recovery import replay
from fluss_server.kv.rocks import KvResources
from fluss_server.kv.scan import KvScan
from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.model.partition_values import partition_value
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo
from fluss_server.runtime.files import fsync_directory

MAX_RESPONSE_BYTES = 64 << 20
"""Most bytes of rows in one answer that has to hold all of them."""

_SAMPLE_INTERVAL_S = 0.1  # of the number of files, which a flush or a compaction changes now and then


class KvTablet:
    """Merges upserts and deletes into rows and writes what changes to the log, which is the store's write-ahead log.

    A batch passes through three stations: *pending* (merged, in the log; later batches see it, lookups do not),
    *committed* (in RocksDB; lookups see it), *persisted* (durable in RocksDB; a restart replays only the log behind
    it).

    Threads: :meth:`put`, :meth:`find_or_insert`, :meth:`commit`, :meth:`persist`, :meth:`update_table`,
    :meth:`open_scan`, and the end of life belong to one worker thread, the same for all tablets that share a
    :class:`KvResources`. A scan may be read in any thread. :meth:`lookup`, :meth:`prefix_lookup`, :meth:`limit_scan`
    and the properties may be used in another thread at the same time. A lookup sees every commit that returned before
    it began; while a commit runs it may see a part of it.

    All calls block. Errors of the store are ``KV_STORAGE_EXCEPTION``.
    """

    def __init__(
        self,
        directory: Path,
        table: TableInfo,
        schemas: Callable[[int], Schema],
        log: LogTablet,
        resources: KvResources,
        rows: CommittedRows,
        reserve_ids: ReserveIds | None = None,
        partition: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._partition = tuple(partition)
        self._schemas = schemas
        self._log = log
        self._resources = resources
        self._rows = rows
        self._pending = PreWriteBuffer()
        self.backpressure = Backpressure(resources.backpressure_trigger)
        self._sampled_at = 0.0
        self._scans: set[KvScan] = set()
        self._closed = False
        self._ids: IdRange | None = None
        if table.schema.auto_increment_column is not None:
            assert reserve_ids is not None, "an auto-increment column needs a source of ids"
            self._ids = IdRange(reserve_ids, table.auto_increment_cache_size)
        self._configure(table)

    def _configure(self, table: TableInfo) -> None:
        self._table = table
        self._changelog = ChangelogWriter(table, self._schemas)
        self._keys = primary_key_encoder(table)
        self._mergers = TableMergers(table, self._schemas)
        self._auto_increment = None if self._ids is None else AutoIncrement(table, self._ids, self._mergers.codec)

    @classmethod
    def open(
        cls,
        directory: Path,
        table: TableInfo,
        schemas: Callable[[int], Schema],
        log: LogTablet,
        resources: KvResources,
        reserve_ids: ReserveIds | None = None,
        partition: Sequence[str] = (),
    ) -> KvTablet:
        """Open or create the tablet and bring it to the end of the log; everything in the log counts as committed.

        A store that is damaged, missing, or contains what the log does not, is built again from the log, with a
        message in ``logging``.

        Args:
            directory: of this tablet; created if missing.
            table: with a primary key.
            schemas: gives the schema of a schema id; raises ``SCHEMA_NOT_EXIST`` for an unknown one.
            log: open log of the same bucket.
            resources: shared by the tablets of a server.
            reserve_ids: for tables with an auto-increment column: where ids come from.
            partition: for partitioned tables: the values of the partition columns, as text.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION`` if the store is unusable and cannot be built again; errors of the log.
        """
        rows = CommittedRows(directory, log, resources)
        try:
            replay(rows, log, ChangelogReader(table, schemas), f"{table.path} {directory.name}")
        except BaseException:
            rows.abandon()
            raise
        return cls(directory, table, schemas, log, resources, rows, reserve_ids, partition)

    # ------------------------------------------------------------------ write

    def put(self, batch: Buffer, target_columns: Sequence[int] = (), *, overwrite: bool = False) -> AppendResult:
        """Merge a KV batch and append its changelog as exactly one log batch, also when nothing changed.

        The rows become visible with the :meth:`commit` that covers the result. A duplicate (same writer id and
        sequence) changes nothing and gets the result of the original.

        Args:
            batch: one whole KV batch.
            target_columns: positions of the columns to write, in the latest schema; empty = all.
            overwrite: whether rows replace others whatever the merge engine, and deletes are allowed.

        Raises:
            FlussError: nothing changed. ``CORRUPT_MESSAGE``, ``CORRUPT_RECORD_EXCEPTION`` for a damaged batch or row,
                ``SCHEMA_NOT_EXIST``, ``INVALID_TARGET_COLUMN``, ``DELETION_DISABLED_EXCEPTION``,
                ``OUT_OF_ORDER_SEQUENCE_EXCEPTION``, ``RECORD_TOO_LARGE_EXCEPTION``, ``KV_STORAGE_EXCEPTION``,
                ``STORAGE_BACKPRESSURE_EXCEPTION`` when too much is pending or waits for compaction, and errors of the
                log.
        """
        self._check_open()
        sent = KvBatch.parse(batch)
        if sent.size != len(batch):
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, f"{len(batch) - sent.size} bytes follow the KV batch")
        if sent.writer_id != NO_WRITER_ID:
            original = self._log.find_duplicate(sent.writer_id, sent.batch_sequence)
            if original is not None:
                return original
        self._admit(sent.size)
        if self._auto_increment is not None:
            self._auto_increment.check_targets(target_columns)
        merger, deletes = self._mergers.merger(target_columns, overwrite=overwrite)
        self._check_schema(sent.schema_id)
        keys, values = sent.records(encode_value(sent.schema_id, b""))
        return self._merge(merger, deletes, keys, values, sent.writer_id, sent.batch_sequence)

    def find_or_insert(self, keys: Sequence[bytes]) -> tuple[list[bytes], int]:
        """Values of ``keys``, after inserting a row for each that has none: the key, and null in all other columns.

        Returns:
            the values, in order, and the log offset whose :meth:`commit` makes all of them visible to lookups.

        Raises:
            FlussError: nothing changed. ``CORRUPT_RECORD_EXCEPTION`` for bytes that are no key,
                ``INVALID_TARGET_COLUMN`` if the table has NOT NULL columns beside its key or an engine that knows no
                partial updates, ``PARTITION_SPEC_INVALID_EXCEPTION`` if the name of the partition holds no values of
                the partition columns; others as :meth:`put`.
        """
        self._check_open()
        different = list(dict.fromkeys(keys))
        current = dict(zip(different, self._current(different), strict=True))
        missing = [key for key, value in current.items() if value is None]
        if missing:
            self._admit(sum(map(len, missing)))
            merger, deletes = self._mergers.merger(self._table.schema.primary_key_indexes, overwrite=False)
            values = [self._row_of_key(key) for key in missing]
            self._merge(merger, deletes, missing, values, NO_WRITER_ID, NO_BATCH_SEQUENCE)
            current = dict(zip(different, self._current(different), strict=True))
        found = [current[key] for key in keys]
        assert None not in found, "what was missing has been inserted"
        return found, self._log.end_offset  # type: ignore[return-value]  # no None is left

    def _merge(
        self,
        merger: RowMerger,
        deletes: DeleteBehavior,
        keys: Sequence[bytes],
        values: Sequence[bytes | None],
        writer_id: int,
        batch_sequence: int,
    ) -> AppendResult:
        """Merge, append the changelog, and let the changes wait for their commit."""
        image = self._mergers.image
        on_insert = None if self._auto_increment is None else self._auto_increment.fill
        read = keys_to_read(merger, keys, values, image, on_insert)
        olds = self._current(read)
        changes = merge_batch(merger, keys, values, read, olds, deletes=deletes, image=image, on_insert=on_insert)
        log_batch = self._changelog.build(changes, writer_id, batch_sequence)
        pending = PendingBatch(bytes(changes.change_types), changes.keys, changes.values)
        result = self._log.append(log_batch)
        if not result.duplicate:
            self._pending.add(pending, result.base_offset, result.last_offset + 1)
            self._resources.pending_bytes += pending.size_bytes
        return result

    def _row_of_key(self, key: bytes) -> bytes:
        """The value with the key, the partition's values, which keys lack, and null elsewhere."""
        table = self._table
        schema = table.schema
        row: list[Any] = [None] * len(schema.columns)
        for index, value in zip(schema.indexes_of(table.physical_primary_key), self._keys.decode(key), strict=True):
            row[index] = value
        for index, text in zip(schema.indexes_of(table.descriptor.partition_key), self._partition, strict=True):
            row[index] = partition_value(text, schema.types[index])
        return encode_value(table.schema_id, self._mergers.codec(table.schema_id).encode(row))

    def _admit(self, size_bytes: int) -> None:
        """Raise ``STORAGE_BACKPRESSURE_EXCEPTION`` when the store cannot keep up."""
        waiting = self._resources.pending_bytes
        if waiting and waiting + size_bytes > self._resources.max_pending_bytes:
            raise self.backpressure.refusal(f"{waiting} bytes of merged rows wait for their commit")
        now = time.monotonic()
        if now - self._sampled_at >= _SAMPLE_INTERVAL_S:
            self._sampled_at = now
            self.backpressure.level0_files = self._rows.level0_files()
        self.backpressure.admit(self._rows.unflushed_files)

    def commit(self, offset: int) -> None:
        """Make the changes with log offsets below ``offset`` visible. May be repeated after an error.

        Args:
            offset: normally the new high watermark; less than the last one has no effect, more than the log's end
                means its end.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION``; readers may see some of the changes.
        """
        self._check_open()
        offset = min(offset, self._log.end_offset)
        if offset <= self._rows.offset:
            return
        changes = self._pending.committable(offset)
        self._rows.apply(changes.rows, changes.row_count_change, offset, changes.size_bytes)
        self._resources.pending_bytes -= self._pending.drop(offset)

    def _current(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Newest values of different keys in order, pending ones included; None = absent."""
        pending = self._pending.read(keys)
        if not pending:
            return self._rows.read(keys)
        rest = [key for key in keys if key not in pending]
        values = dict(zip(rest, self._rows.read(rest), strict=True))
        values.update(pending)
        return list(map(values.__getitem__, keys))

    def _check_schema(self, schema_id: int) -> None:
        latest = self._table.schema_id
        if not 0 < schema_id <= latest:
            raise FlussError(
                ErrorCode.SCHEMA_NOT_EXIST, f"{self._table.path} has no schema {schema_id}; the newest is {latest}"
            )
        self._schemas(schema_id)

    # ------------------------------------------------------------------ read

    @property
    def file_bytes(self) -> int:
        """Bytes of RocksDB's files; 0 when it is closed."""
        return 0 if self._closed else self._rows.file_bytes

    @property
    def committed_offset(self) -> int:
        """Changelog offset; the changes below it are visible."""
        return self._rows.offset

    @property
    def row_count(self) -> int:
        """Number of visible rows.

        Raises:
            FlussError: ``INVALID_TABLE_EXCEPTION`` with the WAL image, whose changelog does not tell inserts from
                updates.
        """
        if self._mergers.image is ChangelogImage.WAL:
            raise FlussError(
                ErrorCode.INVALID_TABLE_EXCEPTION,
                f"rows of {self._table.path} are not counted",
                hint="table.changelog.image is WAL; only tables with FULL count their rows",
            )
        return self._rows.row_count

    def lookup(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values (schema id and row) of ``keys`` in order, None for absent ones."""
        self._check_open()
        return self._rows.get(keys)

    def prefix_lookup(self, prefix: bytes, max_bytes: int = MAX_RESPONSE_BYTES) -> list[bytes]:
        """Values of all keys that begin with the encoded bucket key ``prefix``, in key order.

        Raises:
            FlussError: ``CORRUPT_MESSAGE`` for an empty prefix; ``RECORD_TOO_LARGE_EXCEPTION`` when they have more than
                ``max_bytes``.
        """
        self._check_open()
        if not prefix:
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, "a prefix lookup needs a prefix")
        return self._rows.with_prefix(prefix, max_bytes)

    def prefix_lookup_few(self, prefix: bytes, max_rows: int, max_bytes: int) -> list[bytes] | None:
        """As :meth:`prefix_lookup`, or None when there are more rows or bytes than that."""
        self._check_open()
        if not prefix:
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, "a prefix lookup needs a prefix")
        return self._rows.few_with_prefix(prefix, max_rows, max_bytes)

    def limit_scan(self, limit: int, max_bytes: int = MAX_RESPONSE_BYTES) -> list[bytes]:
        """Values of the first ``limit`` rows in key order.

        Raises:
            FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` when they have more than ``max_bytes``.
        """
        self._check_open()
        return self._rows.first(limit, max_bytes)

    def open_scan(self) -> KvScan:
        """Scan all rows that are visible now; close the scan when done."""
        self._check_open()
        scan = KvScan(self._rows.snapshot(), self._rows.offset, self._scans.discard)
        self._scans.add(scan)
        return scan

    # ------------------------------------------------------------------ life cycle

    def update_table(self, table: TableInfo) -> None:
        """Take in a new definition of the table, with other options or a newer schema.

        Rows that are there keep the schema they were written with; changelogs are from now on in the newest one.
        """
        self._configure(table)

    @property
    def retention_floor(self) -> int:
        """Changelog offset from which on a restart may need the log; :meth:`persist` moves it up."""
        return self._rows.retention_floor

    def persist(self) -> int:
        """Make what is committed durable in RocksDB and record it, so that a restart replays only the log behind.

        Blocks for as long as RocksDB writes the rest of its memtable, usually some ten milliseconds: big ones are
        written in the background by :meth:`commit`.

        Returns:
            Changelog offset up to which everything is durable in RocksDB.
        """
        self._check_open()
        return self._rows.persist()

    def close(self) -> None:
        """Persist and close. Pending rows are in the log. May be called again."""
        if not self._closed:
            self._end()
            self._rows.close()

    def delete(self) -> None:
        """Close without persisting and remove the files."""
        if not self._closed:
            self._end()
            self._rows.abandon()
        try:
            if self._directory.exists():
                shutil.rmtree(self._directory)
                fsync_directory(self._directory.parent)
        except OSError as error:
            raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"cannot remove {self._directory}: {error}") from error

    def _end(self) -> None:
        self._closed = True
        for scan in list(self._scans):
            scan.close()
        self._resources.pending_bytes -= self._pending.size_bytes
        self._pending = PreWriteBuffer()

    def _check_open(self) -> None:
        if self._closed:
            raise FlussError(
                ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"{self._directory.name} of {self._table.path} is closed"
            )
