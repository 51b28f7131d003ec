"""What each API requires of its caller: the one table from which every check is made.

A rule is handed the caller's permissions, the request, and the method that serves it. It either calls the method,
responds itself as Fluss does for what the caller may not see, or raises ``AUTHORIZATION_EXCEPTION``. Where clients take
an error of the whole request for a broken connection and repeat it indefinitely, the refusal is given per bucket. A
caller without permission gets the same response whether something exists or not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from fluss_server.api import messages as pb
from fluss_server.api.keys import BETWEEN_SERVERS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import CLUSTER, Operation, Resource, ResourceType
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath, no_partition_with_id
from fluss_server.rpc.bulk import ProduceLogRequest, PutKvRequest
from fluss_server.rpc.service import ResponseBody

Response: TypeAlias = "ResponseBody | Awaitable[ResponseBody]"
Proceed: TypeAlias = "Callable[[], Response]"


class Permissions(Protocol):
    """What the caller of one request may do."""

    def allows(self, operation: Operation, resource: Resource) -> bool:
        """True when it is allowed."""

    def require(self, operation: Operation, resource: Resource) -> None:
        """``AUTHORIZATION_EXCEPTION`` unless it is allowed."""

    def table_refusal(self, operation: Operation, table_id: int) -> FlussError | None:
        """Why it is not allowed on a table, None if it is.

        ``AUTHORIZATION_EXCEPTION``; for a table that does not exist ``UNKNOWN_TABLE_OR_BUCKET_EXCEPTION`` if the caller
        may do it on the cluster.
        """


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one API.

    Attributes:
        operation: what must be allowed; None = nothing, or see ``refusal``.
        resource: on what; None likewise.
        refusal: what a caller without it gets, for the documentation.
        apply: enforces the rule: ``(permissions, request, proceed) -> response``.
    """

    operation: Operation | None
    resource: ResourceType | None
    refusal: str
    apply: Callable[[Permissions, Any, Proceed], Response]


_ERROR = "error 48"
_BUCKETS = "error 48 for every bucket"


def _free(why: str) -> Rule:
    return Rule(None, None, why, lambda permissions, request, proceed: proceed())


def _cluster(operation: Operation) -> Rule:
    def apply(permissions: Permissions, request: Any, proceed: Proceed) -> Response:
        permissions.require(operation, CLUSTER)
        return proceed()

    return Rule(operation, ResourceType.CLUSTER, _ERROR, apply)


def _database(operation: Operation, name: Callable[[Any], str] = lambda request: request.database_name) -> Rule:
    def apply(permissions: Permissions, request: Any, proceed: Proceed) -> Response:
        permissions.require(operation, Resource.database(name(request)))
        return proceed()

    return Rule(operation, ResourceType.DATABASE, _ERROR, apply)


def _table(operation: Operation) -> Rule:
    def apply(permissions: Permissions, request: Any, proceed: Proceed) -> Response:
        permissions.require(operation, _resource(request.table_path))
        return proceed()

    return Rule(operation, ResourceType.TABLE, _ERROR, apply)


def _table_id(operation: Operation) -> Rule:
    def apply(permissions: Permissions, request: Any, proceed: Proceed) -> Response:
        if (refusal := permissions.table_refusal(operation, request.table_id)) is not None:
            raise refusal
        return proceed()

    return Rule(operation, ResourceType.TABLE, _ERROR, apply)


def _buckets(operation: Operation, refuse: Callable[[Any, FlussError], ResponseBody]) -> Rule:
    def apply(permissions: Permissions, request: Any, proceed: Proceed) -> Response:
        if (refusal := permissions.table_refusal(operation, request.table_id)) is not None:
            return refuse(request, refusal)
        return proceed()

    return Rule(operation, ResourceType.TABLE, _BUCKETS, apply)


def _resource(path: pb.PbTablePath) -> Resource:
    return Resource.table(TablePath(path.database_name, path.table_name))


