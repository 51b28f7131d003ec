"""Commands on databases, tables and partitions. Each says what it has changed, or that there was nothing to change."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.create_table_sql import BUCKET_NUM, create_table_sql, parse_column, parse_create_table
from fluss_server.cli.failures import CommandError, InputError, UsageError
from fluss_server.cli.json_values import timestamp_text
from fluss_server.cli.output import note, print_fields, print_rows
from fluss_server.cli.output_format import OutputFormat
from fluss_server.cli.selection import assignments
from fluss_server.cli.session import Session, path_message, table_path
from fluss_server.cli.table_reader import count_rows
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo

if TYPE_CHECKING:
    from google.protobuf.message import Message

_SET, _DELETE = 0, 1
_LAST_POSITION = 0


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
        partitions = session.partitions(table)
        rows.append(
            (
                name,
                kind,
                _rows_of(session, table),
                len(table.schema.columns),
                table.bucket_count,
                list(table.descriptor.partition_key),
                len(partitions) if table.is_partitioned else None,
            )
        )
    if parsed.output is OutputFormat.TABLE:
        rows = [(*row[:5], ", ".join(row[5]) or None, row[6]) for row in rows]  # type: ignore[misc]
    names_of_columns = ("table", "kind", "rows", "columns", "buckets", "partitioned_by", "partitions")
    print_rows(names_of_columns, rows, parsed.output)


def _rows_of(session: Session, table: TableInfo) -> int | None:
    """How many rows a table has; None for those who may not read it, and while a bucket is not available."""
    partitions = session.partitions(table)
    buckets = [(partition, bucket) for partition in partitions for bucket in range(partition.bucket_count_in(table))]
    try:
        return count_rows(session, table, buckets)
    except FlussError as error:
        if error.code is ErrorCode.AUTHORIZATION_EXCEPTION or error.retriable:
            return None
        raise


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


def _lines(options: Any) -> list[str] | None:
    return [f"{key} = {value}" for key, value in sorted(options.items())] or None


def _aggregation(column: Any) -> str | None:
    if column.agg_function is None:
        return None
    name, parameters = column.agg_function
    shown = ", ".join(f"{key}={value}" for key, value in parameters)
    return f"{name}({shown})" if shown else str(name)


def _changed(session: Session, key: ApiKey, request: Message, unless: ErrorCode | None) -> bool:
    """Send a request; False when it fails with the code that means there is nothing to do."""
    try:
        session.call(key, request)
    except FlussError as error:
        if error.code is not unless:
            raise
        return False
    return True


def create_database(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss create-database``"""
    request = pb.CreateDatabaseRequest(
        database_name=parsed.database,
        ignore_if_exists=False,
        database_json=DatabaseDescriptor(parsed.comment).to_json_bytes(),
    )
    exists = ErrorCode.DATABASE_ALREADY_EXIST if parsed.if_not_exists else None
    if _changed(session, ApiKey.CREATE_DATABASE, request, exists):
        note(f"created database {parsed.database}")
    else:
        note(f"database {parsed.database} exists already; nothing changed")


