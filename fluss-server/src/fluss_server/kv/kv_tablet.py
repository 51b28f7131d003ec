"""The rows of one bucket of a primary-key table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.kv_batch import NO_BATCH_SEQUENCE, KvBatch
from fluss_server.formats.log_batch import NO_WRITER_ID
from fluss_server.formats.value_batch import encode_value
from fluss_server.kv.auto_increment import AutoIncrement, IdPool
from fluss_server.kv.backpressure import SLOWDOWN_FILES, Backpressure
from fluss_server.kv.batch_merge import keys_to_read, merge_batch
from fluss_server.kv.changelog import ChangelogReader, ChangelogWriter, primary_key_encoder
from fluss_server.kv.committed_rows import CommittedRows
from fluss_server.kv.disk_full import disk_full
from fluss_server.kv.merge_engines.engine import TableMergers
from fluss_server.kv.merge_engines.row_merger import ChangelogImage, DeleteBehavior, RowMerger
from fluss_server.kv.pre_write_buffer import PendingBatch, PreWriteBuffer
from fluss_server.kv.recovery import replay, replay_slice
from fluss_server.kv.resources import KvResources
from fluss_server.kv.scan import KvScan
from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.model.partition_values import partition_value
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo

logger = logging.getLogger(__name__)

MAX_RESPONSE_BYTES = 64 << 20
"""Most bytes of rows in one response that has to hold all of them."""

_SAMPLE_INTERVAL_S = 0.1  # of the number of files, which a flush or a compaction changes now and then


class KvTablet:
    """Merges upserts and deletes into rows and writes what changes to the log, which is the store's write-ahead log.

    A batch passes through three states: *pending* (merged, in the log; later batches see it, lookups do not),
    *committed* (in RocksDB; lookups see it), *persisted* (durable in RocksDB; a restart replays only the log behind
    it).

    When the disk becomes full, RocksDB takes no more writes until it is opened again. The tablet then is *suspended*:
    rows stay readable, writes are refused with ``DISK_WRITE_LOCKED``, and :meth:`recover` ends that. A tablet that was
    opened on a full disk has no readable rows until then, nor has one that is to lead and could not apply everything.

    On a follower it is a *standby*: :meth:`open_standby` opens it where it was, :meth:`apply_changelog` brings it
    further, and :meth:`lead` makes it take writes when it has everything.

    Threads: :meth:`put`, :meth:`find_or_insert`, :meth:`commit`, :meth:`apply_changelog`, :meth:`lead`,
    :meth:`recover`, :meth:`persist`, :meth:`update_table`, :meth:`open_scan`, :meth:`stop` and :meth:`delete` belong to
    one worker thread, the same for all tablets that share a :class:`KvResources`. A scan may be read in any thread.
    :meth:`lookup`, :meth:`prefix_lookup`, :meth:`limit_scan` and the properties may be used in another thread at the
    same time. A lookup sees every commit that returned before it began; while a commit runs it may see a part of it.

    All calls block. Errors of the store are ``KV_STORAGE_EXCEPTION``, and ``DISK_WRITE_LOCKED`` on a full disk.

    Attributes:
        ids: for the new rows of a table with an auto-increment column, else None; must hold as many ids as a write may
            insert rows before it is handed to the worker.
    """

    def __init__(
        self,
        directory: PurePath,
        table: TableInfo,
        schemas: Callable[[int], Schema],
        log: LogTablet,
        resources: KvResources,
        partition: Sequence[str] = (),
    ) -> None:
        """Use :meth:`open`."""
        self._directory = directory
        self._partition = tuple(partition)
        self._schemas = schemas
        self._log = log
        self._resources = resources
        self._runtime = resources.runtime
        self._monotonic = resources.runtime.clock.monotonic
        self._rows: CommittedRows | None = None
        self._suspended: FlussError | None = None
        self._committed_offset = 0  # what the rows have to contain before anybody may read them
        self._pending = PreWriteBuffer()
        self.backpressure = Backpressure(resources.backpressure_trigger)
        self._sampled_at = 0.0
        self._scans: set[KvScan] = set()
        self._closed = False
        has_ids = table.schema.auto_increment_column is not None
        self.ids = IdPool(resources.runtime.workers.lock()) if has_ids else None
        self._configure(table)

    def _configure(self, table: TableInfo) -> None:
        self._table = table
        self._changelog = ChangelogWriter(table, self._schemas)
        self._reader = ChangelogReader(table, self._schemas)
        self._keys = primary_key_encoder(table)
        self._mergers = TableMergers(table, self._schemas)
        self._auto_increment = None if self.ids is None else AutoIncrement(table, self.ids, self._mergers.codec)

    @classmethod
    def open(
        cls,
        directory: PurePath,
        table: TableInfo,
        schemas: Callable[[int], Schema],
        log: LogTablet,
        resources: KvResources,
        partition: Sequence[str] = (),
    ) -> KvTablet:
        """Open or create the tablet and bring it to the end of the log; everything in the log counts as committed.

        A store that is damaged, missing, or contains what the log does not, is built again from the log, with a
        message in ``logging``. On a full disk the tablet is opened without its rows, see :attr:`suspended`.

        Args:
            directory: of this tablet; created if missing.
            table: with a primary key.
            schemas: gives the schema of a schema id; raises ``SCHEMA_NOT_EXIST`` for an unknown one.
            log: open log of the same bucket.
            resources: shared by the tablets of a server.
            partition: for partitioned tables: the values of the partition columns, as text.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION`` if the store is unusable and cannot be built again; errors of the log.
        """
        tablet = cls(directory, table, schemas, log, resources, partition)
        tablet._committed_offset = log.end_offset
        tablet._open_unless_full()
        return tablet

    @classmethod
    def open_standby(
        cls,
        directory: PurePath,
        table: TableInfo,
        schemas: Callable[[int], Schema],
        log: LogTablet,
        resources: KvResources,
        partition: Sequence[str] = (),
    ) -> KvTablet:
        """As :meth:`open`, but nothing is replayed: the rows are those of :attr:`applied_offset`."""
        tablet = cls(directory, table, schemas, log, resources, partition)
        tablet._open_unless_full()
        return tablet

    def _open_unless_full(self) -> None:
        try:
            self._open_rows()
        except FlussError as error:
            if error.code is not ErrorCode.DISK_WRITE_LOCKED:
                raise
            self._suspend(error)

    def _open_rows(self) -> None:
        """Open the store and bring it to the offset up to which everything is committed."""
        rows = CommittedRows(self._directory, self._log, self._resources)
        try:
            replay(rows, self._log, self._reader, self._name, self._committed_offset, self._monotonic)
        except BaseException:
            rows.abandon()
            raise
        self._rows = rows

    # ------------------------------------------------------------------ full disk

    @property
    def suspended(self) -> FlussError | None:
        """Why writes are refused until :meth:`recover` succeeds; None while they are taken. Any thread."""
        return self._suspended

    def _suspend(self, error: FlussError) -> None:
        if self._suspended is None:
            logger.error("%s waits for space on the disk: %s", self._name, error.message)
            self._suspended = error

    def recover(self) -> None:
        """Open the store of a suspended tablet again, and replay what RocksDB lost; open scans end.

        Raises:
            FlussError: the tablet is still suspended; try again later. ``DISK_WRITE_LOCKED``,
                ``KV_STORAGE_EXCEPTION``, errors of the log.
        """
        self._check_open()
        if self._suspended is None:
            return
        if self._rows is not None:
            self._rows.check_space()
            if self._monotonic() < self._rows.closable_at:
                raise disk_full(f"{self._name} has just found the disk full")
            rows, self._rows = self._rows, None
            self._committed_offset = max(self._committed_offset, rows.offset)
            for scan in list(self._scans):
                scan.close()
            rows.abandon_quietly()
        self._open_rows()
        self._suspended = None
        logger.warning("%s takes writes again", self._name)

    @property
    def _name(self) -> str:
        return f"{self._table.path} {self._directory.name}"

    # ------------------------------------------------------------------ standby

    @property
    def applied_offset(self) -> int:
        """Changelog offset; the rows contain everything before it. 0 while there are no rows. Any thread."""
        rows = self._rows
        return 0 if rows is None else rows.offset

    @property
    def content_end(self) -> int:
        """Changelog offset; the rows, readable or not, contain no change from there on. 0 while there are no rows."""
        rows = self._rows
        return 0 if rows is None else rows.content_end

    def apply_changelog(self, end: int, *, admit: bool = True) -> bool:
        """Apply the next slice of the changelog, see :func:`fluss_server.kv.recovery.replay_slice`.

        Args:
            end: up to where the log is acknowledged.
            admit: refuse when too many files wait for a compaction, as for a write.

        Returns:
            whether there may be more before ``end``.

        Raises:
            FlussError: ``STORAGE_BACKPRESSURE_EXCEPTION``, ``SCHEMA_NOT_EXIST``: repeat it later;
                ``DISK_WRITE_LOCKED``: the tablet is suspended; ``KV_STORAGE_EXCEPTION``, ``CORRUPT_RECORD_EXCEPTION``,
                errors of the log.
        """
        self._check_writable()
        rows = self._rows
        assert rows is not None, "only a suspended tablet has none"
        if admit and rows.level0_files() + rows.unflushed_files >= SLOWDOWN_FILES:
            raise FlussError(
                ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION, f"too many files of {self._name} wait for compaction"
            )
        try:
            return replay_slice(rows, self._log, self._reader, end)
        except FlussError as error:
            self._suspend_if_full(rows, error)
            raise

    def lead(self) -> None:
        """Everything in the log counts as committed from now on; what is not applied yet is applied.

        Until then the rows are not readable: clients may have seen newer ones.

        Raises:
            FlussError: as :meth:`apply_changelog`. A suspended tablet does it in :meth:`recover`.
        """
        self._check_open()
        self._committed_offset = self._log.end_offset
        while self._suspended is None and self.applied_offset < self._committed_offset:
            self.apply_changelog(self._committed_offset, admit=False)

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
                ``DISK_WRITE_LOCKED``,
                ``STORAGE_BACKPRESSURE_EXCEPTION`` when too much is pending or waits for compaction, and errors of the
                log.
        """
        self._check_writable()
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
        self._check_writable()
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
        rows = self._readable_rows()
        waiting = self._resources.pending_bytes
        if waiting and waiting + size_bytes > self._resources.max_pending_bytes:
            raise self.backpressure.refusal(f"{waiting} bytes of merged rows wait for their commit")
        now = self._monotonic()
        if now - self._sampled_at >= _SAMPLE_INTERVAL_S:
            self._sampled_at = now
            self.backpressure.level0_files = rows.level0_files()
        self.backpressure.admit(rows.unflushed_files)

    def commit(self, offset: int) -> None:
        """Make the changes with log offsets below ``offset`` visible. May be repeated after an error.

        Args:
            offset: normally the new high watermark; less than the last one has no effect, more than the log's end
                means its end.

        Raises:
            FlussError: ``KV_STORAGE_EXCEPTION``, ``DISK_WRITE_LOCKED``; readers may see some of the changes.
        """
        self._check_writable()
        rows = self._readable_rows()
        offset = min(offset, self._log.end_offset)
        if offset <= rows.offset:
            return
        changes = self._pending.committable(offset)
        try:
            rows.apply(changes.rows, changes.row_count_change, offset, changes.size_bytes)
        except FlussError as error:
            self._suspend_if_full(rows, error)
            raise
        self._resources.pending_bytes -= self._pending.drop(offset)

    def _current(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Newest values of different keys in order, pending ones included; None = absent."""
        pending = self._pending.read(keys)
        rows = self._readable_rows()
        if not pending:
            return rows.read(keys)
        rest = [key for key in keys if key not in pending]
        values = dict(zip(rest, rows.read(rest), strict=True))
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
        rows = self._rows
        return 0 if self._closed or rows is None else rows.file_bytes

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
        return self._readable_rows().row_count

    def lookup(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values (schema id and row) of ``keys`` in order, None for absent ones."""
        return self._readable_rows().get(keys)

    def prefix_lookup(self, prefix: bytes, max_bytes: int = MAX_RESPONSE_BYTES) -> list[bytes]:
        """Values of all keys that begin with the encoded bucket key ``prefix``, in key order.

        Raises:
            FlussError: ``CORRUPT_MESSAGE`` for an empty prefix; ``RECORD_TOO_LARGE_EXCEPTION`` when they have more than
                ``max_bytes``.
        """
        if not prefix:
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, "a prefix lookup needs a prefix")
        return self._readable_rows().with_prefix(prefix, max_bytes)

    def prefix_lookup_few(self, prefix: bytes, max_rows: int, max_bytes: int) -> list[bytes] | None:
        """As :meth:`prefix_lookup`, or None when there are more rows or bytes than that."""
        self._check_open()
        if not prefix:
            raise FlussError(ErrorCode.CORRUPT_MESSAGE, "a prefix lookup needs a prefix")
        return self._readable_rows().few_with_prefix(prefix, max_rows, max_bytes)

    def limit_scan(self, limit: int, max_bytes: int = MAX_RESPONSE_BYTES) -> list[bytes]:
        """Values of the first ``limit`` rows in key order.

        Raises:
            FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` when they have more than ``max_bytes``.
        """
        return self._readable_rows().first(limit, max_bytes)

    def open_scan(self) -> KvScan:
        """Scan all rows that are visible now; close the scan when done."""
        rows = self._readable_rows()
        scan = KvScan(rows.snapshot(), rows.offset, self._scans.discard, self._runtime.workers.lock())
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
        rows = self._rows
        return 0 if rows is None else rows.retention_floor

    def persist(self) -> int:
        """Make what is committed durable in RocksDB and record it, so that a restart replays only the log behind.

        Blocks for as long as RocksDB writes the rest of its memtable, usually some ten milliseconds: big ones are
        written in the background by :meth:`commit`.

        Returns:
            Changelog offset up to which everything is durable in RocksDB.
        """
        rows = self._readable_rows()
        try:
            return rows.persist()
        except FlussError as error:
            self._suspend_if_full(rows, error)
            raise

    def stop(self) -> None:
        """Persist, and refuse everything from now on; :meth:`close` closes the files. May be called again.

        Raises:
            FlussError: as :meth:`persist`; the tablet is stopped all the same.
        """
        if self._closed:
            return
        self._end()
        if self._rows is not None:
            self._rows.stop(persist=self._suspended is None)

    def close(self) -> None:
        """Stop and close the files. Pending rows are in the log. In any thread after :meth:`stop`, which takes most of
        the time; of a full disk RocksDB needs up to a second here. May be called again."""
        try:
            self.stop()
        finally:
            rows, self._rows = self._rows, None
            if rows is not None:
                rows.close()

    def delete(self) -> None:
        """Close without persisting and remove the files."""
        if not self._closed:
            self._end()
            rows, self._rows = self._rows, None
            if rows is not None:
                rows.abandon_quietly()
        disk = self._runtime.disk
        try:
            if disk.exists(self._directory):
                disk.remove_tree(self._directory)
                disk.sync_directory(self._directory.parent)
            remains = disk.exists(self._directory)
        except OSError as error:
            raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"cannot remove {self._directory}: {error}") from error
        if remains:
            raise FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"cannot remove everything in {self._directory}")

    def _end(self) -> None:
        self._closed = True
        for scan in list(self._scans):
            scan.close()
        self._resources.pending_bytes -= self._pending.size_bytes
        self._pending = PreWriteBuffer()

    def _suspend_if_full(self, rows: CommittedRows, error: FlussError) -> None:
        if rows.is_full:
            self._suspend(error)

    def _readable_rows(self) -> CommittedRows:
        """The rows, or the error of a tablet that is closed, or has not got all that is committed on a full disk."""
        rows = self._rows
        if self._closed or rows is None or rows.offset < self._committed_offset:
            self._check_open()
            raise self._suspended or disk_full(f"{self._name} is being opened again")
        return rows

    def _check_writable(self) -> None:
        self._check_open()
        if self._suspended is not None:
            raise self._suspended

    def _check_open(self) -> None:
        if self._closed:
            raise FlussError(
                ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"{self._directory.name} of {self._table.path} is closed"
            )
