"""Permissions and settings of a cluster of processes: the coordinator changes them, tablet servers go by them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_support import ClusterServer, ProcessCluster
from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.config.dynamic import AlterOperation
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from rpc_support import async_test
from table_rpc import create_from, descriptor

USERS = "admin:admin-secret,bob:bob-secret"
OPTIONS = {
    "security.protocol.map": "FLUSS:SASL",
    "security.sasl.plain.credentials": USERS,
    "client.security.protocol": "SASL",
    "client.security.sasl.username": "admin",
    "client.security.sasl.password": "admin-secret",
    "authorizer.enabled": "true",
    "super.users": "User:admin",
    "security.acl.max-age": "3 s",
}
TABLE, READ, ALLOW = 4, 3, 2
NOTHING = {
    "coordinator_epoch": 99,
    "version": 99,
    "snapshot": True,
    "part": 0,
    "is_last": True,
    "has_overrides": False,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    with ProcessCluster(tmp_path_factory.mktemp("cluster"), tablet_servers=2, options=OPTIONS) as running:
        yield running


async def client_of(
    cluster: ProcessCluster, server: int, user: str = "admin", password: str | None = None
) -> RpcClient:
    port = cluster.servers[server].port
    return await RpcClient.connect("127.0.0.1", port, authentication=(user, password or f"{user}-secret"))


async def new_table(admin: RpcClient, name: str) -> int:
    """A table of two buckets; each server leads one."""
    table_id = await create_from(admin, name, descriptor(bucket_count=2))
    path = pb.PbTablePath(database_name="fluss", table_name=name)
    seen = await admin.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path]))
    assert {bucket.leader_id for bucket in seen.table_metadata[0].bucket_metadata} == {0, 1}
    return table_id


async def outcome(client: RpcClient, table_id: int) -> set[int]:
    """As :func:`fetch_codes`, with the code of the whole request when that is refused."""
    try:
        return await fetch_codes(client, table_id)
    except FlussError as error:
        return {error.code}


async def eventually(client: RpcClient, table_id: int, code: ErrorCode) -> None:
    """Wait until fetches end with ``code``."""
    for _ in range(600):
        if await outcome(client, table_id) == {code}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {await outcome(client, table_id)}, not {code}")


async def fetch_codes(client: RpcClient, table_id: int) -> set[int]:
    """Error codes of fetches from both buckets at one server, without those of the bucket that the other one leads."""
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1000, max_wait_ms=0)
    table = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
    for bucket in (0, 1):
        table.buckets_req.add(bucket_id=bucket, fetch_offset=0, max_fetch_bytes=1000)
    response = await client.call(ApiKey.FETCH_LOG, request)
    codes = {bucket.error_code for entry in response.tables_resp for bucket in entry.buckets_resp}
    return codes - {ErrorCode.NOT_LEADER_OR_FOLLOWER}


def read_acl(table: str) -> pb.PbAclInfo:
    return pb.PbAclInfo(
        resource_type=TABLE,
        resource_name=f"fluss.{table}",
        principal_type="User",
        principal_name="bob",
        host="*",
        operation_type=READ,
        permission_type=ALLOW,
    )


async def grant(admin: RpcClient, table: str) -> None:
    response = await admin.call(ApiKey.CREATE_ACLS, pb.CreateAclsRequest(acl=[read_acl(table)]))
    assert [result.error_code for result in response.aclRes] == [ErrorCode.NONE]


async def revoke(admin: RpcClient, table: str) -> None:
    acl = read_acl(table)
    selection = pb.PbAclFilter(
        resource_type=acl.resource_type,
        resource_name=acl.resource_name,
        principal_type="User",
        principal_name="bob",
        host="*",
        operation_type=READ,
        permission_type=ALLOW,
    )
    response = await admin.call(ApiKey.DROP_ACLS, pb.DropAclsRequest(acl_filter=[selection]))
    assert len(response.filter_results[0].matching_acls) == 1


@async_test
async def test_a_grant_and_its_revocation_count_at_every_server_when_they_return(cluster: ProcessCluster) -> None:
    async with (
        await client_of(cluster, 0) as admin,
        await client_of(cluster, 0, "bob") as first,
        await client_of(cluster, 1, "bob") as second,
    ):
        table_id = await new_table(admin, "granted")
        for client in (first, second):
            assert await fetch_codes(client, table_id) == {ErrorCode.AUTHORIZATION_EXCEPTION}
        for _ in range(3):
            await grant(admin, "granted")
            for client in (first, second):
                assert await fetch_codes(client, table_id) == {ErrorCode.NONE}
            await revoke(admin, "granted")
            for client in (first, second):
                assert await fetch_codes(client, table_id) == {ErrorCode.AUTHORIZATION_EXCEPTION}


@async_test
async def test_a_server_that_starts_has_the_permissions(cluster: ProcessCluster) -> None:
    async with await client_of(cluster, 0) as admin:
        table_id = await new_table(admin, "before_restart")
        await grant(admin, "before_restart")
    cluster.servers[1].process.end(signal.SIGKILL, 30.0)
    cluster.servers[1].start()
    async with await client_of(cluster, 1, "bob") as bob:
        await eventually(bob, table_id, ErrorCode.NONE)
        assert (
            await refused(bob.call(ApiKey.UPDATE_SETTINGS, message_class("UpdateSettingsRequest")(**NOTHING)))
            is ErrorCode.AUTHORIZATION_EXCEPTION
        )


@async_test
async def test_permissions_that_may_be_outdated_do_not_count(cluster: ProcessCluster) -> None:
    """``security.acl.max-age`` after the coordinator was last heard of, and again when it is back."""
    async with await client_of(cluster, 0) as admin, await client_of(cluster, 0, "bob") as bob:
        table_id = await new_table(admin, "outdated")
        await grant(admin, "outdated")
        cluster.coordinators[0].kill()
        assert await fetch_codes(bob, table_id) == {ErrorCode.NONE}
        await eventually(bob, table_id, ErrorCode.NETWORK_EXCEPTION)
        assert await fetch_codes(admin, table_id) == {ErrorCode.NONE}, "the servers themselves get through"
        cluster.coordinators[0].start()
        await eventually(bob, table_id, ErrorCode.NONE)


async def alter(client: RpcClient, key: str, value: str | None, operation: AlterOperation) -> None:
    change = pb.PbAlterConfig(config_key=key, config_value=value, op_type=operation)
    await client.call(ApiKey.ALTER_CLUSTER_CONFIGS, pb.AlterClusterConfigsRequest(alter_configs=[change]))


async def can_log_in(cluster: ProcessCluster, server: int, user: str) -> bool:
    with contextlib.suppress(FlussError):
        async with await client_of(cluster, server, user):
            return True
    return False


@async_test
async def test_settings_that_change_reach_tablet_servers(cluster: ProcessCluster) -> None:
    key = "security.sasl.plain.credentials"
    async with await client_of(cluster, 1) as admin:
        await alter(admin, key, "carol:carol-secret", AlterOperation.APPEND)
        assert [await can_log_in(cluster, server, "carol") for server in (0, 1)] == [True, True]
        described = await admin.call(ApiKey.DESCRIBE_CLUSTER_CONFIGS, pb.DescribeClusterConfigsRequest())
        assert {entry.config_key for entry in described.configs if entry.config_source == "DYNAMIC_SERVER_CONFIG"} == {
            key
        }
        cluster.servers[0].process.end(signal.SIGTERM, 30.0)
        cluster.servers[0].start()
        assert await can_log_in(cluster, 0, "carol"), "a server that starts has them"
        await alter(admin, key, None, AlterOperation.DELETE)
        assert [await can_log_in(cluster, server, "carol") for server in (0, 1)] == [False, False]
        bad = alter(admin, "server.data-disk.write-limit-ratio", "0.1", AlterOperation.SET)
        assert await refused(bad) is ErrorCode.CONFIG_EXCEPTION, "what tablet servers would refuse"


def test_a_server_that_does_not_check_permissions_is_no_member(cluster: ProcessCluster, tmp_path: Path) -> None:
    options = {**OPTIONS, "authorizer.enabled": "false", "coordinator.address": cluster.coordinators[0].address}
    careless = ClusterServer("tablet-server", tmp_path, options, ("--id", "7"))
    with pytest.raises(Exception, match="does not check permissions"):
        careless.start()
    careless.stop()
