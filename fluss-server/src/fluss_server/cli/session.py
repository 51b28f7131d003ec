"""A command's connection to a server, and what it knows of tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableDescriptor, TableInfo

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from fluss_server.cli.leaders import LeaderCalls
    from fluss_server.grpc_server.client import GrpcClient


@dataclass(frozen=True)
class Partition:
    """A partition of a table; a table without partitions has one whose name and id are None.

    Attributes:
        name: values of the partition columns with ``$`` between them.
        partition_id: id.
        values: of the partition columns, as text, by column.
        bucket_count: its number of buckets; None = that of the table.
    """

    name: str | None
    partition_id: int | None
    values: tuple[tuple[str, str], ...] = ()
    bucket_count: int | None = None

    def bucket_count_in(self, table: TableInfo) -> int:
        """Its number of buckets, as a partition of ``table``."""
        return table.bucket_count if self.bucket_count is None else self.bucket_count


WHOLE_TABLE = Partition(None, None)

ROUTED_KEYS = frozenset(
    {
        ApiKey.LIST_OFFSETS,
        ApiKey.FETCH_LOG,
        ApiKey.PRODUCE_LOG,
        ApiKey.PUT_KV,
        ApiKey.LOOKUP,
        ApiKey.PREFIX_LOOKUP,
        ApiKey.LIMIT_SCAN,
        ApiKey.SCAN_KV,
        ApiKey.GET_TABLE_STATS,
    }
)
"""Calls that only the leader of a bucket serves."""


def table_path(name: str) -> TablePath:
    """Path of ``table`` or ``database.table``."""
    database, separator, table = name.partition(".")
    return TablePath(database, table) if separator else TablePath(DEFAULT_DATABASE, name)


@contextlib.contextmanager
def connect(address: str, user: str | None, password: str) -> Iterator[Session]:
    """A session with the server that has this gRPC address.

    Raises:
        FlussError: ``NETWORK_EXCEPTION`` from any call, with the right address if this is that of the native protocol.
    """
    from fluss_server.grpc_server.client import GrpcClient

    with GrpcClient(address, user=user, password=password) as client:
        try:
            with contextlib.closing(Session(client, user, password)) as session:
                yield session
        except FlussError as error:
            if error.code is not ErrorCode.NETWORK_EXCEPTION:
                raise
            from fluss_server.cli.wrong_port import native_port_hint

            hint = native_port_hint(address)
            if hint is None:
                raise
            raise FlussError(error.code, f"{address} is no gRPC address", hint=hint) from None


class Session:
    """Calls to one server, in a cluster also to the leaders of buckets, and a memory of tables and schemas.

    Args:
        client: of the server.
        user: to authenticate as, None = anonymous.
        password: of that user.
    """

    def __init__(self, client: GrpcClient, user: str | None = None, password: str = "") -> None:
        self._client = client
        self._user = user
        self._password = password
        self._schemas: dict[tuple[int, int], Schema] = {}
        self._paths: dict[int, TablePath] = {}
        self._leaders: LeaderCalls | None = None
        self._is_cluster: bool | None = None

    def close(self) -> None:
        """Close the connections to leaders; that of the client stays open."""
        leaders, self._leaders = self._leaders, None
        if leaders is not None:
            leaders.close()

    def call(self, key: ApiKey, request: Message, **options: Any) -> Any:
        """See :meth:`GrpcClient.call`; what only the leader of a bucket serves goes there."""
        if key in ROUTED_KEYS and self.is_cluster:
            if self._leaders is None:
                from fluss_server.cli.leaders import LeaderCalls

                self._leaders = LeaderCalls(self._client.call, self._paths.__getitem__, self._user, self._password)
            return self._leaders.call(key, request, **options)
        return self._client.call(key, request, **options)

    @property
    def authentication(self) -> tuple[str, str] | None:
        """User and password for connections of the native protocol; None = anonymous."""
        return None if self._user is None else (self._user, self._password)

    @property
    def is_cluster(self) -> bool:
        """Whether coordinator and tablet servers are different processes."""
        if self._is_cluster is None:
            metadata = self._client.call(ApiKey.GET_METADATA, pb.MetadataRequest())
            coordinator = metadata.coordinator_server
            addresses = [(server.host, server.port) for server in metadata.tablet_servers]
            self._is_cluster = addresses != [(coordinator.host, coordinator.port)]
        return self._is_cluster

    def table(self, name: str) -> TableInfo:
        """A table; ``TABLE_NOT_EXIST``."""
        path = table_path(name)
        response = self.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path_message(path)))
        table = TableInfo(
            path,
            response.table_id,
            response.schema_id,
            TableDescriptor.from_json_bytes(response.table_json),
            response.created_time,
            response.modified_time,
        )
        self._schemas[table.table_id, table.schema_id] = table.schema
        self._paths[table.table_id] = path
        return table

    def schema(self, table: TableInfo, schema_id: int) -> Schema:
        """A version of a table's schema; ``SCHEMA_NOT_EXIST``."""
        key = table.table_id, schema_id
        if key not in self._schemas:
            request = pb.GetTableSchemaRequest(table_path=path_message(table.path), schema_id=schema_id)
            response = self.call(ApiKey.GET_TABLE_SCHEMA, request)
            self._schemas[key] = Schema.from_json_bytes(response.schema_json)
        return self._schemas[key]

    def partitions(self, table: TableInfo) -> list[Partition]:
        """Partitions of a table, by name; one without name and id if it has none."""
        if not table.is_partitioned:
            return [WHOLE_TABLE]
        response = self.call(
            ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=path_message(table.path))
        )
        found = []
        for info in response.partitions_info:
            values = tuple((entry.key, entry.value) for entry in info.partition_spec.partition_key_values)
            name = "$".join(value for _, value in values)
            bucket_count = info.bucket_count if info.HasField("bucket_count") else None
            found.append(Partition(name, info.partition_id, values, bucket_count))
        return sorted(found, key=lambda partition: partition.name or "")


def path_message(path: TablePath) -> pb.PbTablePath:
    """A path as requests carry it."""
    return pb.PbTablePath(database_name=path.database, table_name=path.table)


def bucket_error(response: Any) -> FlussError | None:
    """The error that a part of a response reports, None if it does not."""
    if not response.HasField("error_code") or not response.error_code:
        return None
    try:
        code = ErrorCode(response.error_code)
    except ValueError:
        code = ErrorCode.UNKNOWN_SERVER_ERROR
    return FlussError(code, response.error_message or f"error {response.error_code}")


def raise_bucket_error(response: Any) -> None:
    """Raise :func:`bucket_error` if there is one."""
    error = bucket_error(response)
    if error is not None:
        raise error