def _refused_writes(
    response: pb.ProduceLogResponse | pb.PutKvResponse, request: ProduceLogRequest | PutKvRequest, error: FlussError
) -> ResponseBody:
    for bucket in request.buckets:
        response.buckets_resp.add(
            partition_id=bucket.partition_id,
            bucket_id=bucket.bucket_id,
            error_code=int(error.code),
            error_message=str(error),
        )
    return response


def _refused_lookups(
    response: pb.LookupResponse | pb.PrefixLookupResponse, buckets: Sequence[Any], error: FlussError
) -> ResponseBody:
    for bucket in buckets:
        entry = response.buckets_resp.add(
            bucket_id=bucket.bucket_id, error_code=int(error.code), error_message=str(error)
        )
        if bucket.HasField("partition_id"):
            entry.partition_id = bucket.partition_id
    return response


def _lookup(permissions: Permissions, request: pb.LookupRequest, proceed: Proceed) -> Response:
    operation = Operation.WRITE if request.insert_if_not_exists else Operation.READ
    if (refusal := permissions.table_refusal(operation, request.table_id)) is not None:
        return _refused_lookups(pb.LookupResponse(), request.buckets_req, refusal)
    return proceed()


def _fetch_log(permissions: Permissions, request: pb.FetchLogRequest, proceed: Proceed) -> Response:
    """Followers read all tables, also what is not committed, and move the high watermark: only servers may be one."""
    if request.follower_server_id >= 0:
        permissions.require(Operation.ALL, CLUSTER)
        return proceed()
    refusals = [permissions.table_refusal(Operation.READ, table.table_id) for table in request.tables_req]
    if not any(refusals):
        return proceed()
    refused, allowed = pb.FetchLogResponse(), []
    for table, refusal in zip(request.tables_req, refusals, strict=True):
        if refusal is None:
            allowed.append(table)
            continue
        entry = refused.tables_resp.add(table_id=table.table_id)
        for bucket in table.buckets_req:
            response = entry.buckets_resp.add(
                bucket_id=bucket.bucket_id, error_code=int(refusal.code), error_message=str(refusal)
            )
            if bucket.HasField("partition_id"):
                response.partition_id = bucket.partition_id
    if not allowed:
        return refused
    rest = pb.FetchLogRequest(follower_server_id=request.follower_server_id, max_bytes=request.max_bytes)
    rest.tables_req.extend(allowed)
    # Neither minimum nor wait: part of the response is there already.
    request.CopyFrom(rest)
    return _append_refused(proceed(), refused.SerializeToString())


async def _append_refused(response: Response, refused: bytes) -> ResponseBody:
    body = await response if isinstance(response, Awaitable) else response
    pieces = list(body) if isinstance(body, (list, tuple)) else [body.SerializeToString()]  # type: ignore[union-attr]
    return [*pieces, refused]  # encodings of a message, one after the other, are the encoding of both together


def _scan_kv(permissions: Permissions, request: pb.ScanKvRequest, proceed: Proceed) -> Response:
    """Only the principal that opened a scan, and was checked then, may continue it: the service compares them."""
    if request.HasField("bucket_scan_req"):
        refusal = permissions.table_refusal(Operation.READ, request.bucket_scan_req.table_id)
        if refusal is not None:
            return pb.ScanKvResponse(error_code=int(refusal.code), error_message=str(refusal))
    return proceed()


def _init_writer(permissions: Permissions, request: pb.InitWriterRequest, proceed: Proceed) -> Response:
    resources = [_resource(path) for path in request.table_path]
    if not any(permissions.allows(Operation.WRITE, resource) for resource in resources):
        names = ", ".join(resource.name for resource in resources[:20])
        raise FlussError(
            ErrorCode.AUTHORIZATION_EXCEPTION,
            f"No WRITE permission among all the tables: [{names}]" if names else "a writer must name its tables",
        )
    return proceed()


