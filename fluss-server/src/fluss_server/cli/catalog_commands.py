"""Commands on databases, tables and partitions."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.create_table_sql import create_table_sql, parse_create_table
from fluss_server.cli.json_values import timestamp_text
from fluss_server.cli.output import OutputFormat, note, print_fields, print_rows
from fluss_server.cli.session import Session, path_message, table_path
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo


def databases(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss databases``"""
    names = session.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest()).database_name
    rows = []
    for name in sorted(names):
        info = session.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name=name))
        descriptor = DatabaseDescriptor.from_json_bytes(info.database_json)
        tables = session.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name=name)).table_name
        rows.append((name, len(tables), descriptor.comment))
    print_rows(("database", "tables", "comment"), rows, parsed.output)


def tables(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss tables``"""
    rows = []
    names = session.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name=parsed.database)).table_name
    for name in sorted(names):
        table = session.table(f"{parsed.database}.{name}")
        kind = "primary key" if table.has_primary_key else "log"
        rows.append((name, kind, len(table.schema.columns), table.bucket_count, list(table.descriptor.partition_key)))
    shown = [(*row[:4], ", ".join(row[4]) or None) for row in rows] if parsed.output is OutputFormat.TABLE else rows
    print_rows(("table", "kind", "columns", "buckets", "partitioned_by"), shown, parsed.output)


def describe(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss describe``"""
    table = session.table(parsed.table)
    descriptor = table.descriptor
    if parsed.sql:
        print(create_table_sql(str(table.path), descriptor.to_json()))
        return
    if parsed.output is not OutputFormat.TABLE:
        print_fields(_document(table), parsed.output)
        return
    print_fields(
        {
            "table": str(table.path),
            "id": table.table_id,
            "kind": "primary key" if table.has_primary_key else "log",
            "primary key": ", ".join(table.schema.primary_key) or None,
            "partitioned by": ", ".join(descriptor.partition_key) or None,
            "bucket key": ", ".join(descriptor.bucket_key) or None,
            "buckets": table.bucket_count,
            "schema": f"version {table.schema_id}",
            "created": timestamp_text(table.created_time),
            "changed": timestamp_text(table.modified_time),
            "comment": descriptor.comment,
            "options": _lines(descriptor.properties),
            "properties": _lines(descriptor.custom_properties),
        },
        parsed.output,
    )
    print()
    columns = [(column.name, str(column.type), _aggregation(column), column.comment) for column in table.schema.columns]
    print_rows(("column", "type", "aggregation", "comment"), columns, parsed.output)


def _document(table: TableInfo) -> dict[str, Any]:
    return {
        "table": str(table.path),
        "id": table.table_id,
        "schema_id": table.schema_id,
        "created": table.created_time,
        "changed": table.modified_time,
        "descriptor": table.descriptor.to_json(),
    }


def _lines(options: Any) -> str | None:
    return "\n".join(f"{key} = {value}" for key, value in sorted(options.items())) or None


def _aggregation(column: Any) -> str | None:
    if column.agg_function is None:
        return None
    name, parameters = column.agg_function
    shown = ", ".join(f"{key}={value}" for key, value in parameters)
    return f"{name}({shown})" if shown else str(name)


def create_database(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss create-database``"""
    descriptor = DatabaseDescriptor(parsed.comment)
    request = pb.CreateDatabaseRequest(
        database_name=parsed.database,
        ignore_if_exists=parsed.if_not_exists,
        database_json=descriptor.to_json_bytes(),
    )
    session.call(ApiKey.CREATE_DATABASE, request)
    note(f"created database {parsed.database}")


def drop_database(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss drop-database``"""
    request = pb.DropDatabaseRequest(
        database_name=parsed.database, ignore_if_not_exists=parsed.if_exists, cascade=parsed.cascade
    )
    session.call(ApiKey.DROP_DATABASE, request)
    note(f"dropped database {parsed.database}")


def create_table(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss create-table``"""
    text = parsed.definition if parsed.file is None else _read(parsed.file)
    if text is None:
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, "no definition: give one, or a file of one with --file")
    if text.lstrip().startswith("{"):
        path, if_not_exists, document = None, False, json_document(text)
    else:
        statement = parse_create_table(text)
        path = TablePath(statement.database or DEFAULT_DATABASE, statement.table)
        if_not_exists, document = statement.if_not_exists, statement.descriptor
    if parsed.name is not None:
        path = table_path(parsed.name)
    if path is None:
        raise FlussError(
            ErrorCode.INVALID_TABLE_EXCEPTION, "a JSON descriptor names no table: give its name with --name"
        )
    request = pb.CreateTableRequest(
        table_path=path_message(path),
        table_json=TableDescriptor.from_json(document).to_json_bytes(),
        ignore_if_exists=if_not_exists or parsed.if_not_exists,
    )
    session.call(ApiKey.CREATE_TABLE, request)
    note(f"created table {path}")


def json_document(text: str) -> dict[str, Any]:
    """A JSON object; ``INVALID_TABLE_EXCEPTION`` if it is none."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"the descriptor is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, "the descriptor is not a JSON object")
    return document


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"cannot read {path}: {error}") from None


def drop_table(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss drop-table``"""
    path = table_path(parsed.table)
    request = pb.DropTableRequest(table_path=path_message(path), ignore_if_not_exists=parsed.if_exists)
    session.call(ApiKey.DROP_TABLE, request)
    note(f"dropped table {path}")


def partitions(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss partitions``"""
    table = session.table(parsed.table)
    if not table.is_partitioned:
        raise FlussError(ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION, f"table {table.path} is not partitioned")
    rows = [(partition.name, partition.partition_id) for partition in session.partitions(table)]
    print_rows(("partition", "id"), rows, parsed.output)


def create_partition(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss create-partition``"""
    request = pb.CreatePartitionRequest(
        table_path=path_message(table_path(parsed.table)), ignore_if_not_exists=parsed.if_not_exists
    )
    _add_spec(request.partition_spec, parsed.values)
    session.call(ApiKey.CREATE_PARTITION, request)
    note(f"created partition {', '.join(parsed.values)}")


def drop_partition(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss drop-partition``"""
    request = pb.DropPartitionRequest(
        table_path=path_message(table_path(parsed.table)), ignore_if_not_exists=parsed.if_exists
    )
    _add_spec(request.partition_spec, parsed.values)
    session.call(ApiKey.DROP_PARTITION, request)
    note(f"dropped partition {', '.join(parsed.values)}")


def _add_spec(spec: pb.PbPartitionSpec, values: list[str]) -> None:
    for key, value in assignments(values).items():
        spec.partition_key_values.add(key=key, value=value)


def assignments(values: list[str]) -> dict[str, str]:
    """``column=value`` texts; ``INVALID_TABLE_EXCEPTION`` for others."""
    found = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator or key in found:
            raise FlussError(
                ErrorCode.INVALID_TABLE_EXCEPTION, f"{text!r} is not COLUMN=VALUE, or the column is given twice"
            )
        found[key] = value
    return found
