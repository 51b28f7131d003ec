"""Commands on rows: write, follow, look up, count."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.catalog_commands import assignments
from fluss_server.cli.input_files import FORMATS, format_of, read_rows
from fluss_server.cli.json_values import from_json, parse_timestamp, timestamp_text, to_json
from fluss_server.cli.output import NULL, OutputFormat, RowPrinter, note, print_rows
from fluss_server.cli.session import WHOLE_TABLE, Partition, Session, raise_bucket_error
from fluss_server.cli.table_reader import (
    CHANGE_NAMES,
    EARLIEST,
    LATEST,
    TIMESTAMP,
    LogPage,
    LogReader,
    decode_values,
    first_rows,
    list_offsets,
)
from fluss_server.cli.table_writer import TableKeys, TableWriter
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableInfo

if TYPE_CHECKING:
    import pyarrow as pa

_WAIT_MS = 500
_SYSTEM_COLUMNS = ("_change_type", "_log_offset", "_commit_timestamp", "_bucket")
_PARTITION_COLUMN = "_partition"


def put(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss put``"""
    table = session.table(parsed.table)
    file_format = parsed.format or ("jsonl" if parsed.file == "-" else format_of(parsed.file))
    if file_format == "parquet" and parsed.file == "-":
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, "Parquet cannot be read from standard input")
    writer = TableWriter(session, table)
    rows = 0
    started = time.monotonic()
    with _progress(parsed.file) as progress:
        try:
            for batch in read_rows(parsed.file, file_format, table.schema, progress):
                writer.write(batch)
                rows += batch.num_rows
        except FlussError as error:
            hint = f"the {rows} rows before this page are written and durable" + (
                f"; {error.hint}" if error.hint else ""
            )
            raise FlussError(error.code, error.message, hint=hint) from None
    seconds = time.monotonic() - started
    verb = "upserted into" if table.has_primary_key else "appended to"
    note(f"{rows} rows {verb} {table.path}" + (f", {rows / seconds:,.0f} rows/s" if rows >= 10_000 else ""))


@contextlib.contextmanager
def _progress(path: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda read: None
        return
    from tqdm import tqdm

    total = os.path.getsize(path) if path != "-" and os.path.exists(path) else None
    with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc=os.path.basename(path)) as bar:
        yield lambda read: bar.update(max(read - bar.n, 0))