def _filtered(operation: Operation, resource: ResourceType, keep: Callable[[Permissions, Any, Any], None]) -> Rule:
    """``keep(permissions, request, response)`` takes out of the response what the caller may not see."""

    def apply(permissions: Permissions, request: Any, proceed: Proceed) -> Response:
        response = proceed()
        if isinstance(response, Awaitable):
            return later(permissions, request, response)
        keep(permissions, request, response)
        return response

    async def later(permissions: Permissions, request: Any, response: Awaitable[ResponseBody]) -> ResponseBody:
        body = await response
        keep(permissions, request, body)
        return body

    return Rule(operation, resource, "left out", apply)


def _keep_databases(
    permissions: Permissions, request: pb.ListDatabasesRequest, response: pb.ListDatabasesResponse
) -> None:
    names = [name for name in response.database_name if permissions.allows(Operation.DESCRIBE, Resource.database(name))]
    summaries = [
        summary
        for summary in response.database_summary
        if permissions.allows(Operation.DESCRIBE, Resource.database(summary.database_name))
    ]
    response.CopyFrom(pb.ListDatabasesResponse(database_name=names, database_summary=summaries))


def _keep_tables(permissions: Permissions, request: pb.ListTablesRequest, response: pb.ListTablesResponse) -> None:
    database = request.database_name
    names = [
        name
        for name in response.table_name
        if permissions.allows(Operation.DESCRIBE, Resource.table(TablePath(database, name)))
    ]
    response.CopyFrom(pb.ListTablesResponse(table_name=names))


def _list_tables(permissions: Permissions, request: pb.ListTablesRequest, proceed: Proceed) -> Response:
    response = _LISTED_TABLES.apply(permissions, request, _or_nothing(permissions, request, proceed))
    return response


def _or_nothing(permissions: Permissions, request: pb.ListTablesRequest, proceed: Proceed) -> Proceed:
    """The method, with no tables instead of an error for a database that the caller may not see."""

    async def later(response: Awaitable[ResponseBody]) -> ResponseBody:
        try:
            return await response
        except FlussError as error:
            return nothing(error)

    def nothing(error: FlussError) -> ResponseBody:
        hidden = not permissions.allows(Operation.DESCRIBE, Resource.database(request.database_name))
        if error.code is ErrorCode.DATABASE_NOT_EXIST and hidden:
            return pb.ListTablesResponse()
        raise error

    def call() -> Response:
        try:
            response = proceed()
        except FlussError as error:
            return nothing(error)
        return later(response) if isinstance(response, Awaitable) else response

    return call


def _database_exists(permissions: Permissions, request: pb.DatabaseExistsRequest, proceed: Proceed) -> Response:
    name = request.database_name
    # Catalogs look for the default database when they open.
    if name != DEFAULT_DATABASE and not permissions.allows(Operation.DESCRIBE, Resource.database(name)):
        return pb.DatabaseExistsResponse(exists=False)
    return proceed()


def _table_exists(permissions: Permissions, request: pb.TableExistsRequest, proceed: Proceed) -> Response:
    if not permissions.allows(Operation.DESCRIBE, _resource(request.table_path)):
        return pb.TableExistsResponse(exists=False)
    return proceed()


def _get_metadata(permissions: Permissions, request: pb.MetadataRequest, proceed: Proceed) -> Response:
    """Tables are taken out of the request; a partition id of another table is as unknown as one of no table."""
    paths = [path for path in request.table_path if permissions.allows(Operation.DESCRIBE, _resource(path))]
    if len(paths) < len(request.table_path):
        del request.table_path[:]
        request.table_path.extend(paths)
    partitions = [
        path
        for path in request.partitions_path
        if permissions.allows(Operation.DESCRIBE, Resource.table(TablePath(path.database_name, path.table_name)))
    ]
    if len(partitions) < len(request.partitions_path):
        del request.partitions_path[:]
        request.partitions_path.extend(partitions)
    return _METADATA_RESPONSE.apply(permissions, request, proceed)


def _keep_partitions(permissions: Permissions, request: pb.MetadataRequest, response: pb.MetadataResponse) -> None:
    for partition in response.partition_metadata:
        if permissions.table_refusal(Operation.DESCRIBE, partition.table_id) is not None:
            # By name it would not be here: its table was checked.
            raise no_partition_with_id(partition.partition_id)


