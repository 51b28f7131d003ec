"""Commands on the rows of a table: the first ones, by key, how many, their offsets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.failures import InputError, UsageError
from fluss_server.cli.json_values import from_json, parse_timestamp, to_json
from fluss_server.cli.log_printer import LogPrinter
from fluss_server.cli.output import NULL, RowPrinter, note, print_rows
from fluss_server.cli.output_format import OutputFormat
from fluss_server.cli.selection import assignments, chosen_buckets, chosen_columns, column_index
from fluss_server.cli.session import WHOLE_TABLE, Partition, Session, raise_bucket_error
from fluss_server.cli.table_reader import (
    EARLIEST,
    LATEST,
    TIMESTAMP,
    Bucket,
    bucket_offsets,
    count_rows,
    decode_values,
    first_rows,
    read_log,
    values_batch,
)
from fluss_server.cli.table_writer import TableKeys, TableWriter, partition_text
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableInfo


def head(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss head``"""
    table = session.table(parsed.table)
    columns = chosen_columns(table, parsed.columns)
    buckets = chosen_buckets(session, table, parsed)
    if not table.has_primary_key:
        _first_of_log(session, table, buckets, LogPrinter(table, columns, parsed.output, system_columns=False), parsed)
        return
    rows: list[tuple[Any, ...]] = []
    for partition, bucket in buckets:
        if len(rows) < parsed.limit:
            rows += first_rows(session, table, partition, bucket, parsed.limit - len(rows))
    _print_values(table, rows, columns, parsed.output)


def _first_of_log(
    session: Session, table: TableInfo, buckets: Sequence[Bucket], printer: LogPrinter, parsed: argparse.Namespace
) -> None:
    left = parsed.limit
    starts = bucket_offsets(session, table, buckets, EARLIEST)
    for page in read_log(session, table, starts, bucket_offsets(session, table, buckets, LATEST)):
        printer(page.first(left))
        left -= min(left, page.rows.num_rows)
        if not left:
            break
    printer.close()


