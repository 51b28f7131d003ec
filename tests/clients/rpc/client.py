"""One face for all official clients, so that a test is written once and runs through each of them.

Values of rows are those of JSON, as ``official/java/src/common/Values.java`` describes: numbers and texts as they are,
decimals as text, bytes in base 64, dates in days, times in milliseconds, timestamps in nanoseconds since the epoch,
arrays and rows as lists, maps as lists of pairs, sorted by key. A row is a list, a log record a dictionary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from fluss_server.errors import ErrorCode

PYFLUSS = "pyfluss 1.0.0"
JAVA_0_9 = "Java 0.9.1"
JAVA_1_0 = "Java 1.0.0"
ALL = (PYFLUSS, JAVA_0_9, JAVA_1_0)
JAVA = (JAVA_0_9, JAVA_1_0)

Row = list[Any]


class ClientError(Exception):
    """What a client raised.

    Attributes:
        code: official error code; below 0 for errors of the client itself.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def code_of(error: pytest.ExceptionInfo[ClientError]) -> ErrorCode:
    """The official code of what a client raised."""
    return ErrorCode(error.value.code)


class NotOffered(Exception):
    """The client has no such call."""


class Column(NamedTuple):
    """A column of a new table.

    Attributes:
        name: its name.
        type: as in SQL, for example ``DECIMAL(10, 2) NOT NULL``.
        aggregation: its function in a table with the aggregation merge engine.
        parameters: of that function.
        comment: a remark.
    """

    name: str
    type: str
    aggregation: str | None = None
    parameters: Mapping[str, str] = {}
    comment: str | None = None


def columns(text: str) -> list[Column]:
    """Columns written as in SQL: ``columns("id BIGINT NOT NULL, name STRING")``; no commas inside of types."""
    found = []
    for part in text.split(","):
        name, data_type = part.strip().split(" ", 1)
        found.append(Column(name, data_type))
    return found


@dataclass(frozen=True)
class Start:
    """Where a scan begins in a bucket; ``EARLIEST`` is its first offset."""

    bucket: int = 0
    offset: int = -2
    partition_id: int | None = None