def _register_producer_offsets(
    permissions: Permissions, request: pb.RegisterProducerOffsetsRequest, proceed: Proceed
) -> Response:
    if not request.table_offsets:  # else anybody could take the places and names of others
        permissions.require(Operation.WRITE, CLUSTER)
    for table in request.table_offsets:
        if (refusal := permissions.table_refusal(Operation.WRITE, table.table_id)) is not None:
            raise refusal
    return proceed()


def _keep_producer_offsets(
    permissions: Permissions, request: pb.GetProducerOffsetsRequest, response: pb.GetProducerOffsetsResponse
) -> None:
    kept = [
        table for table in response.table_offsets if permissions.table_refusal(Operation.READ, table.table_id) is None
    ]
    if not kept and not permissions.allows(Operation.READ, CLUSTER):
        response.Clear()  # as for a producer without offsets
    elif len(kept) < len(response.table_offsets):
        del response.table_offsets[:]
        response.table_offsets.extend(kept)


_LISTED_TABLES = _filtered(Operation.DESCRIBE, ResourceType.TABLE, _keep_tables)
_METADATA_RESPONSE = _filtered(Operation.DESCRIBE, ResourceType.TABLE, _keep_partitions)
_HANDSHAKE = _free("always served")
_SELF_CHECKED = "the service checks every entry: ALL to change, DESCRIBE to see"

