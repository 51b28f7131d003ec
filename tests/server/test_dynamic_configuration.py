"""Settings changed through the protocol on a running server, and its health."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.config import SERVER_OPTIONS
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

USERS = "security.sasl.plain.credentials"
ROLL = "log.retention.roll-active-segment.enabled"
SET, DELETE, APPEND, SUBTRACT = range(4)


async def connect(cluster: LocalCluster, user: str, password: str) -> RpcClient:
    return await RpcClient.connect("127.0.0.1", cluster.port, authentication=(user, password))


async def alter(client: RpcClient, *changes: tuple[str, str | None, int]) -> None:
    request = pb.AlterClusterConfigsRequest()
    for key, value, operation in changes:
        request.alter_configs.add(config_key=key, config_value=value, op_type=operation)
    await client.call(ApiKey.ALTER_CLUSTER_CONFIGS, request)


async def described(client: RpcClient) -> dict[str, tuple[str, str]]:
    """What differs from the defaults."""
    response = await client.call(ApiKey.DESCRIBE_CLUSTER_CONFIGS, pb.DescribeClusterConfigsRequest())
    everything = {entry.config_key: (entry.config_value, entry.config_source) for entry in response.configs}
    assert everything.keys() >= {key for key, option in SERVER_OPTIONS.items() if option.default is not None}
    return {
        key: (value, source)
        for key, (value, source) in everything.items()
        if source != "INITIAL_SERVER_CONFIG" or value != SERVER_OPTIONS[key].default
    }


def test_users_change_at_once_and_for_good(tmp_path: Path) -> None:
    async def change(cluster: LocalCluster) -> None:
        async with await connect(cluster, "admin", "admin-pass") as admin:
            assert await described(admin) == {
                USERS: ("admin:******", "INITIAL_SERVER_CONFIG"),
                "security.protocol.map": ("FLUSS:SASL", "INITIAL_SERVER_CONFIG"),
            }
            await alter(admin, (USERS, "bob:bob-pass", APPEND), (ROLL, "true", SET))
            await (await connect(cluster, "bob", "bob-pass")).close()
            await alter(admin, (USERS, "admin:x", SUBTRACT), (USERS, "admin:new-pass", APPEND))
            with pytest.raises(FlussError) as raised:
                await connect(cluster, "admin", "admin-pass")
            assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
            with pytest.raises(FlussError, match="password of user 'eve'") as raised:
                await alter(admin, (USERS, 'eve:geh"eim', APPEND))
            assert raised.value.code is ErrorCode.CONFIG_EXCEPTION
            assert "eim" not in str(raised.value)
            with pytest.raises(FlussError, match="cannot be changed while the server runs") as raised:
                await alter(admin, ("super.users", "User:bob", SET))
            assert raised.value.code is ErrorCode.CONFIG_EXCEPTION

    async def check(cluster: LocalCluster) -> None:
        async with await connect(cluster, "admin", "new-pass") as admin:
            assert await described(admin) == {
                USERS: ("bob:******,admin:******", "DYNAMIC_SERVER_CONFIG"),
                ROLL: ("true", "DYNAMIC_SERVER_CONFIG"),
                "security.protocol.map": ("FLUSS:SASL", "INITIAL_SERVER_CONFIG"),
            }
            await alter(admin, (USERS, None, DELETE))
            await (await connect(cluster, "admin", "admin-pass")).close()

    options = {"security.protocol.map": "FLUSS:SASL", USERS: "admin:admin-pass"}
    with LocalCluster(tmp_path, options=options) as cluster:
        asyncio.run(change(cluster))
        cluster.kill()
        cluster.start()
        asyncio.run(check(cluster))
        assert "-pass" not in cluster.log


def test_a_healthy_server_is_green(fluss_cluster: LocalCluster) -> None:
    async def run() -> None:
        async with await RpcClient.connect("127.0.0.1", fluss_cluster.port) as client:
            health = await client.call(ApiKey.GET_CLUSTER_HEALTH, pb.GetClusterHealthRequest())
            assert health.status == 0
            assert health.num_replicas == health.in_sync_replicas == health.active_leader_replicas

    asyncio.run(run())