def tail(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss tail``"""
    table = session.table(parsed.table)
    partitions = session.partitions(table)
    starts: dict[tuple[Partition, int], int] = {}
    ends: dict[tuple[Partition, int], int] = {}
    for partition in partitions:
        latest = list_offsets(session, table, partition, LATEST)
        for bucket, offset in _start_offsets(session, table, partition, parsed.start).items():
            starts[partition, bucket] = offset
            ends[partition, bucket] = latest[bucket]
    columns = _chosen_columns(table, parsed.columns)
    printer = _LogPrinter(table, columns, parsed.output)
    left = parsed.limit if parsed.limit is not None else sys.maxsize
    reader = LogReader(session, table, starts)
    try:
        while left > 0 and (parsed.follow or any(reader.positions[key] < end for key, end in ends.items())):
            for page in reader.poll(_WAIT_MS):
                rows = page.rows.num_rows
                if not parsed.follow:
                    rows = min(rows, ends[page.partition, page.bucket] - page.first_offset)
                rows = min(rows, left)
                if rows > 0:
                    printer(page, rows)
                    left -= rows
    except KeyboardInterrupt:
        pass
    finally:
        printer.close()


def _start_offsets(session: Session, table: TableInfo, partition: Partition, start: str) -> dict[int, int]:
    earliest = list_offsets(session, table, partition, EARLIEST)
    if start == "earliest":
        return earliest
    if start == "latest":
        return list_offsets(session, table, partition, LATEST)
    if start.isdecimal():
        return {bucket: max(int(start), offset) for bucket, offset in earliest.items()}
    try:
        milliseconds = parse_timestamp(start)[0]
    except ValueError:
        raise FlussError(
            ErrorCode.INVALID_TIMESTAMP_EXCEPTION,
            f"cannot start at {start!r}",
            hint="use earliest, latest, an offset, or a UTC time such as 2026-05-31T12:00:00",
        ) from None
    return list_offsets(session, table, partition, TIMESTAMP, milliseconds)


def _chosen_columns(table: TableInfo, names: str | None) -> list[int]:
    if names is None:
        return list(range(len(table.schema.columns)))
    return list(table.schema.indexes_of([name.strip() for name in names.split(",")]))


class _LogPrinter:
    """Prints pages of a log: the system columns, then the chosen ones."""

    def __init__(self, table: TableInfo, columns: Sequence[int], output_format: OutputFormat) -> None:
        self._table = table
        self._columns = list(columns)
        self._format = output_format
        self._system = (*_SYSTEM_COLUMNS, *((_PARTITION_COLUMN,) if table.is_partitioned else ()))
        names = [*self._system, *(table.schema.names[index] for index in self._columns)]
        self._printer = RowPrinter(
            names, output_format, self._schema() if output_format is OutputFormat.ARROW else None
        )

    def __call__(self, page: LogPage, rows: int) -> None:
        if self._format is OutputFormat.ARROW:
            self._printer.batch(self._batch(page, rows))
            return
        from fluss_server.formats.arrow_values import from_arrow

        types = self._table.schema.types
        batch = page.rows.slice(0, rows)
        columns = [
            [to_json(value, types[index]) for value in from_arrow(batch.column(index), types[index])]
            for index in self._columns
        ]
        stamp = timestamp_text(page.timestamp) if self._format is OutputFormat.TABLE else page.timestamp
        partition = (page.partition.name,) if self._table.is_partitioned else ()
        self._printer.rows(
            (CHANGE_NAMES[change], page.first_offset + at, stamp, page.bucket, *partition, *(c[at] for c in columns))  # type: ignore[index]
            for at, change in enumerate(page.change_types[:rows])
        )

    def close(self) -> None:
        self._printer.close()

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        from fluss_server.formats.arrow_types import arrow_schema

        kinds = (pa.string(), pa.int64(), pa.timestamp("ms"), pa.int32(), pa.string())
        own = [pa.field(name, kind, nullable=False) for name, kind in zip(self._system, kinds, strict=False)]
        columns = arrow_schema(self._table.schema)
        return pa.schema([*own, *(columns.field(index) for index in self._columns)])

    def _batch(self, page: LogPage, rows: int) -> pa.RecordBatch:
        import pyarrow as pa

        changes = [CHANGE_NAMES[change] for change in page.change_types[:rows]]  # type: ignore[index]
        own = [
            pa.array(changes, pa.string()),
            pa.array(range(page.first_offset, page.first_offset + rows), pa.int64()),
            pa.array([page.timestamp] * rows, pa.timestamp("ms")),
            pa.array([page.bucket] * rows, pa.int32()),
        ]
        if self._table.is_partitioned:
            own.append(pa.array([page.partition.name] * rows, pa.string()))
        batch = page.rows.slice(0, rows)
        return pa.RecordBatch.from_arrays([*own, *map(batch.column, self._columns)], schema=self._schema())


def head(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss head``"""
    table = _primary_key_table(session, parsed.table)
    rows: list[tuple[Any, ...]] = []
    for partition in session.partitions(table):
        for bucket in range(table.bucket_count):
            if len(rows) < parsed.limit:
                rows += first_rows(session, table, partition, bucket, parsed.limit - len(rows))
    _print_values(table, rows, parsed.output)


def get(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss get``: exit code 1 when there is no such row."""
    table = _primary_key_table(session, parsed.table)
    values = _key_values(table, parsed.values)
    keys = TableKeys(table)
    partition = _partition_of(session, table, values)
    names = table.schema.names
    found: list[tuple[Any, ...]] = []
    if partition is not None:
        if all(names[index] in values for index in keys.key_columns):
            key, bucket = keys.key_of([values[names[index]] for index in keys.key_columns])
            stored = _lookup(session, table, partition, bucket, key)
        elif keys.bucket_columns == keys.key_columns[: len(keys.bucket_columns)] and all(
            names[index] in values for index in keys.bucket_columns
        ):
            key, bucket = keys.bucket_of_key([values[names[index]] for index in keys.bucket_columns])
            stored = _prefix_lookup(session, table, partition, bucket, key)
        else:
            needed = ", ".join(names[index] for index in keys.key_columns)
            raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"a key of {table.path} needs {needed}")
        found = decode_values(session, table, stored)
    _print_values(table, found, parsed.output)
    return 0 if found else 1


def delete(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss delete``"""
    table = _primary_key_table(session, parsed.table)
    values = _key_values(table, parsed.values)
    keys = TableKeys(table)
    missing = [name for name in table.schema.primary_key if name not in values]
    if missing:
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"the key lacks {', '.join(missing)}")
    partition = _partition_of(session, table, values)
    if partition is not None:
        key, bucket = keys.key_of([values[table.schema.names[index]] for index in keys.key_columns])
        TableWriter(session, table).delete(key, bucket, partition)
    note(f"deleted from {table.path}: {', '.join(parsed.values)}")


def offsets(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss offsets``"""
    table = session.table(parsed.table)
    moment = None
    if parsed.at is not None:
        try:
            moment = parse_timestamp(parsed.at)[0]
        except ValueError as error:
            raise FlussError(ErrorCode.INVALID_TIMESTAMP_EXCEPTION, str(error)) from None
    rows = []
    for partition in session.partitions(table):
        earliest = list_offsets(session, table, partition, EARLIEST)
        latest = list_offsets(session, table, partition, LATEST)
        timed = {} if moment is None else list_offsets(session, table, partition, TIMESTAMP, moment)
        for bucket in sorted(latest):
            row: list[Any] = [bucket, earliest[bucket], latest[bucket]]
            rows.append(
                [*([partition.name] if table.is_partitioned else []), *row, *([timed[bucket]] if timed else [])]
            )
    columns = ["bucket", "earliest", "latest"]
    print_rows(
        [*(["partition"] if table.is_partitioned else []), *columns, *(["at_time"] if parsed.at else [])],
        rows,
        parsed.output,
    )


def _primary_key_table(session: Session, name: str) -> TableInfo:
    table = session.table(name)
    if not table.has_primary_key:
        raise FlussError(
            ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION,
            f"table {table.path} has no primary key",
            hint="read a log table with: fluss tail",
        )
    return table


def _key_values(table: TableInfo, texts: list[str]) -> dict[str, Any]:
    values = {}
    for name, text in assignments(texts).items():
        column = table.schema.columns[table.schema.indexes_of([name])[0]]
        if name not in table.schema.primary_key:
            raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"column {name!r} is not part of the primary key")
        values[name] = from_json(text, column.type, name)
    return values


def _partition_of(session: Session, table: TableInfo, values: dict[str, Any]) -> Partition | None:
    """The partition that the values name, None if it does not exist."""
    if not table.is_partitioned:
        return WHOLE_TABLE
    from fluss_server.cli.table_writer import partition_text

    texts = []
    for name in table.descriptor.partition_key:
        if name not in values:
            raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"the key lacks partition column {name!r}")
        texts.append(partition_text(values[name], table.schema.types[table.schema.indexes_of([name])[0]], name))
    found = {partition.name: partition for partition in session.partitions(table)}
    return found.get("$".join(texts))


def _lookup(session: Session, table: TableInfo, partition: Partition, bucket: int, key: bytes) -> list[bytes]:
    request = pb.LookupRequest(table_id=table.table_id)
    request.buckets_req.add(partition_id=partition.partition_id, bucket_id=bucket, keys=[key])
    response = session.call(ApiKey.LOOKUP, request).buckets_resp[0]
    raise_bucket_error(response)
    return [value.values for value in response.values if value.HasField("values")]


def _prefix_lookup(session: Session, table: TableInfo, partition: Partition, bucket: int, key: bytes) -> list[bytes]:
    request = pb.PrefixLookupRequest(table_id=table.table_id)
    request.buckets_req.add(partition_id=partition.partition_id, bucket_id=bucket, keys=[key])
    response = session.call(ApiKey.PREFIX_LOOKUP, request).buckets_resp[0]
    raise_bucket_error(response)
    return [value for values in response.value_lists for value in values.values]


def _print_values(table: TableInfo, rows: Sequence[Sequence[Any]], output_format: OutputFormat) -> None:
    schema = table.schema
    if output_format is OutputFormat.ARROW:
        import pyarrow as pa

        from fluss_server.formats.arrow_types import arrow_schema
        from fluss_server.formats.arrow_values import to_arrow

        printer = RowPrinter(schema.names, output_format, arrow_schema(schema))
        columns = [to_arrow([row[index] for row in rows], kind) for index, kind in enumerate(schema.types)]
        printer.batch(pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema)))
        printer.close()
        return
    shown = [[to_json(value, kind) for value, kind in zip(row, schema.types, strict=True)] for row in rows]
    print_rows(schema.names, shown, output_format, absent=NULL)


__all__ = ["FORMATS", "delete", "get", "head", "offsets", "put", "tail"]