RULES: Mapping[ApiKey, Rule] = MappingProxyType(
    {
        ApiKey.API_VERSIONS: _HANDSHAKE,
        ApiKey.AUTHENTICATE: _HANDSHAKE,
        ApiKey.GET_FILESYSTEM_SECURITY_TOKEN: _HANDSHAKE,
        # Databases
        ApiKey.CREATE_DATABASE: _cluster(Operation.CREATE),
        ApiKey.DROP_DATABASE: _database(Operation.DROP),
        ApiKey.ALTER_DATABASE: _database(Operation.ALTER),
        ApiKey.GET_DATABASE_INFO: _database(Operation.DESCRIBE),
        ApiKey.LIST_DATABASES: _filtered(Operation.DESCRIBE, ResourceType.DATABASE, _keep_databases),
        ApiKey.DATABASE_EXISTS: Rule(
            Operation.DESCRIBE, ResourceType.DATABASE, "false; the default database is always seen", _database_exists
        ),
        # Tables
        ApiKey.CREATE_TABLE: _database(Operation.CREATE, lambda request: request.table_path.database_name),
        ApiKey.DROP_TABLE: _table(Operation.DROP),
        ApiKey.ALTER_TABLE: _table(Operation.ALTER),
        ApiKey.GET_TABLE_INFO: _table(Operation.DESCRIBE),
        ApiKey.GET_TABLE_SCHEMA: _table(Operation.DESCRIBE),
        ApiKey.LIST_TABLES: Rule(Operation.DESCRIBE, ResourceType.TABLE, "left out", _list_tables),
        ApiKey.TABLE_EXISTS: Rule(Operation.DESCRIBE, ResourceType.TABLE, "false", _table_exists),
        ApiKey.GET_METADATA: Rule(Operation.DESCRIBE, ResourceType.TABLE, "left out", _get_metadata),
        ApiKey.LIST_PARTITION_INFOS: _table(Operation.DESCRIBE),
        ApiKey.CREATE_PARTITION: _table(Operation.WRITE),
        ApiKey.DROP_PARTITION: _table(Operation.WRITE),
        ApiKey.GET_LATEST_KV_SNAPSHOTS: _table(Operation.DESCRIBE),
        ApiKey.GET_KV_SNAPSHOT_METADATA: _table_id(Operation.DESCRIBE),
        ApiKey.GET_LAKE_SNAPSHOT: _table(Operation.DESCRIBE),
        ApiKey.LIST_REMOTE_LOG_MANIFESTS: _table_id(Operation.DESCRIBE),
        ApiKey.LIST_KV_SNAPSHOTS: _table_id(Operation.DESCRIBE),
        # Data
        ApiKey.INIT_WRITER: Rule(
            Operation.WRITE, ResourceType.TABLE, "error 48 unless allowed for one of the tables", _init_writer
        ),
        ApiKey.PRODUCE_LOG: _buckets(
            Operation.WRITE, lambda request, error: _refused_writes(pb.ProduceLogResponse(), request, error)
        ),
        ApiKey.PUT_KV: _buckets(
            Operation.WRITE, lambda request, error: _refused_writes(pb.PutKvResponse(), request, error)
        ),
        ApiKey.FETCH_LOG: Rule(Operation.READ, ResourceType.TABLE, _BUCKETS, _fetch_log),
        ApiKey.LOOKUP: Rule(
            Operation.READ, ResourceType.TABLE, _BUCKETS + "; WRITE is required when it inserts missing keys", _lookup
        ),
        ApiKey.PREFIX_LOOKUP: _buckets(
            Operation.READ,
            lambda request, error: _refused_lookups(pb.PrefixLookupResponse(), request.buckets_req, error),
        ),
        ApiKey.LIMIT_SCAN: _table_id(Operation.READ),
        ApiKey.SCAN_KV: Rule(
            Operation.READ,
            ResourceType.TABLE,
            "error 48 when the scan is opened; 67 for others than who opened it",
            _scan_kv,
        ),
        ApiKey.LIST_OFFSETS: _table_id(Operation.DESCRIBE),
        ApiKey.GET_TABLE_STATS: _table_id(Operation.READ),
        # Offsets of producers
        ApiKey.REGISTER_PRODUCER_OFFSETS: Rule(
            Operation.WRITE,
            ResourceType.TABLE,
            "error 48 unless allowed for all of the tables, or for the cluster if there are none",
            _register_producer_offsets,
        ),
        ApiKey.GET_PRODUCER_OFFSETS: _filtered(Operation.READ, ResourceType.TABLE, _keep_producer_offsets),
        ApiKey.DELETE_PRODUCER_OFFSETS: Rule(
            Operation.WRITE,
            ResourceType.TABLE,
            "error 48 unless allowed for all of the tables, or for the cluster if there are none; checked by the"
            " service, which knows them",
            lambda permissions, request, proceed: proceed(),
        ),
        # Administration
        ApiKey.CREATE_ACLS: _free(_SELF_CHECKED),
        ApiKey.LIST_ACLS: _free(_SELF_CHECKED),
        ApiKey.DROP_ACLS: _free(_SELF_CHECKED),
        ApiKey.DESCRIBE_CLUSTER_CONFIGS: _cluster(Operation.DESCRIBE),
        ApiKey.ALTER_CLUSTER_CONFIGS: _cluster(Operation.ALTER),
        ApiKey.GET_CLUSTER_HEALTH: _cluster(Operation.DESCRIBE),
        ApiKey.ADD_SERVER_TAG: _cluster(Operation.ALTER),
        ApiKey.REMOVE_SERVER_TAG: _cluster(Operation.ALTER),
        ApiKey.ADD_SERVER_TAG_BY_RACK: _cluster(Operation.ALTER),
        ApiKey.REMOVE_SERVER_TAG_BY_RACK: _cluster(Operation.ALTER),
        ApiKey.REBALANCE: _cluster(Operation.WRITE),
        ApiKey.CANCEL_REBALANCE: _cluster(Operation.WRITE),
        ApiKey.LIST_REBALANCE_PROGRESS: _cluster(Operation.DESCRIBE),
        ApiKey.DESCRIBE_SERVERS: _cluster(Operation.DESCRIBE),
        ApiKey.DESCRIBE_BUCKETS: _cluster(Operation.DESCRIBE),
        ApiKey.PLAN_REBALANCE: _cluster(Operation.DESCRIBE),
        # Between servers: whoever sends these can change and read everything
        **dict.fromkeys(BETWEEN_SERVERS, _cluster(Operation.ALL)),
    }
)
"""Rules by API. An API without one cannot be served by a server that authorizes."""
