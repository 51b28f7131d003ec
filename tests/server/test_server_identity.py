"""Servers authenticate to each other; a client can be neither a coordinator nor a follower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster_nodes import CoordinatorNode, Node, TabletNode
from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import BETWEEN_SERVERS, ApiKey
from fluss_server.cluster import control_codecs, server_codecs
from fluss_server.cluster.messages import Heartbeat, NotifyLeaderAndIsr, RegisterServer, ServerNode, UpdateMetadata
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test

USERS = "server:s3cret-s,ann:s3cret-a"
OPTIONS = {
    "security.protocol.map": "CLIENT:SASL,INTERNAL:SASL",
    "security.sasl.plain.credentials": USERS,
    "client.security.protocol": "SASL",
    "client.security.sasl.username": "server",
    "client.security.sasl.password": "s3cret-s",
    "authorizer.enabled": "true",
    "super.users": "User:server",
}


async def client(node: Node, listener: str, user: str) -> RpcClient:
    endpoint = node.endpoint(listener)
    password = dict(pair.split(":") for pair in USERS.split(","))[user]
    return await RpcClient.connect(endpoint.host, endpoint.port, authentication=(user, password))


def impostors_calls() -> list[tuple[str, ApiKey, Any]]:
    """What somebody could send in the name of a server: to whom, the API, the request."""
    evil = ServerNode(1, (Endpoint("INTERNAL", "127.0.0.1", 1), Endpoint("CLIENT", "127.0.0.1", 1)))
    fetch = pb.FetchLogRequest(follower_server_id=1, max_bytes=1000)
    fetch.tables_req.add(table_id=0, projection_pushdown_enabled=False).buckets_req.add(
        bucket_id=0, fetch_offset=0, max_fetch_bytes=100
    )
    return [
        ("coordinator", ApiKey.REGISTER_SERVER, server_codecs.encode_register_server(RegisterServer(evil, "evil"))),
        ("coordinator", ApiKey.SERVER_HEARTBEAT, server_codecs.encode_heartbeat(Heartbeat(1, "evil"))),
        (
            "coordinator",
            ApiKey.CONTROLLED_SHUTDOWN,
            pb.ControlledShutdownRequest(tablet_server_id=1, tablet_server_epoch=-1),
        ),
        ("coordinator", ApiKey.ADJUST_ISR, pb.AdjustIsrRequest(serverId=1)),
        ("tablet", ApiKey.UPDATE_METADATA, control_codecs.encode_update_metadata(UpdateMetadata(99, evil, (evil,)))),
        (
            "tablet",
            ApiKey.NOTIFY_LEADER_AND_ISR,
            control_codecs.encode_notify_leader_and_isr(NotifyLeaderAndIsr(99, ())),
        ),
        ("tablet", ApiKey.STOP_REPLICA, pb.StopReplicaRequest(coordinator_epoch=99)),
        ("tablet", ApiKey.FETCH_LOG, fetch),
    ]


@async_test
async def test_a_client_is_neither_coordinator_nor_follower(tmp_path: Path) -> None:
    runtime = system_runtime()
    coordinator = CoordinatorNode(runtime, tmp_path / "coordinator", OPTIONS)
    await coordinator.start()
    tablet = TabletNode(1, coordinator, runtime, tmp_path / "tablet", OPTIONS)
    await tablet.start()
    try:
        members = dict(coordinator.server.controller.queue.state.servers)
        assert list(members) == [1], "with its credentials the server is a member"
        epoch = tablet.server.metadata.coordinator_epoch
        nodes: dict[str, Node] = {"coordinator": coordinator, "tablet": tablet}
        for target, key, request in impostors_calls():
            for listener, user in (("CLIENT", "ann"), ("CLIENT", "server"), ("INTERNAL", "ann")):
                impostor = await client(nodes[target], listener, user)
                impostor.api_versions[key] = (0, 0)
                code = await refused(impostor.call(key, request))
                hidden = listener == "CLIENT" and key in BETWEEN_SERVERS
                expected = ErrorCode.UNSUPPORTED_VERSION if hidden else ErrorCode.AUTHORIZATION_EXCEPTION
                assert code is expected, (target, key, listener, user)
                await impostor.close()
        assert coordinator.server.controller.queue.state.servers == members
        assert tablet.server.metadata.coordinator_epoch == epoch
        assert set(tablet.server.metadata.servers) == {1}
        stranger = await RpcClient.connect("127.0.0.1", coordinator.endpoint("INTERNAL").port)
        stranger.api_versions[ApiKey.SERVER_HEARTBEAT] = (0, 0)
        call = stranger.call(ApiKey.SERVER_HEARTBEAT, server_codecs.encode_heartbeat(Heartbeat(1, "evil")))
        assert await refused(call) is ErrorCode.AUTHENTICATE_EXCEPTION
        await stranger.close()
    finally:
        await tablet.leave()
        await tablet.close()
        await coordinator.server.finish_changes()
        await coordinator.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client.security.sasl.password": "wrong"}, ErrorCode.AUTHENTICATE_EXCEPTION),
        (
            {"client.security.sasl.username": "ann", "client.security.sasl.password": "s3cret-a"},
            ErrorCode.AUTHORIZATION_EXCEPTION,
        ),
        ({"client.security.protocol": "PLAINTEXT"}, ErrorCode.AUTHENTICATE_EXCEPTION),
        (
            {
                "internal.listener.name": "OTHER",
                "bind.listeners": "CLIENT://127.0.0.1:0,OTHER://127.0.0.1:0",
                "security.protocol.map": "CLIENT:SASL,OTHER:SASL",
            },
            ErrorCode.INVALID_CONFIG_EXCEPTION,
        ),
    ],
)
def test_a_server_without_the_right_settings_is_told_why(
    tmp_path: Path, changes: dict[str, str], code: ErrorCode
) -> None:
    @async_test
    async def run() -> None:
        runtime = system_runtime()
        coordinator = CoordinatorNode(runtime, tmp_path / "coordinator", OPTIONS)
        await coordinator.start()
        tablet = TabletNode(1, coordinator, runtime, tmp_path / "tablet", OPTIONS | changes)
        try:
            with pytest.raises(FlussError) as refusal:
                await tablet.start()
            assert refusal.value.code is code
            assert "internal.listener.name" in str(refusal.value) or "super.users" in str(refusal.value)
            assert "s3cret" not in str(refusal.value)
            assert not coordinator.server.controller.queue.state.servers
        finally:
            await tablet.close()
            await coordinator.close()

    run()
