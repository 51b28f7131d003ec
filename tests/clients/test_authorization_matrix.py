"""Every API as every kind of user: what is refused, and how. The table in docs/security.md is what this finds.

``WRITE_AUTHORIZATION_MATRIX=1`` writes the table anew.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.acl import CLUSTER, Operation, Permission, Resource, ResourceType
from fluss_server.model.identifiers import TablePath
from fluss_server.rpc.client import RpcClient
from fluss_server.security.rules import RULES
from fluss_server.testing import LocalCluster

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"
YES, REFUSED = "yes", "48"

DATABASE, TABLE = Resource.database("shop"), Resource.table(TablePath("shop", "keyed"))
EVERY_TABLE = Resource(ResourceType.TABLE, "*")
PRODUCER = "job"
O = Operation  # noqa: E741

# user, what it may do on which resource, from where, as the page calls it
USERS: list[tuple[str, Operation | None, Resource, str, str]] = [
    ("super", None, CLUSTER, "*", "super user"),
    ("cluster_all", O.ALL, CLUSTER, "*", "ALL cluster"),
    ("cluster_describe", O.DESCRIBE, CLUSTER, "*", "DESCRIBE cluster"),
    ("database_all", O.ALL, DATABASE, "*", "ALL database"),
    ("database_create", O.CREATE, DATABASE, "*", "CREATE database"),
    ("table_read", O.READ, TABLE, "*", "READ table"),
    ("table_write", O.WRITE, TABLE, "*", "WRITE table"),
    ("table_alter", O.ALTER, TABLE, "*", "ALTER table"),
    ("table_drop", O.DROP, TABLE, "*", "DROP table"),
    ("every_table", O.READ, EVERY_TABLE, "*", "READ table *"),
    ("elsewhere", O.ALL, CLUSTER, "10.0.0.1", "ALL cluster, other host"),
    ("nobody", None, TABLE, "*", "nothing"),
]
CLUSTER_TYPE, DATABASE_TYPE, TABLE_TYPE = ResourceType.CLUSTER, ResourceType.DATABASE, ResourceType.TABLE

# What Apache Fluss asks for each API, written down by hand, not taken from security/rules.py.
ASKED: dict[ApiKey, tuple[Operation, ResourceType] | None] = {
    ApiKey.API_VERSIONS: None,
    ApiKey.AUTHENTICATE: None,
    ApiKey.GET_FILESYSTEM_SECURITY_TOKEN: None,
    ApiKey.CREATE_DATABASE: (O.CREATE, CLUSTER_TYPE),
    ApiKey.DROP_DATABASE: (O.DROP, DATABASE_TYPE),
    ApiKey.ALTER_DATABASE: (O.ALTER, DATABASE_TYPE),
    ApiKey.GET_DATABASE_INFO: (O.DESCRIBE, DATABASE_TYPE),
    ApiKey.LIST_DATABASES: (O.DESCRIBE, DATABASE_TYPE),
    ApiKey.DATABASE_EXISTS: (O.DESCRIBE, DATABASE_TYPE),
    ApiKey.CREATE_TABLE: (O.CREATE, DATABASE_TYPE),
    ApiKey.DROP_TABLE: (O.DROP, TABLE_TYPE),
    ApiKey.ALTER_TABLE: (O.ALTER, TABLE_TYPE),
    ApiKey.GET_TABLE_INFO: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.GET_TABLE_SCHEMA: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.LIST_TABLES: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.TABLE_EXISTS: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.GET_METADATA: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.LIST_PARTITION_INFOS: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.CREATE_PARTITION: (O.WRITE, TABLE_TYPE),
    ApiKey.DROP_PARTITION: (O.WRITE, TABLE_TYPE),
    ApiKey.GET_LATEST_KV_SNAPSHOTS: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.GET_LAKE_SNAPSHOT: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.INIT_WRITER: (O.WRITE, TABLE_TYPE),
    ApiKey.PRODUCE_LOG: (O.WRITE, TABLE_TYPE),
    ApiKey.PUT_KV: (O.WRITE, TABLE_TYPE),
    ApiKey.FETCH_LOG: (O.READ, TABLE_TYPE),
    ApiKey.LOOKUP: (O.READ, TABLE_TYPE),
    ApiKey.PREFIX_LOOKUP: (O.READ, TABLE_TYPE),
    ApiKey.LIMIT_SCAN: (O.READ, TABLE_TYPE),
    ApiKey.SCAN_KV: (O.READ, TABLE_TYPE),
    ApiKey.LIST_OFFSETS: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.GET_TABLE_STATS: (O.READ, TABLE_TYPE),
    ApiKey.REGISTER_PRODUCER_OFFSETS: (O.WRITE, TABLE_TYPE),
    ApiKey.GET_PRODUCER_OFFSETS: (O.READ, TABLE_TYPE),
    ApiKey.DELETE_PRODUCER_OFFSETS: (O.WRITE, TABLE_TYPE),
    ApiKey.CREATE_ACLS: (O.ALL, DATABASE_TYPE),  # of a table: its database
    ApiKey.LIST_ACLS: (O.DESCRIBE, TABLE_TYPE),
    ApiKey.DROP_ACLS: (O.ALL, DATABASE_TYPE),
    ApiKey.DESCRIBE_CLUSTER_CONFIGS: (O.DESCRIBE, CLUSTER_TYPE),
    ApiKey.ALTER_CLUSTER_CONFIGS: (O.ALTER, CLUSTER_TYPE),
    ApiKey.GET_CLUSTER_HEALTH: (O.DESCRIBE, CLUSTER_TYPE),
    ApiKey.ADD_SERVER_TAG: (O.ALTER, CLUSTER_TYPE),
    ApiKey.REMOVE_SERVER_TAG: (O.ALTER, CLUSTER_TYPE),
    ApiKey.ADD_SERVER_TAG_BY_RACK: (O.ALTER, CLUSTER_TYPE),
    ApiKey.REMOVE_SERVER_TAG_BY_RACK: (O.ALTER, CLUSTER_TYPE),
    ApiKey.REBALANCE: (O.WRITE, CLUSTER_TYPE),
    ApiKey.LIST_REBALANCE_PROGRESS: (O.DESCRIBE, CLUSTER_TYPE),
    ApiKey.CANCEL_REBALANCE: (O.WRITE, CLUSTER_TYPE),
}
# How a refusal looks that is not error 48 of the whole request.
HIDDEN = {
    ApiKey.LIST_DATABASES: "left out",
    ApiKey.LIST_TABLES: "left out",
    ApiKey.LIST_ACLS: "left out",
    ApiKey.GET_METADATA: "left out",
    ApiKey.GET_PRODUCER_OFFSETS: "left out",
    ApiKey.DATABASE_EXISTS: "false",
    ApiKey.TABLE_EXISTS: "false",
}


@dataclass
class Names:
    """What the calls are about."""

    path: pb.PbTablePath
    table_id: int
    descriptor: bytes


Call = Callable[[RpcClient, Names], Awaitable[str]]


def simple(key: ApiKey, request: Callable[[Names], Any]) -> Call:
    """Refused by an error of the whole request."""

    async def call(client: RpcClient, names: Names) -> str:
        await client.call(key, request(names))
        return YES

    return call


def per_bucket(key: ApiKey, request: Callable[[Names], Any], bucket: Callable[[Any], Any]) -> Call:
    """Refused by the code of a bucket; other codes say that the method was reached."""

    async def call(client: RpcClient, names: Names) -> str:
        code = bucket(await client.call(key, request(names))).error_code
        return REFUSED if code == ErrorCode.AUTHORIZATION_EXCEPTION else YES

    return call


def shown(key: ApiKey, request: Callable[[Names], Any], sees: Callable[[Any], bool]) -> Call:
    """Refused by an answer without the thing."""

    async def call(client: RpcClient, names: Names) -> str:
        return YES if sees(await client.call(key, request(names))) else HIDDEN[key]

    return call


def first_bucket(response: Any) -> Any:
    return response.buckets_resp[0]


def with_bucket(request: Any, **fields: Any) -> Any:
    request.buckets_req.add(bucket_id=0, **fields)
    return request


def fetch(names: Names) -> pb.FetchLogRequest:
    request = pb.FetchLogRequest(follower_server_id=7, max_bytes=1000)  # as a follower: no way around the check
    table = request.tables_req.add(table_id=names.table_id, projection_pushdown_enabled=False)
    table.buckets_req.add(bucket_id=0, fetch_offset=0, max_fetch_bytes=100)
    return request


def producer_offsets(names: Names) -> pb.RegisterProducerOffsetsRequest:
    table = pb.PbProducerTableOffsets(table_id=names.table_id)
    table.bucket_offsets.add(bucket_id=0, log_end_offset=0)
    return pb.RegisterProducerOffsetsRequest(producer_id=PRODUCER, table_offsets=[table])


def acl(resource: Resource, user: str, operation: Operation, host: str = "*") -> pb.PbAclInfo:
    return pb.PbAclInfo(
        resource_name=resource.name,
        resource_type=resource.type,
        principal_name=user,
        principal_type="User",
        host=host,
        operation_type=operation,
        permission_type=Permission.ALLOW,
    )


def acl_filter(**fields: Any) -> pb.PbAclFilter:
    return pb.PbAclFilter(**{"resource_type": 1, "operation_type": 1, "permission_type": 1, **fields})


def partition_spec() -> pb.PbPartitionSpec:
    return pb.PbPartitionSpec(partition_key_values=[pb.PbKeyValue(key="p", value="1")])


STRANGER = {"resource_type": ResourceType.TABLE, "resource_name": TABLE.name, "principal_name": "stranger"}
BY_PATH: list[tuple[ApiKey, Callable[[Names], Any]]] = [
    (ApiKey.GET_TABLE_INFO, lambda names: pb.GetTableInfoRequest(table_path=names.path)),
    (ApiKey.GET_TABLE_SCHEMA, lambda names: pb.GetTableSchemaRequest(table_path=names.path)),
    (ApiKey.GET_LATEST_KV_SNAPSHOTS, lambda names: pb.GetLatestKvSnapshotsRequest(table_path=names.path)),
    (ApiKey.GET_LAKE_SNAPSHOT, lambda names: pb.GetLakeSnapshotRequest(table_path=names.path)),
    (ApiKey.LIST_PARTITION_INFOS, lambda names: pb.ListPartitionInfosRequest(table_path=names.path)),
    (
        ApiKey.CREATE_PARTITION,
        lambda names: pb.CreatePartitionRequest(
            table_path=names.path, partition_spec=partition_spec(), ignore_if_not_exists=True
        ),
    ),
    (
        ApiKey.DROP_PARTITION,
        lambda names: pb.DropPartitionRequest(
            table_path=names.path, partition_spec=partition_spec(), ignore_if_not_exists=True
        ),
    ),
    (ApiKey.INIT_WRITER, lambda names: pb.InitWriterRequest(table_path=[names.path])),
    (ApiKey.ALTER_TABLE, lambda names: pb.AlterTableRequest(table_path=names.path, ignore_if_not_exists=False)),
    (
        ApiKey.CREATE_TABLE,
        lambda names: pb.CreateTableRequest(table_path=names.path, table_json=names.descriptor, ignore_if_exists=True),
    ),
]
CALLS: dict[ApiKey, Call] = {
    ApiKey.API_VERSIONS: simple(
        ApiKey.API_VERSIONS,
        lambda names: pb.ApiVersionsRequest(client_software_name="t", client_software_version="1"),
    ),
    ApiKey.AUTHENTICATE: simple(ApiKey.AUTHENTICATE, lambda names: pb.AuthenticateRequest(protocol="PLAIN", token=b"")),
    ApiKey.GET_FILESYSTEM_SECURITY_TOKEN: simple(
        ApiKey.GET_FILESYSTEM_SECURITY_TOKEN, lambda names: pb.GetFileSystemSecurityTokenRequest()
    ),
    ApiKey.CREATE_DATABASE: simple(
        ApiKey.CREATE_DATABASE, lambda names: pb.CreateDatabaseRequest(database_name="shop", ignore_if_exists=True)
    ),
    ApiKey.DROP_DATABASE: simple(
        ApiKey.DROP_DATABASE,
        lambda names: pb.DropDatabaseRequest(database_name="shop", ignore_if_not_exists=True, cascade=False),
    ),
    ApiKey.ALTER_DATABASE: simple(
        ApiKey.ALTER_DATABASE,
        lambda names: pb.AlterDatabaseRequest(database_name="shop", ignore_if_not_exists=False),
    ),
    ApiKey.GET_DATABASE_INFO: simple(
        ApiKey.GET_DATABASE_INFO, lambda names: pb.GetDatabaseInfoRequest(database_name="shop")
    ),
    ApiKey.LIST_DATABASES: shown(
        ApiKey.LIST_DATABASES,
        lambda names: pb.ListDatabasesRequest(),
        lambda response: "shop" in response.database_name,
    ),
    ApiKey.DATABASE_EXISTS: shown(
        ApiKey.DATABASE_EXISTS,
        lambda names: pb.DatabaseExistsRequest(database_name="shop"),
        lambda response: bool(response.exists),
    ),
    ApiKey.DROP_TABLE: simple(
        ApiKey.DROP_TABLE, lambda names: pb.DropTableRequest(table_path=names.path, ignore_if_not_exists=False)
    ),
    ApiKey.LIST_TABLES: shown(
        ApiKey.LIST_TABLES,
        lambda names: pb.ListTablesRequest(database_name="shop"),
        lambda response: "keyed" in response.table_name,
    ),
    ApiKey.TABLE_EXISTS: shown(
        ApiKey.TABLE_EXISTS,
        lambda names: pb.TableExistsRequest(table_path=names.path),
        lambda response: bool(response.exists),
    ),
    ApiKey.GET_METADATA: shown(
        ApiKey.GET_METADATA,
        lambda names: pb.MetadataRequest(table_path=[names.path]),
        lambda response: len(response.table_metadata) == 1,
    ),
    ApiKey.PRODUCE_LOG: per_bucket(
        ApiKey.PRODUCE_LOG,
        lambda names: with_bucket(pb.ProduceLogRequest(acks=1, table_id=names.table_id, timeout_ms=9), records=b"?"),
        first_bucket,
    ),
    ApiKey.PUT_KV: per_bucket(
        ApiKey.PUT_KV,
        lambda names: with_bucket(pb.PutKvRequest(acks=1, table_id=names.table_id, timeout_ms=9), records=b"?"),
        first_bucket,
    ),
    ApiKey.FETCH_LOG: per_bucket(ApiKey.FETCH_LOG, fetch, lambda response: response.tables_resp[0].buckets_resp[0]),
    ApiKey.LOOKUP: per_bucket(
        ApiKey.LOOKUP, lambda names: with_bucket(pb.LookupRequest(table_id=names.table_id), keys=[b"k"]), first_bucket
    ),
    ApiKey.PREFIX_LOOKUP: per_bucket(
        ApiKey.PREFIX_LOOKUP,
        lambda names: with_bucket(pb.PrefixLookupRequest(table_id=names.table_id), keys=[b"k"]),
        first_bucket,
    ),
    ApiKey.LIMIT_SCAN: simple(
        ApiKey.LIMIT_SCAN, lambda names: pb.LimitScanRequest(table_id=names.table_id, bucket_id=0, limit=1)
    ),
    ApiKey.SCAN_KV: per_bucket(
        ApiKey.SCAN_KV,
        lambda names: pb.ScanKvRequest(
            bucket_scan_req=pb.PbScanReqForBucket(table_id=names.table_id, bucket_id=0), batch_size_bytes=100
        ),
        lambda response: response,
    ),
    ApiKey.LIST_OFFSETS: simple(
        ApiKey.LIST_OFFSETS,
        lambda names: pb.ListOffsetsRequest(
            follower_server_id=-1, table_id=names.table_id, bucket_id=[0], offset_type=1
        ),
    ),
    ApiKey.GET_TABLE_STATS: simple(
        ApiKey.GET_TABLE_STATS, lambda names: with_bucket(pb.GetTableStatsRequest(table_id=names.table_id))
    ),
    ApiKey.REGISTER_PRODUCER_OFFSETS: simple(ApiKey.REGISTER_PRODUCER_OFFSETS, producer_offsets),
    ApiKey.GET_PRODUCER_OFFSETS: shown(
        ApiKey.GET_PRODUCER_OFFSETS,
        lambda names: pb.GetProducerOffsetsRequest(producer_id=PRODUCER),
        lambda response: len(response.table_offsets) == 1,
    ),
    ApiKey.DELETE_PRODUCER_OFFSETS: simple(
        ApiKey.DELETE_PRODUCER_OFFSETS, lambda names: pb.DeleteProducerOffsetsRequest(producer_id=PRODUCER)
    ),
    ApiKey.CREATE_ACLS: simple(
        ApiKey.CREATE_ACLS, lambda names: pb.CreateAclsRequest(acl=[acl(TABLE, "stranger", O.READ)])
    ),
    ApiKey.LIST_ACLS: shown(
        ApiKey.LIST_ACLS,
        lambda names: pb.ListAclsRequest(acl_filter=acl_filter(**STRANGER)),
        lambda response: len(response.acl) == 1,
    ),
    ApiKey.DROP_ACLS: simple(ApiKey.DROP_ACLS, lambda names: pb.DropAclsRequest(acl_filter=[acl_filter(**STRANGER)])),
    ApiKey.DESCRIBE_CLUSTER_CONFIGS: simple(
        ApiKey.DESCRIBE_CLUSTER_CONFIGS, lambda names: pb.DescribeClusterConfigsRequest()
    ),
    ApiKey.ALTER_CLUSTER_CONFIGS: simple(
        ApiKey.ALTER_CLUSTER_CONFIGS,
        lambda names: pb.AlterClusterConfigsRequest(
            alter_configs=[
                pb.PbAlterConfig(config_key="log.retention.roll-active-segment.enabled", op_type=1),
            ]
        ),
    ),
    ApiKey.GET_CLUSTER_HEALTH: simple(ApiKey.GET_CLUSTER_HEALTH, lambda names: pb.GetClusterHealthRequest()),
    ApiKey.ADD_SERVER_TAG: simple(ApiKey.ADD_SERVER_TAG, lambda names: pb.AddServerTagRequest(server_tag=1)),
    ApiKey.REMOVE_SERVER_TAG: simple(ApiKey.REMOVE_SERVER_TAG, lambda names: pb.RemoveServerTagRequest(server_tag=1)),
    ApiKey.ADD_SERVER_TAG_BY_RACK: simple(
        ApiKey.ADD_SERVER_TAG_BY_RACK, lambda names: pb.AddServerTagByRackRequest(server_tag=1)
    ),
    ApiKey.REMOVE_SERVER_TAG_BY_RACK: simple(
        ApiKey.REMOVE_SERVER_TAG_BY_RACK, lambda names: pb.RemoveServerTagByRackRequest(server_tag=1)
    ),
    ApiKey.REBALANCE: simple(ApiKey.REBALANCE, lambda names: pb.RebalanceRequest()),
    ApiKey.LIST_REBALANCE_PROGRESS: simple(
        ApiKey.LIST_REBALANCE_PROGRESS, lambda names: pb.ListRebalanceProgressRequest()
    ),
    ApiKey.CANCEL_REBALANCE: simple(ApiKey.CANCEL_REBALANCE, lambda names: pb.CancelRebalanceRequest()),
    **{key: simple(key, request) for key, request in BY_PATH},
}


def expected(operation: Operation | None, resource: Resource, host: str, user: str, key: ApiKey) -> str:
    """The cell, from the rules as they are documented."""
    asked = ASKED[key]
    if asked is None or user == "super":
        return YES
    wanted, kind = asked
    enough = operation is not None and (
        operation in (wanted, Operation.ALL) or (wanted is Operation.DESCRIBE and operation is not Operation.ANY)
    )
    # CLUSTER, DATABASE and TABLE are numbered from the outside in; every_table covers its type only.
    if enough and host == "*" and resource.type <= kind:
        return YES
    return HIDDEN.get(key, REFUSED)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    options = {
        "security.protocol.map": "FLUSS:SASL",
        "security.sasl.plain.credentials": ",".join(f"{user}:{user}_pass" for user, *_ in USERS),
        "authorizer.enabled": "true",
        "super.users": "User:super",
    }
    with LocalCluster(options=options, tablet_servers=1) as running:
        yield running


@asynccontextmanager
async def logged_in(cluster: LocalCluster, user: str) -> AsyncIterator[RpcClient]:
    async with await RpcClient.connect("127.0.0.1", cluster.port, authentication=(user, f"{user}_pass")) as client:
        yield client


def descriptor() -> bytes:
    schema = {
        "version": 1,
        "columns": [{"name": "id", "data_type": {"type": "INTEGER", "nullable": False}, "id": 0}],
        "primary_key": ["id"],
        "highest_field_id": 0,
    }
    table = {"partition_key": [], "bucket_key": ["id"], "bucket_count": 1, "properties": {}, "custom_properties": {}}
    return json.dumps({"version": 1, "schema": schema, **table}).encode()


async def prepare(root: RpcClient) -> Names:
    """The table is there, the entry about a stranger, and offsets of a producer."""
    path = pb.PbTablePath(database_name="shop", table_name="keyed")
    create = pb.CreateTableRequest(table_path=path, table_json=descriptor(), ignore_if_exists=True)
    await root.call(ApiKey.CREATE_TABLE, create)
    await root.call(ApiKey.CREATE_ACLS, pb.CreateAclsRequest(acl=[acl(TABLE, "stranger", O.READ)]))
    info = await root.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
    names = Names(path, info.table_id, descriptor())
    await root.call(ApiKey.DELETE_PRODUCER_OFFSETS, pb.DeleteProducerOffsetsRequest(producer_id=PRODUCER))
    await root.call(ApiKey.REGISTER_PRODUCER_OFFSETS, producer_offsets(names))
    return names


async def attempt(call: Call, client: RpcClient, names: Names) -> str:
    try:
        return await call(client, names)
    except FlussError as error:
        return REFUSED if error.code is ErrorCode.AUTHORIZATION_EXCEPTION else YES


async def measure(cluster: LocalCluster) -> dict[ApiKey, dict[str, str]]:
    """Every call by every user, on a fresh table where one is needed."""
    found: dict[ApiKey, dict[str, str]] = {}
    async with logged_in(cluster, "super") as root:
        await root.call(ApiKey.CREATE_DATABASE, pb.CreateDatabaseRequest(database_name="shop", ignore_if_exists=True))
        grants = [acl(where, user, what, host) for user, what, where, host, _ in USERS if what is not None]
        created = await root.call(ApiKey.CREATE_ACLS, pb.CreateAclsRequest(acl=grants))
        assert [entry.error_code for entry in created.aclRes] == [0] * len(grants)
        for user, *_ in USERS:
            async with logged_in(cluster, user) as client:
                for key, call in CALLS.items():
                    names = await prepare(root)
                    found.setdefault(key, {})[user] = await attempt(call, client, names)
    return found


def markdown(found: dict[ApiKey, dict[str, str]]) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [line(["API", "requires", *(title for *_, title in USERS)]), "|---" * (len(USERS) + 2) + "|"]
    for key in sorted(found):
        asked = ASKED[key]
        text = "nothing" if asked is None else f"{asked[0].name} {asked[1].name.lower()}"
        lines.append(line([key.name, text, *(found[key][user] for user, *_ in USERS)]))
    return "\n".join(lines) + "\n"


def test_every_api_as_every_user(cluster: LocalCluster) -> None:
    found = asyncio.run(measure(cluster))
    wrong = {
        f"{key.name} as {user}": (cell, expected(what, where, host, user, key))
        for key, cells in found.items()
        for (user, what, where, host, _), cell in zip(USERS, cells.values(), strict=True)
        if cell != expected(what, where, host, user, key)
    }
    assert wrong == {}, "found and expected"
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE.name} has no place for the table"
    page = before + BEGIN + markdown(found) + END + after
    if os.environ.get("WRITE_AUTHORIZATION_MATRIX"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "the page is out of date: run this test with WRITE_AUTHORIZATION_MATRIX=1"


def test_every_served_api_is_in_the_matrix(cluster: LocalCluster) -> None:
    async def served() -> set[int]:
        async with logged_in(cluster, "super") as root:
            return set(root.api_versions)

    assert asyncio.run(served()) == set(CALLS) == set(ASKED), "add a call and what it asks for"
    assert {key: (rule.operation, rule.resource) for key, rule in RULES.items() if rule.operation and key in ASKED} == {
        key: asked
        for key, asked in ASKED.items()
        if asked is not None and key not in (ApiKey.CREATE_ACLS, ApiKey.LIST_ACLS, ApiKey.DROP_ACLS)
    }


def test_a_lookup_that_inserts_must_be_allowed_to_write(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with logged_in(cluster, "super") as root:
            names = await prepare(root)
        request = pb.LookupRequest(table_id=names.table_id, insert_if_not_exists=True, acks=-1, timeout_ms=1000)
        with_bucket(request, keys=[b"k"])
        for user, refused in (("table_read", True), ("table_write", False)):
            async with logged_in(cluster, user) as client:
                try:
                    code = first_bucket(await client.call(ApiKey.LOOKUP, request)).error_code
                except FlussError as error:
                    code = error.code
            assert (code == ErrorCode.AUTHORIZATION_EXCEPTION) is refused, user

    asyncio.run(run())


def test_the_refusal_has_the_words_clients_look_for(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with logged_in(cluster, "nobody") as client:
            with pytest.raises(FlussError) as raised:
                await client.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name="shop"))
        assert raised.value.message == (
            "Principal FlussPrincipal{name='nobody', type='User'} have no authorization to operate DESCRIBE on resource"
            " Resource{type=DATABASE, name='shop'} "
        )

    asyncio.run(run())
