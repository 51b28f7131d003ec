"""Calls between servers exist on the internal listener only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import RequestContext, ServiceRegistry, rpc
from fluss_server.runtime.runtime import system_runtime
from rpc_support import async_test


class Calls:
    """One API of each kind."""

    @rpc(ApiKey.RESERVE_IDS)
    async def reserve_ids(self, request: Any, context: RequestContext) -> Any:
        return message_class("ReserveIdsResponse")(first=request.table_id, size=request.size)

    @rpc(ApiKey.STOP_REPLICA)
    def stop_replica(self, request: pb.StopReplicaRequest, context: RequestContext) -> pb.StopReplicaResponse:
        return pb.StopReplicaResponse()

    @rpc(ApiKey.UPDATE_METADATA)
    def update_metadata(self, request: pb.UpdateMetadataRequest, context: RequestContext) -> pb.UpdateMetadataResponse:
        extension = message_class("UpdateMetadataExtension").FromString(request.SerializeToString())
        assert len(extension.older_schemas) == 1, "fields that are not in fluss.proto are kept"
        return pb.UpdateMetadataResponse()

    @rpc(ApiKey.DATABASE_EXISTS)
    def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> pb.DatabaseExistsResponse:
        return pb.DatabaseExistsResponse(exists=True)


@asynccontextmanager
async def serving(internal_listener: str | None) -> AsyncIterator[dict[str, int]]:
    """Ports of the listeners CLIENT and INTERNAL."""
    registry = ServiceRegistry(Calls(), internal_listener=internal_listener)
    servers = {
        name: RpcServer(registry, "127.0.0.1", 0, runtime=system_runtime(), listener=name)
        for name in ("CLIENT", "INTERNAL")
    }
    for server in servers.values():
        await server.start()
    try:
        yield {name: server.port for name, server in servers.items()}
    finally:
        for server in servers.values():
            await server.close(0)


async def advertised(port: int, software: str) -> set[int]:
    request = pb.ApiVersionsRequest(client_software_name=software, client_software_version="1")
    async with await RpcClient.connect("127.0.0.1", port) as client:
        response = await client.call(ApiKey.API_VERSIONS, request)
    return {entry.api_key for entry in response.api_versions}


@async_test
async def test_own_apis_are_advertised_to_servers_of_this_project_only() -> None:
    public = {ApiKey.API_VERSIONS, ApiKey.AUTHENTICATE, ApiKey.DATABASE_EXISTS}
    official = {ApiKey.STOP_REPLICA, ApiKey.UPDATE_METADATA}
    async with serving("INTERNAL") as ports:
        assert await advertised(ports["CLIENT"], "fluss-python") == public
        assert await advertised(ports["INTERNAL"], "fluss-java") == public | official
        assert await advertised(ports["INTERNAL"], "fluss-python") == public | official | {ApiKey.RESERVE_IDS}
    async with serving(None) as ports:
        assert await advertised(ports["INTERNAL"], "fluss-python") == public


@async_test
async def test_a_server_calls_another_on_the_internal_listener() -> None:
    async with serving("INTERNAL") as ports, await RpcClient.connect("127.0.0.1", ports["INTERNAL"]) as client:
        request = message_class("ReserveIdsRequest")(table_id=7, size=3)
        response = await client.call(ApiKey.RESERVE_IDS, request)
        assert (response.first, response.size) == (7, 3)
        assert isinstance(await client.call(ApiKey.STOP_REPLICA, stop()), pb.StopReplicaResponse)


@async_test
async def test_whoever_calls_on_another_listener_is_refused() -> None:
    async with serving("INTERNAL") as ports, await RpcClient.connect("127.0.0.1", ports["CLIENT"]) as client:
        for key, request in (
            (ApiKey.RESERVE_IDS, message_class("ReserveIdsRequest")(table_id=7, size=3)),
            (ApiKey.STOP_REPLICA, stop()),
        ):
            client.api_versions[key] = (0, 0)  # as a client that does not care about what is advertised
            with pytest.raises(FlussError) as refused:
                await client.call(key, request)
            assert refused.value.code is ErrorCode.UNSUPPORTED_VERSION
            assert str(int(key)) in refused.value.message
        assert (await client.call(ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="d"))).exists


@async_test
async def test_long_calls_between_servers_keep_fields_that_the_official_messages_lack() -> None:
    request = pb.UpdateMetadataRequest(coordinator_epoch=1)
    extension = message_class("UpdateMetadataExtension")()
    extension.older_schemas.add(table_id=1, schema_id=1, schema_json=bytes(1 << 20))
    request.MergeFromString(extension.SerializeToString())
    async with serving("INTERNAL") as ports, await RpcClient.connect("127.0.0.1", ports["INTERNAL"]) as client:
        await client.call(ApiKey.UPDATE_METADATA, request)
        too_long = bytes(API_SPECS[ApiKey.UPDATE_METADATA].max_request_bytes)
        extension.older_schemas[0].schema_json = too_long
        request.MergeFromString(extension.SerializeToString())
        with pytest.raises(FlussError) as refused:
            await client.call(ApiKey.UPDATE_METADATA, request)
        assert refused.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION


def stop() -> pb.StopReplicaRequest:
    return pb.StopReplicaRequest(coordinator_epoch=1)