def drop_database(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss drop-database``"""
    request = pb.DropDatabaseRequest(database_name=parsed.database, ignore_if_not_exists=False, cascade=parsed.cascade)
    missing = ErrorCode.DATABASE_NOT_EXIST if parsed.if_exists else None
    if _changed(session, ApiKey.DROP_DATABASE, request, missing):
        note(f"dropped database {parsed.database}")
    else:
        note(f"there is no database {parsed.database}; nothing dropped")


def create_table(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss create-table``"""
    if (parsed.definition is None) == (parsed.file is None):
        raise UsageError("give a definition, or the file of one with --file")
    text = parsed.definition if parsed.file is None else _read(parsed.file)
    if text.lstrip().startswith("{"):
        path, if_not_exists, document = None, False, json_document(text)
    else:
        statement = parse_create_table(text)
        path = TablePath(statement.database or DEFAULT_DATABASE, statement.table)
        if_not_exists, document = statement.if_not_exists, statement.descriptor
        for remark in statement.remarks:
            note(f"note: {remark}")
    if parsed.name is not None:
        path = table_path(parsed.name)
    if path is None:
        raise UsageError("a JSON descriptor names no table: give its name with --name")
    descriptor = TableDescriptor.from_json(document)
    request = pb.CreateTableRequest(
        table_path=path_message(path), table_json=descriptor.to_json_bytes(), ignore_if_exists=False
    )
    exists = ErrorCode.TABLE_ALREADY_EXIST if if_not_exists or parsed.if_not_exists else None
    if _changed(session, ApiKey.CREATE_TABLE, request, exists):
        note(f"created table {path}")
        return
    differences = _differences(descriptor, session.table(str(path)).descriptor)
    if differences:
        note(f"table {path} exists already with other {', '.join(differences)}; nothing changed")
    else:
        note(f"table {path} exists already; nothing changed")


def _differences(wanted: TableDescriptor, existing: TableDescriptor) -> list[str]:
    """In what an existing table differs from a definition, as far as the definition says something."""

    def columns(descriptor: TableDescriptor) -> list[tuple[object, ...]]:
        return [(column.name, str(column.type), column.agg_function) for column in descriptor.schema.columns]

    found = []
    if columns(wanted) != columns(existing):
        found.append("columns")
    if wanted.schema.primary_key != existing.schema.primary_key:
        found.append("primary key")
    if wanted.partition_key != existing.partition_key:
        found.append("partition columns")
    if wanted.bucket_count not in (None, existing.bucket_count):
        found.append("number of buckets")
    if wanted.bucket_key and wanted.bucket_key != existing.bucket_key:
        found.append("bucket key")
    options = {**existing.properties, **existing.custom_properties}
    if not {**wanted.properties, **wanted.custom_properties}.items() <= options.items():
        found.append("options")
    return found


def alter_table(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss alter-table``"""
    path = table_path(parsed.table)
    request = pb.AlterTableRequest(table_path=path_message(path), ignore_if_not_exists=False)
    settings = assignments(parsed.set or [])
    if parsed.add_column and (settings or parsed.reset):
        raise UsageError("columns and options cannot be changed together", hint="run the command once for each")
    for text in parsed.add_column or []:
        column, remarks = parse_column(text)
        added = request.add_columns.add(
            column_name=column["name"],
            data_type_json=json.dumps(column["data_type"]).encode(),
            column_position_type=_LAST_POSITION,
        )
        if "comment" in column:
            added.comment = column["comment"]
        for remark in remarks:
            note(f"note: {remark}")
    for key, value in settings.items():
        request.config_changes.add(config_key=key, config_value=value, op_type=_SET)
    for key in parsed.reset or []:
        request.config_changes.add(config_key=key, op_type=_DELETE)
    if not request.add_columns and not request.config_changes:
        raise UsageError("nothing to change: use --add-column, --set or --reset")
    _split_off_bucket_count(request)
    session.call(ApiKey.ALTER_TABLE, request)
    changes = [f"added column {column.column_name}" for column in request.add_columns]
    changes += [f"set {text}" for text in parsed.set or []] + [f"reset {key}" for key in parsed.reset or []]
    note(f"table {path}: {', '.join(changes)}")


def _split_off_bucket_count(request: pb.AlterTableRequest) -> None:
    """``bucket.num`` is no option of a table, but what coming partitions have."""
    found = [change for change in request.config_changes if change.config_key == BUCKET_NUM]
    if not found:
        return
    if len(request.config_changes) > 1:
        raise UsageError(f"{BUCKET_NUM} cannot be changed together with options", hint="run the command once for each")
    text = found[0].config_value
    if found[0].op_type != _SET or not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"{BUCKET_NUM} must be a number of at most nine digits")
    request.modify_bucket_count.new_bucket_count = int(text)
    del request.config_changes[:]


def json_document(text: str) -> dict[str, Any]:
    """A JSON object; InputError if it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the descriptor is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputError("the descriptor is not a JSON object")
    return document


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def drop_table(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss drop-table``"""
    path = table_path(parsed.table)
    request = pb.DropTableRequest(table_path=path_message(path), ignore_if_not_exists=False)
    if _changed(session, ApiKey.DROP_TABLE, request, ErrorCode.TABLE_NOT_EXIST if parsed.if_exists else None):
        note(f"dropped table {path}")
    else:
        note(f"there is no table {path}; nothing dropped")


def partitions(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss partitions``"""
    table = session.table(parsed.table)
    if not table.is_partitioned:
        raise FlussError(ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION, f"table {table.path} is not partitioned")
    rows = [
        (partition.name, partition.partition_id, partition.bucket_count_in(table))
        for partition in session.partitions(table)
    ]
    print_rows(("partition", "id", "buckets"), rows, parsed.output)


def create_partition(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss create-partition``"""
    path, partition = table_path(parsed.table), ", ".join(parsed.values)
    request = pb.CreatePartitionRequest(table_path=path_message(path), ignore_if_not_exists=False)
    _add_spec(request.partition_spec, parsed.values)
    exists = ErrorCode.PARTITION_ALREADY_EXISTS if parsed.if_not_exists else None
    if _changed(session, ApiKey.CREATE_PARTITION, request, exists):
        note(f"created partition {partition} of {path}")
    else:
        note(f"partition {partition} of {path} exists already; nothing changed")


def drop_partition(session: Session, parsed: argparse.Namespace) -> None:
    """``fluss drop-partition``"""
    path, partition = table_path(parsed.table), ", ".join(parsed.values)
    request = pb.DropPartitionRequest(table_path=path_message(path), ignore_if_not_exists=False)
    _add_spec(request.partition_spec, parsed.values)
    missing = ErrorCode.PARTITION_NOT_EXISTS if parsed.if_exists else None
    if _changed(session, ApiKey.DROP_PARTITION, request, missing):
        note(f"dropped partition {partition} of {path}")
    else:
        note(f"{path} has no partition {partition}; nothing dropped")


def _add_spec(spec: pb.PbPartitionSpec, values: list[str]) -> None:
    for key, value in assignments(values).items():
        spec.partition_key_values.add(key=key, value=value)
