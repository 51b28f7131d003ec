"""Which partitions, buckets and columns of a table a command is about."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fluss_server.cli.failures import CommandError, UsageError
from fluss_server.cli.session import Partition, Session
from fluss_server.cli.table_reader import Bucket
from fluss_server.errors import FlussError
from fluss_server.model.table import TableInfo


def chosen_buckets(session: Session, table: TableInfo, parsed: argparse.Namespace) -> list[Bucket]:
    """The buckets that ``--partition`` and ``--bucket`` choose, all without them.

    Raises:
        UsageError: there is no such bucket, or the table has no partitions.
        CommandError: no partition has these values.
    """
    partitions = chosen_partitions(session, table, parsed)
    buckets = [(partition, bucket) for partition in partitions for bucket in range(partition.bucket_count_in(table))]
    if parsed.bucket is None:
        return buckets
    found = [(partition, bucket) for partition, bucket in buckets if bucket == parsed.bucket]
    if not found:
        most = max((partition.bucket_count_in(table) for partition in partitions), default=table.bucket_count)
        if parsed.bucket >= most:
            raise UsageError(f"{table.path} has no bucket {parsed.bucket}, only 0 to {most - 1}")
    return found


def chosen_partitions(session: Session, table: TableInfo, parsed: argparse.Namespace) -> list[Partition]:
    """The partitions that have the values of every ``--partition COLUMN=VALUE``."""
    wanted = assignments(parsed.partition or [])
    if not wanted:
        return session.partitions(table)
    columns = table.descriptor.partition_key
    if unknown := wanted.keys() - set(columns):
        known = f"its partition columns are {', '.join(columns)}" if columns else "it is not partitioned"
        raise UsageError(f"{table.path}: {', '.join(sorted(unknown))} is no partition column: {known}")
    found = [partition for partition in session.partitions(table) if wanted.items() <= dict(partition.values).items()]
    if not found:
        raise CommandError(f"{table.path} has no partition {', '.join(parsed.partition)}")
    return found


def chosen_columns(table: TableInfo, names: str | None) -> list[int]:
    """Indexes of the columns of ``--columns a,b``, all without it; UsageError for unknown ones."""
    if names is None:
        return list(range(len(table.schema.columns)))
    return [column_index(table, name.strip()) for name in names.split(",")]


def column_index(table: TableInfo, name: str) -> int:
    """Index of a column; UsageError."""
    try:
        return table.schema.indexes_of([name])[0]
    except FlussError:
        names = ", ".join(table.schema.names)
        raise UsageError(f"{table.path} has no column {name!r}; its columns are {names}") from None


def assignments(values: Sequence[str]) -> dict[str, str]:
    """Values by column of ``column=value`` texts; UsageError for others."""
    found: dict[str, str] = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"{text!r} is not NAME=VALUE")
        if key in found:
            raise UsageError(f"{key!r} is given twice")
        found[key] = value
    return found
