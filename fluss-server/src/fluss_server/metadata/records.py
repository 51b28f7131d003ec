"""Where coordination state lives in the tree, and the bytes of each node.

Paths and JSON are those of Apache Fluss below its ZooKeeper root, so that a tree written by either can be read by the
other. Container nodes (``/metadata/databases``, ``.../tables``) may hold anything; their values are never read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TablePath
from fluss_server.model.schema import Schema, parse_json
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo

DATABASES = "/metadata/databases"
TABLE_ID_COUNTER = "/metadata/table_seqid"
PARTITION_ID_COUNTER = "/metadata/partition_seqid"
WRITER_ID_COUNTER = "/metadata/writer_id"
TABLE_ASSIGNMENTS = "/tabletservers/tables"
PARTITION_ASSIGNMENTS = "/tabletservers/partitions"

MAX_COUNTER = 2**63 - 1

_COUNTER_BYTES = 8
_T = TypeVar("_T")
_ValueT = TypeVar("_ValueT")


def database_path(database: str) -> str:
    return f"{DATABASES}/{database}"


def tables_path(database: str) -> str:
    return f"{DATABASES}/{database}/tables"


def table_path(path: TablePath) -> str:
    return f"{tables_path(path.database)}/{path.table}"


def schemas_path(path: TablePath) -> str:
    return f"{table_path(path)}/schemas"


def schema_path(path: TablePath, schema_id: int) -> str:
    return f"{schemas_path(path)}/{schema_id}"


def partitions_path(path: TablePath) -> str:
    return f"{table_path(path)}/partitions"


def partition_path(path: TablePath, partition: str) -> str:
    return f"{partitions_path(path)}/{partition}"


def auto_increment_path(path: TablePath, column_id: int) -> str:
    """Counter of an auto-increment column: how many ids were reserved; they begin with 1."""
    return f"{table_path(path)}/auto_inc/col_{column_id}"


def table_assignment_path(table_id: int) -> str:
    return f"{TABLE_ASSIGNMENTS}/{table_id}"


def partition_assignment_path(partition_id: int) -> str:
    return f"{PARTITION_ASSIGNMENTS}/{partition_id}"


def leader_and_isr_path(table_id: int, bucket: int, partition_id: int | None = None) -> str:
    owner = table_assignment_path(table_id) if partition_id is None else partition_assignment_path(partition_id)
    return f"{owner}/buckets/{bucket}/leader_isr"


def encode_counter(next_value: int) -> bytes:
    """A counter node: the next value to hand out, as a big-endian int64."""
    return next_value.to_bytes(_COUNTER_BYTES, "big", signed=True)


def decode_counter(path: str, value: bytes) -> int:
    """The next value to hand out.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` for another length or a negative value.
    """
    number = int.from_bytes(value, "big", signed=True)
    if len(value) != _COUNTER_BYTES or number < 0:
        raise _unreadable(path, f"a counter must be 8 bytes and not negative, not {value.hex()}")
    return number


@dataclass(frozen=True)
class DatabaseRecord:
    """The node of a database.

    Attributes:
        descriptor: comment and custom properties.
        created_time: epoch milliseconds.
        modified_time: epoch milliseconds.
    """

    descriptor: DatabaseDescriptor
    created_time: int
    modified_time: int

    def encode(self) -> bytes:
        times = {"created_time": self.created_time, "modified_time": self.modified_time}
        return _encode({**self.descriptor.to_json(), **times})

    @classmethod
    def decode(cls, path: str, value: bytes) -> DatabaseRecord:
        document = _document(path, value)
        descriptor = _readable(path, DatabaseDescriptor.from_json, document)
        return cls(descriptor, _integer(path, document, "created_time"), _integer(path, document, "modified_time"))


@dataclass(frozen=True)
class TableRecord:
    """The node of a table: all but its schema, which has nodes of its own.

    Attributes:
        table_id: id in the cluster.
        comment: text for people, or None.
        partition_key: names of the partition columns.
        bucket_key: names of the columns that choose the bucket.
        bucket_count: number of buckets.
        properties: ``table.*`` options.
        custom_properties: everything else.
        created_time: epoch milliseconds.
        modified_time: epoch milliseconds.
        remote_data_dir: root of the table's remote files, or None.
        bucket_count_epoch: how often the number of buckets was changed; written only when it was.
    """

    table_id: int
    comment: str | None
    partition_key: tuple[str, ...]
    bucket_key: tuple[str, ...]
    bucket_count: int
    properties: Mapping[str, str]
    custom_properties: Mapping[str, str]
    created_time: int
    modified_time: int
    remote_data_dir: str | None = None
    bucket_count_epoch: int = 0

    @classmethod
    def of(cls, table: TableInfo) -> TableRecord:
        descriptor = table.descriptor
        return cls(
            table.table_id,
            descriptor.comment,
            descriptor.partition_key,
            descriptor.bucket_key,
            table.bucket_count,
            descriptor.properties,
            descriptor.custom_properties,
            table.created_time,
            table.modified_time,
            bucket_count_epoch=table.bucket_count_epoch,
        )

    def table_info(self, path: TablePath, schema_id: int, schema: Schema) -> TableInfo:
        """The table, given its newest schema."""
        descriptor = TableDescriptor(
            schema,
            self.comment,
            self.partition_key,
            self.bucket_key,
            self.bucket_count,
            self.properties,
            self.custom_properties,
        )
        times = self.created_time, self.modified_time
        return TableInfo(path, self.table_id, schema_id, descriptor, *times, self.bucket_count_epoch)

    def encode(self) -> bytes:
        document: dict[str, Any] = {"version": 1, "table_id": self.table_id}
        if self.comment is not None:
            document["comment"] = self.comment
        if self.partition_key:
            document["partition_key"] = list(self.partition_key)
        if self.bucket_key:
            document["bucket_key"] = list(self.bucket_key)
        document["bucket_count"] = self.bucket_count
        document["properties"] = dict(self.properties)
        document["custom_properties"] = dict(self.custom_properties)
        document["created_time"] = self.created_time
        document["modified_time"] = self.modified_time
        if self.remote_data_dir is not None:
            document["remote_data_dir"] = self.remote_data_dir
        if self.bucket_count_epoch:
            document["bucket_count_epoch"] = self.bucket_count_epoch
        return _encode(document)

    @classmethod
    def decode(cls, path: str, value: bytes) -> TableRecord:
        document = _document(path, value)
        return cls(
            _integer(path, document, "table_id"),
            _text(path, document, "comment"),
            _names(path, document, "partition_key"),
            _names(path, document, "bucket_key"),
            _integer(path, document, "bucket_count"),
            _text_map(path, document, "properties"),
            _text_map(path, document, "custom_properties"),
            _integer(path, document, "created_time"),
            _integer(path, document, "modified_time"),
            _text(path, document, "remote_data_dir"),
            _integer(path, document, "bucket_count_epoch") if "bucket_count_epoch" in document else 0,
        )


@dataclass(frozen=True)
class AssignmentRecord:
    """Which tablet servers hold the replicas of each bucket of an unpartitioned table; the first is preferred."""

    buckets: Mapping[int, tuple[int, ...]]

    def encode(self) -> bytes:
        return _encode({"version": 1, "buckets": _assignment_json(self.buckets)})

    @classmethod
    def decode(cls, path: str, value: bytes) -> AssignmentRecord:
        return cls(_assignment(path, _document(path, value)))


@dataclass(frozen=True)
class PartitionAssignmentRecord:
    """:class:`AssignmentRecord` of one partition of the table ``table_id``."""

    table_id: int
    buckets: Mapping[int, tuple[int, ...]]

    def encode(self) -> bytes:
        return _encode({"version": 1, "table_id": self.table_id, "buckets": _assignment_json(self.buckets)})

    @classmethod
    def decode(cls, path: str, value: bytes) -> PartitionAssignmentRecord:
        document = _document(path, value)
        return cls(_integer(path, document, "table_id"), _assignment(path, document))


@dataclass(frozen=True)
class PartitionRecord:
    """The node of a partition, which its name is the last part of the path of.

    Attributes:
        table_id: its table.
        partition_id: id in the cluster.
        remote_data_dir: root of the partition's remote files, or None.
    """

    table_id: int
    partition_id: int
    remote_data_dir: str | None = None

    def encode(self) -> bytes:
        document: dict[str, Any] = {"version": 1, "table_id": self.table_id, "partition_id": self.partition_id}
        if self.remote_data_dir is not None:
            document["remote_data_dir"] = self.remote_data_dir
        return _encode(document)

    @classmethod
    def decode(cls, path: str, value: bytes) -> PartitionRecord:
        document = _document(path, value)
        return cls(
            _integer(path, document, "table_id"),
            _integer(path, document, "partition_id"),
            _text(path, document, "remote_data_dir"),
        )


@dataclass(frozen=True)
class LeaderAndIsrRecord:
    """Who leads a bucket and which replicas are in sync.

    Attributes:
        leader: server id, -1 for none.
        leader_epoch: grows with every change of the leader.
        isr: server ids.
        coordinator_epoch: epoch of the coordinator that wrote this.
        bucket_epoch: grows with every change of this record.
        standby_replicas: server ids; written (as version 2) only when there are any.
    """

    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    coordinator_epoch: int
    bucket_epoch: int
    standby_replicas: tuple[int, ...] = field(default=())

    def encode(self) -> bytes:
        document: dict[str, Any] = {
            "version": 2 if self.standby_replicas else 1,
            "leader": self.leader,
            "leader_epoch": self.leader_epoch,
            "isr": list(self.isr),
            "coordinator_epoch": self.coordinator_epoch,
            "bucket_epoch": self.bucket_epoch,
        }
        if self.standby_replicas:
            document["standby_replicas"] = list(self.standby_replicas)
        return _encode(document)

    @classmethod
    def decode(cls, path: str, value: bytes) -> LeaderAndIsrRecord:
        document = _document(path, value)
        return cls(
            _integer(path, document, "leader"),
            _integer(path, document, "leader_epoch"),
            _servers(path, document.get("isr")),
            _integer(path, document, "coordinator_epoch"),
            _integer(path, document, "bucket_epoch"),
            _servers(path, document.get("standby_replicas", [])),
        )


def decode_schema(path: str, value: bytes) -> Schema:
    """The schema in a node; ``UNKNOWN_SERVER_ERROR`` when there is none."""
    return _readable(path, Schema.from_json, _document(path, value))


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _document(path: str, value: bytes) -> dict[str, Any]:
    document = _readable(path, lambda data: parse_json(data, "value"), value)
    if not isinstance(document, dict):
        raise _unreadable(path, "it must hold a JSON object")
    return document


def _readable(path: str, read: Callable[[_ValueT], _T], value: _ValueT) -> _T:
    """``read(value)``; an error of a descriptor becomes one of the stored node, which no user can be blamed for."""
    try:
        return read(value)
    except FlussError as error:
        raise _unreadable(path, str(error)) from None


def _integer(path: str, document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unreadable(path, f"{name} must be a number, not {value!r}")
    return value


def _text(path: str, document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if not (value is None or isinstance(value, str)):
        raise _unreadable(path, f"{name} must be text, not {value!r}")
    return value


def _names(path: str, document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _unreadable(path, f"{name} must be a list of names, not {value!r}")
    return tuple(value)


def _text_map(path: str, document: Mapping[str, Any], name: str) -> dict[str, str]:
    value = document.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise _unreadable(path, f"{name} must map text to text, not {value!r}")
    return value


def _assignment_json(buckets: Mapping[int, tuple[int, ...]]) -> dict[str, list[int]]:
    return {str(bucket): list(replicas) for bucket, replicas in buckets.items()}


def _assignment(path: str, document: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    buckets = document.get("buckets")
    if not isinstance(buckets, Mapping) or not all(key.isdecimal() for key in buckets):
        raise _unreadable(path, "buckets must map bucket numbers to lists of servers")
    return {int(key): _servers(path, replicas) for key, replicas in buckets.items()}


def _servers(path: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(server) is int for server in value):
        raise _unreadable(path, f"a list of server ids was expected, not {value!r}")
    return tuple(value)


def _unreadable(path: str, problem: str) -> FlussError:
    return FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} cannot be read: {problem}")
