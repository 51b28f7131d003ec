"""A real pyfluss client against the smallest service it accepts."""

from __future__ import annotations

import asyncio

import fluss
import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from rpc_support import async_test, eventually, serving


class OneServer:
    """A cluster of one server, which plays both roles and knows two databases."""

    def __init__(self) -> None:
        self.contexts: list[RequestContext] = []
        self.release = asyncio.Event()

    @rpc(ApiKey.GET_METADATA)
    async def metadata(self, request: pb.MetadataRequest, context: RequestContext) -> ResponseBody:
        self.contexts.append(context)
        response = pb.MetadataResponse()
        node = pb.PbServerNode(node_id=0, host=context.local_host, port=context.local_port)
        response.coordinator_server.CopyFrom(node)
        response.tablet_servers.add().CopyFrom(node)
        return response

    @rpc(ApiKey.LIST_DATABASES)
    async def list_databases(self, request: pb.ListDatabasesRequest, context: RequestContext) -> ResponseBody:
        return pb.ListDatabasesResponse(database_name=["fluss", "grüße"])

    @rpc(ApiKey.DATABASE_EXISTS)
    async def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        if request.database_name == "slow":
            await self.release.wait()
        return pb.DatabaseExistsResponse(exists=request.database_name == "fluss")

    @rpc(ApiKey.CREATE_DATABASE)
    async def create_database(self, request: pb.CreateDatabaseRequest, context: RequestContext) -> ResponseBody:
        raise FlussError(ErrorCode.DATABASE_ALREADY_EXIST, f"database {request.database_name} exists")


@async_test
async def test_bootstrap_calls_and_errors() -> None:
    service = OneServer()
    async with serving(service) as server:
        connection = await fluss.FlussConnection.create(fluss.Config({"bootstrap.servers": f"127.0.0.1:{server.port}"}))
        assert [context.peer for context in service.contexts], "bootstrap asks for metadata"
        admin = connection.get_admin()
        assert await admin.list_databases() == ["fluss", "grüße"]
        assert await admin.database_exists("fluss")
        assert not await admin.database_exists("other")
        with pytest.raises(fluss.FlussError, match="database d exists") as raised:
            await admin.create_database("d", None, False)
        assert raised.value.error_code == ErrorCode.DATABASE_ALREADY_EXIST
        with pytest.raises(fluss.FlussError):
            await admin.list_tables("fluss")  # not served: the client knows from ApiVersions and does not ask
        slow = asyncio.ensure_future(admin.database_exists("slow"))
        assert await admin.database_exists("fluss"), "answers overtake each other"
        service.release.set()
        assert not await slow
        await connection.close()


@async_test
async def test_a_client_notices_that_the_server_is_gone() -> None:
    service = OneServer()
    async with serving(service) as server:
        connection = await fluss.FlussConnection.create(fluss.Config({"bootstrap.servers": f"127.0.0.1:{server.port}"}))
        admin = connection.get_admin()
        slow = asyncio.ensure_future(admin.database_exists("slow"))
        await eventually(lambda: any(c.requests_in_flight for c in server._connections))
        await server.close(grace_s=0)
        with pytest.raises(fluss.FlussError):
            await slow
