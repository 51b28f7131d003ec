"""pyfluss as a ``Client``: an event loop in a thread, and values of Python turned into those of JSON."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import decimal
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import fluss
import pyarrow as pa

from clients.rpc.client import PYFLUSS, Client, ClientError, NotOffered, Row

_EPOCH = dt.datetime(1970, 1, 1)
_DAY_ZERO = dt.date(1970, 1, 1)
_CALL_TIMEOUT_S = 40.0
_SIMPLE = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "DATE": pa.date32(),
}
_UNITS = {0: "s", 3: "ms", 6: "us", 9: "ns"}


def arrow_type(text: str) -> pa.DataType:
    """The Arrow type by which pyfluss creates a column of an SQL type."""
    text = text.removesuffix(" NOT NULL").strip()
    if text in _SIMPLE:
        return _SIMPLE[text]
    name, inside = text.rstrip(")>").split("(", 1) if "<" not in text else text[:-1].split("<", 1)
    if name == "DECIMAL":
        precision, scale = inside.split(",")
        return pa.decimal128(int(precision), int(scale))
    if name == "BINARY":
        return pa.binary(int(inside))
    if name == "TIME":
        unit = _UNITS[int(inside)]
        return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    if name in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        return pa.timestamp(_UNITS[int(inside)], tz="UTC" if name == "TIMESTAMP_LTZ" else None)
    if name == "ARRAY":
        return pa.list_(arrow_type(inside))
    if name == "MAP":
        key, value = inside.split(",", 1)
        return pa.map_(arrow_type(key), arrow_type(value))
    if name == "ROW":
        fields = [field.strip().split(" ", 1) for field in re.split(r",(?![^(]*\))", inside)]
        return pa.struct([(field, arrow_type(data_type)) for field, data_type in fields])
    raise NotOffered(f"pyfluss has no type {text}")


def to_python(value: Any, data_type: pa.DataType) -> Any:
    """What pyfluss takes for a value of JSON."""
    if value is None:
        return None
    if pa.types.is_decimal(data_type):
        return decimal.Decimal(value)
    if pa.types.is_binary(data_type) or pa.types.is_fixed_size_binary(data_type):
        return base64.b64decode(value)
    if pa.types.is_floating(data_type):
        return float(value)
    if pa.types.is_date(data_type):
        return _DAY_ZERO + dt.timedelta(days=value)
    if pa.types.is_time(data_type):
        return (_EPOCH + dt.timedelta(milliseconds=value)).time()
    if pa.types.is_timestamp(data_type):
        moment = _EPOCH + dt.timedelta(microseconds=value // 1000)
        return moment if data_type.tz is None else moment.replace(tzinfo=dt.timezone.utc)
    if pa.types.is_list(data_type):
        return [to_python(element, data_type.value_type) for element in value]
    if pa.types.is_map(data_type):
        return [(to_python(k, data_type.key_type), to_python(v, data_type.item_type)) for k, v in value]
    if pa.types.is_struct(data_type):
        fields = [data_type.field(i) for i in range(data_type.num_fields)]
        return {field.name: to_python(entry, field.type) for field, entry in zip(fields, value, strict=True)}
    return value


def to_json(value: Any, data_type: pa.DataType) -> Any:
    """The value of JSON for what pyfluss returns."""
    if value is None:
        return None
    if pa.types.is_decimal(data_type):
        return f"{value:.{data_type.scale}f}"  # Decimal rounds nothing here: the scale is that of the column
    if pa.types.is_binary(data_type) or pa.types.is_fixed_size_binary(data_type):
        return base64.b64encode(value).decode()
    if pa.types.is_date(data_type):
        return (value - _DAY_ZERO).days
    if pa.types.is_time(data_type):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
    if pa.types.is_timestamp(data_type):
        passed = value.replace(tzinfo=None) - _EPOCH
        return ((passed.days * 86400 + passed.seconds) * 10**6 + passed.microseconds) * 1000
    if pa.types.is_list(data_type):
        return [to_json(element, data_type.value_type) for element in value]
    if pa.types.is_map(data_type):
        pairs = [[to_json(k, data_type.key_type), to_json(v, data_type.item_type)] for k, v in value]
        return sorted(pairs, key=lambda pair: str(pair[0]))
    if pa.types.is_struct(data_type):
        return [to_json(value[data_type.field(i).name], data_type.field(i).type) for i in range(data_type.num_fields)]
    return value


def _path(arguments: dict[str, Any]) -> fluss.TablePath:
    return fluss.TablePath(arguments["database"], arguments["table"])


def _spec(spec: str | int) -> fluss.OffsetSpec:
    if isinstance(spec, int):
        return fluss.OffsetSpec.timestamp(spec)
    return fluss.OffsetSpec.earliest() if spec == "earliest" else fluss.OffsetSpec.latest()


class PyflussClient(Client):
    """One connection of pyfluss."""

    label = PYFLUSS

    def __init__(self, bootstrap_servers: str, options: Mapping[str, str]) -> None:
        self._servers = bootstrap_servers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._held: dict[str, fluss.FlussTable] = {}
        # Enough memory that the known deadlock of the writer cannot occur.
        properties = {"bootstrap.servers": bootstrap_servers, "writer.buffer.memory-size": str(1 << 30)}
        config = fluss.Config(properties | dict(options))
        try:
            self._connection = self._await(lambda: fluss.FlussConnection.create(config))
        except ClientError:
            self._stop()
            raise
        self._admin = self._connection.get_admin()

    def another(self, options: Mapping[str, str]) -> Client:
        return PyflussClient(self._servers, options)

    def _await(self, call: Callable[[], Awaitable[Any]]) -> Any:
        # pyfluss wants a running event loop as soon as it is called, not only when it is awaited.
        async def awaited() -> Any:
            return await asyncio.wait_for(call(), _CALL_TIMEOUT_S)

        try:
            return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()
        except fluss.FlussError as error:
            raise ClientError(int(error.error_code), error.message) from None

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, call: str, arguments: dict[str, Any]) -> Any:
        method = getattr(self, f"_call_{call}", None)
        if method is None:
            raise NotOffered(f"pyfluss has no {call}")
        if call == "close":
            return method()
        return self._await(lambda: method(arguments))

    def _call_close(self) -> None:
        self._await(self._connection.close)
        self._stop()

    # Databases

    async def _call_create_database(self, a: dict[str, Any]) -> None:
        descriptor = fluss.DatabaseDescriptor(a["comment"], a["properties"])
        await self._admin.create_database(a["name"], descriptor, a["ignore_if_exists"])

    async def _call_drop_database(self, a: dict[str, Any]) -> None:
        await self._admin.drop_database(a["name"], a["ignore_if_not_exists"], a["cascade"])

    async def _call_database_exists(self, a: dict[str, Any]) -> Any:
        return await self._admin.database_exists(a["name"])

    async def _call_list_databases(self, a: dict[str, Any]) -> Any:
        return await self._admin.list_databases()

    async def _call_database_info(self, a: dict[str, Any]) -> dict[str, Any]:
        info = await self._admin.get_database_info(a["name"])
        descriptor = info.get_database_descriptor()
        return {
            "name": info.database_name,
            "comment": descriptor.comment,
            "properties": descriptor.get_custom_properties(),
            "created_time": info.created_time,
            "modified_time": info.modified_time,
        }

    # Tables

    async def _call_create_table(self, a: dict[str, Any]) -> None:
        fields = []
        for column in a["columns"]:
            if column["aggregation"] is not None or column["comment"] is not None:
                raise NotOffered("pyfluss has neither aggregation functions nor comments of columns")
            key = column["name"] in a["primary_key"]
            nullable = not (column["type"].endswith(" NOT NULL") or key)
            fields.append(pa.field(column["name"], arrow_type(column["type"]), nullable=nullable))
        schema = fluss.Schema(pa.schema(fields), a["primary_key"] or None, a["auto_increment"])
        optional = {
            "partition_keys": a["partitioned_by"],
            "bucket_count": a["buckets"],
            "bucket_keys": a["bucket_key"],
            "comment": a["comment"],
            "properties": a["properties"],
            "custom_properties": a["custom_properties"],
        }
        descriptor = fluss.TableDescriptor(schema, **{key: value for key, value in optional.items() if value})
        await self._admin.create_table(_path(a), descriptor, a["ignore_if_exists"])

    async def _call_drop_table(self, a: dict[str, Any]) -> None:
        await self._admin.drop_table(_path(a), a["ignore_if_not_exists"])

    async def _call_table_exists(self, a: dict[str, Any]) -> Any:
        return await self._admin.table_exists(_path(a))

    async def _call_list_tables(self, a: dict[str, Any]) -> Any:
        return await self._admin.list_tables(a["database"])

    async def _call_table_info(self, a: dict[str, Any]) -> dict[str, Any]:
        info = await self._admin.get_table_info(_path(a))
        names = info.get_column_names()
        types = [text.upper() for text in info.get_schema().get_column_types()]
        return {
            "table_id": info.table_id,
            "schema_id": info.schema_id,
            "columns": [[name, text, position] for position, (name, text) in enumerate(zip(names, types, strict=True))],
            "primary_key": info.get_primary_keys(),
            "bucket_key": info.get_bucket_keys(),
            "partitioned_by": info.get_partition_keys(),
            "buckets": info.num_buckets,
            "properties": info.get_properties(),
            "custom_properties": info.get_custom_properties(),
            "comment": info.comment,
            "created_time": info.created_time,
            "modified_time": info.modified_time,
        }

    async def _call_list_offsets(self, a: dict[str, Any]) -> Any:
        if a["partition"] is None:
            return await self._admin.list_offsets(_path(a), a["buckets"], _spec(a["spec"]))
        return await self._admin.list_partition_offsets(_path(a), a["partition"], a["buckets"], _spec(a["spec"]))

    # Partitions

    async def _call_create_partition(self, a: dict[str, Any]) -> None:
        await self._admin.create_partition(_path(a), dict(a["spec"]), a["ignore_if_exists"])

    async def _call_drop_partition(self, a: dict[str, Any]) -> None:
        await self._admin.drop_partition(_path(a), dict(a["spec"]), a["ignore_if_not_exists"])

    async def _call_list_partitions(self, a: dict[str, Any]) -> dict[str, int]:
        spec = None if a["spec"] is None else dict(a["spec"])
        found = await self._admin.list_partition_infos(_path(a), spec)
        return {partition.partition_name: partition.partition_id for partition in found}

    # Reading and writing

    async def _table(self, a: dict[str, Any]) -> fluss.FlussTable:
        if a.get("handle") is not None:
            return self._held[a["handle"]]
        table: fluss.FlussTable = await self._connection.get_table(_path(a))
        return table

    async def _call_hold_table(self, a: dict[str, Any]) -> None:
        self._held[a["handle"]] = await self._connection.get_table(_path(a))

    @staticmethod
    def _row(table: fluss.FlussTable, values: Row) -> dict[str, Any]:
        return {
            field.name: to_python(value, field.type) for field, value in zip(table.arrow_schema, values, strict=True)
        }

    async def _call_append(self, a: dict[str, Any]) -> None:
        table = await self._table(a)
        writer = table.new_append().create_writer()
        handles = [writer.append(self._row(table, row)) for row in a["rows"]]
        await writer.flush()
        for handle in handles:
            await handle.wait()

    async def _call_upsert(self, a: dict[str, Any]) -> None:
        if a["merge_mode"] is not None:
            raise NotOffered("pyfluss has no merge modes")
        table = await self._table(a)
        upsert = table.new_upsert()
        writer = (upsert.partial_update_by_name(a["columns"]) if a["columns"] else upsert).create_writer()
        handles = []
        for values in a["rows"]:
            row = self._row(table, values)
            if a["columns"]:
                row = {name: row[name] for name in a["columns"]}
            handles.append(writer.upsert(row))
        await writer.flush()
        for handle in handles:
            await handle.wait()

    async def _call_delete(self, a: dict[str, Any]) -> None:
        table = await self._table(a)
        upsert = table.new_upsert()
        writer = (upsert.partial_update_by_name(a["columns"]) if a["columns"] else upsert).create_writer()
        keys = table.get_table_info().get_primary_keys()
        handles = []
        for values in a["rows"]:
            row = self._row(table, values)
            handles.append(writer.delete({name: row[name] for name in keys}))
        await writer.flush()
        for handle in handles:
            await handle.wait()

    async def _call_lookup(self, a: dict[str, Any]) -> list[list[Row]]:
        if a["insert_if_not_exists"]:
            raise NotOffered("pyfluss inserts nothing by a lookup")
        table = await self._table(a)
        schema = table.arrow_schema
        names = a["by"] or table.get_table_info().get_primary_keys()
        keys = [
            {name: to_python(value, schema.field(name).type) for name, value in zip(names, key, strict=True)}
            for key in a["keys"]
        ]
        if a["by"]:
            prefix = table.new_lookup().lookup_by(a["by"]).create_lookuper()
            found = [await prefix.lookup(key) for key in keys]
        else:
            lookuper = table.new_lookup().create_lookuper()
            found = [[row] if row is not None else [] for row in [await lookuper.lookup(key) for key in keys]]
        return [[_values(row, schema) for row in rows] for rows in found]

    async def _call_scan(self, a: dict[str, Any]) -> list[dict[str, Any]]:
        table = await self._table(a)
        scan = table.new_scan()
        if a["filter"] is not None:
            column, value = fluss.col(a["filter"]["column"]), a["filter"]["value"]
            operators = {"=": column.equal, ">=": column.greater_or_equal, "<": column.less_than}
            scan = scan.filter(operators[a["filter"]["operator"]](value))
        schema = table.arrow_schema
        if a["columns"]:
            scan = scan.project_by_name(a["columns"])
            schema = pa.schema([schema.field(name) for name in a["columns"]])
        scanner = await scan.create_log_scanner()
        for start in a["starts"]:
            if start["partition_id"] is None:
                scanner.subscribe(start["bucket"], start["offset"])
            else:
                scanner.subscribe_partition(start["partition_id"], start["bucket"], start["offset"])
        deadline = time.monotonic() + 30.0
        found: list[dict[str, Any]] = []
        last = False
        while not last:
            last = len(found) >= a["count"]
            assert time.monotonic() < deadline, f"{len(found)} of {a['count']} records: {found}"
            records = await scanner.poll(200)
            for bucket, entries in records.items():
                found += [_record(bucket, entry, schema) for entry in entries]
        return found

    async def _call_limit_scan(self, a: dict[str, Any]) -> list[Row]:
        table = await self._table(a)
        scan = table.new_scan().limit(a["limit"])
        schema = table.arrow_schema
        if a["columns"]:
            scan = scan.project_by_name(a["columns"])
            schema = pa.schema([schema.field(name) for name in a["columns"]])
        bucket = fluss.TableBucket(table.get_table_info().table_id, a["bucket"])
        if a["partition_id"] is not None:
            bucket = fluss.TableBucket.with_partition(bucket.table_id, a["partition_id"], a["bucket"])
        rows = await scan.create_bucket_batch_scanner(bucket).to_arrow()
        return [_values(row, schema) for row in rows.to_pylist()]

    # Others

    async def _call_lake_snapshot(self, a: dict[str, Any]) -> Any:
        return (await self._admin.get_latest_lake_snapshot(_path(a))).snapshot_id

    async def _call_server_nodes(self, a: dict[str, Any]) -> list[list[Any]]:
        nodes = await self._admin.get_server_nodes()
        types = {"CoordinatorServer": "COORDINATOR", "TabletServer": "TABLET_SERVER"}
        return [[types[node.server_type], node.id, node.host, node.port] for node in nodes]


def _values(row: dict[str, Any], schema: pa.Schema) -> Row:
    return [to_json(row[field.name], field.type) for field in schema]


def _record(bucket: fluss.TableBucket, record: fluss.ScanRecord, schema: pa.Schema) -> dict[str, Any]:
    return {
        "partition_id": bucket.partition_id,
        "bucket": bucket.bucket_id,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "change": record.change_type.short_string(),
        "row": _values(record.row, schema),
    }