class Client(ABC):
    """Calls of a client, one connection. ``database`` is ``fluss`` everywhere when it is not given.

    Raises (everywhere):
        ClientError: the client raised.
        NotOffered: the client has no such call.
    """

    label: str

    @abstractmethod
    def run(self, call: str, arguments: dict[str, Any]) -> Any:
        """Run a call by name."""

    @abstractmethod
    def another(self, options: Mapping[str, str]) -> Client:
        """A new connection to the same server; options are named without ``client.``."""

    def _run(self, call: str, **arguments: Any) -> Any:
        return self.run(call, arguments)

    # Databases

    def create_database(
        self,
        name: str,
        *,
        comment: str | None = None,
        properties: Mapping[str, str] | None = None,
        ignore_if_exists: bool = False,
    ) -> None:
        self._run(
            "create_database",
            name=name,
            comment=comment,
            properties=properties or {},
            ignore_if_exists=ignore_if_exists,
        )

    def alter_database(
        self,
        name: str,
        *,
        set_properties: Mapping[str, str] | None = None,
        reset: Sequence[str] = (),
        comment: str | None = None,
        ignore_if_not_exists: bool = False,
    ) -> None:
        self._run(
            "alter_database",
            name=name,
            set=set_properties or {},
            reset=list(reset),
            comment=comment,
            ignore_if_not_exists=ignore_if_not_exists,
        )

    def drop_database(self, name: str, *, ignore_if_not_exists: bool = False, cascade: bool = False) -> None:
        self._run("drop_database", name=name, ignore_if_not_exists=ignore_if_not_exists, cascade=cascade)

    def database_exists(self, name: str) -> Any:
        return self._run("database_exists", name=name)

    def list_databases(self) -> list[str]:
        return list(self._run("list_databases"))

    def list_database_summaries(self) -> dict[str, int]:
        """Tables per database."""
        return dict(self._run("list_database_summaries"))

    def database_info(self, name: str) -> dict[str, Any]:
        return dict(self._run("database_info", name=name))

    # Tables

    def create_table(
        self,
        table: str,
        columns: Sequence[Column],
        *,
        database: str = "fluss",
        primary_key: Sequence[str] = (),
        bucket_key: Sequence[str] = (),
        buckets: int | None = 1,
        partitioned_by: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
        custom_properties: Mapping[str, str] | None = None,
        comment: str | None = None,
        auto_increment: str | None = None,
        ignore_if_exists: bool = False,
    ) -> None:
        self._run(
            "create_table",
            database=database,
            table=table,
            columns=[column._asdict() for column in columns],
            primary_key=list(primary_key),
            bucket_key=list(bucket_key),
            buckets=buckets,
            partitioned_by=list(partitioned_by),
            properties=properties or {},
            custom_properties=custom_properties or {},
            comment=comment,
            auto_increment=auto_increment,
            ignore_if_exists=ignore_if_exists,
        )

    def drop_table(self, table: str, *, database: str = "fluss", ignore_if_not_exists: bool = False) -> None:
        self._run("drop_table", database=database, table=table, ignore_if_not_exists=ignore_if_not_exists)

    def table_exists(self, table: str, *, database: str = "fluss") -> Any:
        return self._run("table_exists", database=database, table=table)

    def list_tables(self, database: str = "fluss") -> list[str]:
        return list(self._run("list_tables", database=database))

    def table_info(self, table: str, *, database: str = "fluss") -> dict[str, Any]:
        return dict(self._run("table_info", database=database, table=table))

    def table_schema(self, table: str, *, schema_id: int | None = None, database: str = "fluss") -> dict[str, Any]:
        return dict(self._run("table_schema", database=database, table=table, schema_id=schema_id))

    def alter_table(
        self,
        table: str,
        *,
        database: str = "fluss",
        set_options: Mapping[str, str] | None = None,
        reset: Sequence[str] = (),
        add_columns: Sequence[Mapping[str, str]] = (),
        drop_columns: Sequence[str] = (),
        rename_columns: Mapping[str, str] | None = None,
        ignore_if_not_exists: bool = False,
    ) -> None:
        self._run(
            "alter_table",
            database=database,
            table=table,
            set=set_options or {},
            reset=list(reset),
            add_columns=[dict(column) for column in add_columns],
            drop_columns=list(drop_columns),
            rename_columns=rename_columns or {},
            ignore_if_not_exists=ignore_if_not_exists,
        )

    def alter_bucket_count(self, table: str, bucket_count: int, *, database: str = "fluss") -> None:
        """Give coming partitions another number of buckets; only Java 1.0."""
        self._run("alter_bucket_count", table=table, bucket_count=bucket_count, database=database)

    def hold_table(self, table: str, handle: str, *, database: str = "fluss") -> None:
        """Keep the table as it is now under ``handle``: reading and writing with it know only that schema."""
        self._run("hold_table", database=database, table=table, handle=handle)

    def table_stats(self, table: str, *, database: str = "fluss") -> Any:
        """Number of rows."""
        return self._run("table_stats", database=database, table=table)

    def list_offsets(
        self,
        table: str,
        spec: str | int,
        *,
        buckets: Sequence[int] = (0,),
        partition: str | None = None,
        database: str = "fluss",
    ) -> dict[int, int]:
        """Offsets by bucket; ``spec`` is ``earliest``, ``latest`` or a time in epoch milliseconds."""
        found = self._run(
            "list_offsets", database=database, table=table, spec=spec, buckets=list(buckets), partition=partition
        )
        return {int(bucket): offset for bucket, offset in found.items()}

    # Partitions

    def create_partition(
        self, table: str, spec: Mapping[str, str], *, database: str = "fluss", ignore_if_exists: bool = False
    ) -> None:
        self._run("create_partition", database=database, table=table, spec=spec, ignore_if_exists=ignore_if_exists)

    def drop_partition(
        self, table: str, spec: Mapping[str, str], *, database: str = "fluss", ignore_if_not_exists: bool = False
    ) -> None:
        self._run(
            "drop_partition", database=database, table=table, spec=spec, ignore_if_not_exists=ignore_if_not_exists
        )

    def list_partitions(
        self, table: str, spec: Mapping[str, str] | None = None, *, database: str = "fluss"
    ) -> dict[str, int]:
        """Ids by name."""
        return dict(self._run("list_partitions", database=database, table=table, spec=spec))

    # Reading and writing

    def append(self, table: str, rows: Sequence[Row], *, database: str = "fluss", handle: str | None = None) -> None:
        self._run("append", database=database, table=table, rows=list(rows), handle=handle)

    def upsert(
        self,
        table: str,
        rows: Sequence[Row],
        *,
        columns: Sequence[str] = (),
        merge_mode: str | None = None,
        database: str = "fluss",
        handle: str | None = None,
    ) -> None:
        """Write whole rows; with ``columns`` only those of them count."""
        self._run(
            "upsert",
            database=database,
            table=table,
            rows=list(rows),
            columns=list(columns),
            merge_mode=merge_mode,
            handle=handle,
        )

    def delete(self, table: str, rows: Sequence[Row], *, columns: Sequence[str] = (), database: str = "fluss") -> None:
        """Delete by the key columns of whole rows; with ``columns`` only those columns."""
        self._run("delete", database=database, table=table, rows=list(rows), columns=list(columns))

    def lookup(
        self,
        table: str,
        keys: Sequence[Row],
        *,
        by: Sequence[str] = (),
        insert_if_not_exists: bool = False,
        database: str = "fluss",
        handle: str | None = None,
    ) -> list[list[Row]]:
        """The rows found for each key."""
        return list(
            self._run(
                "lookup",
                database=database,
                table=table,
                keys=list(keys),
                by=list(by),
                insert_if_not_exists=insert_if_not_exists,
                handle=handle,
            )
        )

    def scan(
        self,
        table: str,
        count: int,
        *,
        starts: Sequence[Start] = (Start(),),
        columns: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,
        database: str = "fluss",
        handle: str | None = None,
    ) -> list[dict[str, Any]]:
        """At least ``count`` log records, and those that come within a moment after them.

        A record has ``partition_id``, ``bucket``, ``offset``, ``timestamp``, ``change`` and ``row``.
        """
        return list(
            self._run(
                "scan",
                database=database,
                table=table,
                count=count,
                starts=[vars(start) for start in starts],
                columns=list(columns),
                filter=filter,
                handle=handle,
            )
        )

    def limit_scan(
        self,
        table: str,
        limit: int,
        *,
        bucket: int = 0,
        partition_id: int | None = None,
        columns: Sequence[str] = (),
        database: str = "fluss",
    ) -> list[Row]:
        return list(
            self._run(
                "limit_scan",
                database=database,
                table=table,
                limit=limit,
                bucket=bucket,
                partition_id=partition_id,
                columns=list(columns),
            )
        )

    def scan_kv(self, table: str, *, columns: Sequence[str] = (), database: str = "fluss") -> list[Row]:
        """Every row of a primary-key table."""
        return list(self._run("scan_kv", database=database, table=table, columns=list(columns)))

    # Snapshots, lake, producers

    def latest_kv_snapshots(
        self, table: str, *, partition: str | None = None, database: str = "fluss"
    ) -> dict[int, int | None]:
        found = self._run("latest_kv_snapshots", database=database, table=table, partition=partition)
        return {int(bucket): snapshot for bucket, snapshot in found.items()}

    def lake_snapshot(self, table: str, *, database: str = "fluss") -> Any:
        return self._run("lake_snapshot", database=database, table=table)

    def register_producer_offsets(self, producer: str, offsets: Sequence[Mapping[str, int]]) -> Any:
        return self._run("register_producer_offsets", producer=producer, offsets=[dict(entry) for entry in offsets])

    def producer_offsets(self, producer: str) -> Any:
        return self._run("producer_offsets", producer=producer)

    def delete_producer_offsets(self, producer: str) -> None:
        self._run("delete_producer_offsets", producer=producer)

    # Security and cluster

    def server_nodes(self) -> list[list[Any]]:
        """Type, id, host and port of every server."""
        return list(self._run("server_nodes"))

    def create_acls(self, acls: Sequence[Mapping[str, str]]) -> None:
        self._run("create_acls", acls=[dict(acl) for acl in acls])

    def list_acls(self, filter: Mapping[str, str] | None = None) -> list[list[str]]:
        """Principal, host, operation, type and name of the resource of each."""
        return list(self._run("list_acls", filter=dict(filter or {})))

    def drop_acls(self, filter: Mapping[str, str]) -> list[list[str]]:
        return list(self._run("drop_acls", filter=dict(filter)))

    def describe_cluster_configs(self) -> dict[str, list[str | None]]:
        """Value and source by key."""
        return dict(self._run("describe_cluster_configs"))

    def alter_cluster_configs(self, changes: Sequence[Mapping[str, str | None]]) -> None:
        self._run("alter_cluster_configs", changes=[dict(change) for change in changes])

    def cluster_health(self) -> dict[str, Any]:
        return dict(self._run("cluster_health"))

    @contextmanager
    def fresh(self, **options: str) -> Iterator[Client]:
        """Another connection, for what happens once per connection."""
        connection = self.another(options)
        try:
            yield connection
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connection."""
        self._run("close")