def count(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss count``"""
    table = session.table(parsed.table)
    rows = count_rows(session, table, chosen_buckets(session, table, parsed))
    if parsed.output is OutputFormat.TABLE:
        print(rows)
    else:
        print_rows(("rows",), [(rows,)], parsed.output)


def get(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss get``: exit code 1 when there is no such row."""
    table = _primary_key_table(session, parsed.table)
    columns = chosen_columns(table, parsed.columns)
    values = _key_values(table, parsed.values)
    keys = TableKeys(table)
    names = table.schema.names
    whole_key = all(names[index] in values for index in keys.key_columns)
    begins_key = keys.bucket_columns == keys.key_columns[: len(keys.bucket_columns)]
    if not whole_key and not (begins_key and all(names[index] in values for index in keys.bucket_columns)):
        needed = ", ".join(names[index] for index in keys.key_columns)
        prefix = ", ".join(names[index] for index in keys.bucket_columns)
        raise UsageError(f"a key of {table.path} needs {needed}" + (f", or at least {prefix}" if begins_key else ""))
    partition = _partition_of(session, table, values)
    found: list[tuple[Any, ...]] = []
    if partition is not None:
        bucket_count = partition.bucket_count_in(table)
        if whole_key:
            key, bucket = keys.key_of([values[names[index]] for index in keys.key_columns], bucket_count)
            stored = _lookup(session, table, partition, bucket, key)
        else:
            key, bucket = keys.bucket_of_key([values[names[index]] for index in keys.bucket_columns], bucket_count)
            stored = _prefix_lookup(session, table, partition, bucket, key)
        found = decode_values(session, table, stored)
    _print_values(table, found, columns, parsed.output)
    return 0 if found else 1


def delete(session: Session, parsed: argparse.Namespace) -> int:
    """``fluss delete``: exit code 1 when there is no such row."""
    table = _primary_key_table(session, parsed.table)
    values = _key_values(table, parsed.values)
    keys = TableKeys(table)
    if missing := [name for name in table.schema.primary_key if name not in values]:
        raise UsageError(f"the key of {table.path} lacks {', '.join(missing)}")
    partition = _partition_of(session, table, values)
    shown = ", ".join(parsed.values)
    if partition is not None:
        key_values = [values[table.schema.names[index]] for index in keys.key_columns]
        key, bucket = keys.key_of(key_values, partition.bucket_count_in(table))
        try:
            known = bool(_lookup(session, table, partition, bucket, key))
            result = f"deleted from {table.path}: {shown}"
        except FlussError as error:
            if error.code is not ErrorCode.AUTHORIZATION_EXCEPTION:
                raise
            known = True  # as far as this user may see
            result = f"no row with {shown} is in {table.path} now; whether there was one, READ is needed to tell"
        if known:
            TableWriter(session, table).delete(key, bucket, partition)
            note(result)
            return 0
    note(f"nothing deleted: {table.path} has no row with {shown}")
    return 1


def offsets(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss offsets``"""
    table = session.table(parsed.table)
    buckets = chosen_buckets(session, table, parsed)
    columns = [bucket_offsets(session, table, buckets, kind) for kind in (EARLIEST, LATEST)]
    names = ["bucket", "earliest", "latest"]
    if parsed.at is not None:
        try:
            moment = parse_timestamp(parsed.at)[0]
        except ValueError as error:
            raise UsageError(str(error), hint="write a UTC time such as 2026-05-31T12:00:00") from None
        columns.append(bucket_offsets(session, table, buckets, TIMESTAMP, moment))
        names.append("at_time")
    rows: list[list[Any]] = [
        [bucket, *(column[partition, bucket] for column in columns)] for partition, bucket in buckets
    ]
    if table.is_partitioned:
        names.insert(0, "partition")
        rows = [[partition.name, *row] for (partition, _), row in zip(buckets, rows, strict=True)]
    print_rows(names, rows, parsed.output)


def _primary_key_table(session: Session, name: str) -> TableInfo:
    table = session.table(name)
    if not table.has_primary_key:
        raise FlussError(
            ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION,
            f"table {table.path} has no primary key",
            hint="read a log table with: fluss head, fluss tail",
        )
    return table


def _key_values(table: TableInfo, texts: list[str]) -> dict[str, Any]:
    values = {}
    for name, text in assignments(texts).items():
        column = table.schema.columns[column_index(table, name)]
        if name not in table.schema.primary_key:
            raise UsageError(f"column {name!r} is not part of the primary key of {table.path}")
        try:
            values[name] = from_json(text, column.type, name)
        except InputError as error:
            raise UsageError(error.message) from None
    return values


def _partition_of(session: Session, table: TableInfo, values: dict[str, Any]) -> Partition | None:
    """The partition that the values name, None if it does not exist."""
    if not table.is_partitioned:
        return WHOLE_TABLE
    texts = []
    for name in table.descriptor.partition_key:
        if name not in values:
            raise UsageError(f"the key lacks partition column {name!r}")
        texts.append(partition_text(values[name], table.schema.types[column_index(table, name)], name))
    found = {partition.name: partition for partition in session.partitions(table)}
    return found.get("$".join(texts))


def _lookup(session: Session, table: TableInfo, partition: Partition, bucket: int, key: bytes) -> list[bytes]:
    request = pb.LookupRequest(table_id=table.table_id)
    request.buckets_req.add(
        partition_id=partition.partition_id,
        bucket_id=bucket,
        keys=[key],
        routing_bucket_count=partition.bucket_count_in(table),
    )
    response = session.call(ApiKey.LOOKUP, request).buckets_resp[0]
    raise_bucket_error(response)
    return [value.values for value in response.values if value.HasField("values")]


def _prefix_lookup(session: Session, table: TableInfo, partition: Partition, bucket: int, key: bytes) -> list[bytes]:
    request = pb.PrefixLookupRequest(table_id=table.table_id)
    request.buckets_req.add(
        partition_id=partition.partition_id,
        bucket_id=bucket,
        keys=[key],
        routing_bucket_count=partition.bucket_count_in(table),
    )
    response = session.call(ApiKey.PREFIX_LOOKUP, request).buckets_resp[0]
    raise_bucket_error(response)
    return [value for values in response.value_lists for value in values.values]


def _print_values(
    table: TableInfo, rows: Sequence[Sequence[Any]], columns: Sequence[int], output_format: OutputFormat
) -> None:
    names = [table.schema.names[index] for index in columns]
    if output_format is OutputFormat.ARROW:
        batch = values_batch(table, rows).select(names)
        printer = RowPrinter(names, output_format, batch.schema)
        printer.batch(batch)
        printer.close()
        return
    print_rows(names, _shown(table, rows, columns), output_format, absent=NULL)


def _shown(table: TableInfo, rows: Sequence[Sequence[Any]], columns: Sequence[int]) -> Iterator[list[Any]]:
    types = table.schema.types
    for row in rows:
        yield [to_json(row[index], types[index]) for index in columns]
