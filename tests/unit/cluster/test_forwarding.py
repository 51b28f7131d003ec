"""Calls that are passed on are served as if the client had called here."""

from __future__ import annotations

from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.forwarding import ForwardedCalls, forwarding_service
from fluss_server.model.principal import Principal
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
from rpc_support import async_test


class Metadata:
    """Remembers who called."""

    def __init__(self) -> None:
        self.contexts: list[RequestContext] = []

    @rpc(ApiKey.GET_METADATA)
    def get_metadata(self, request: pb.MetadataRequest, context: RequestContext) -> ResponseBody:
        self.contexts.append(context)
        return pb.MetadataResponse()


class Active:
    """Stands for the connection to the active coordinator."""

    def __init__(self, calls: ForwardedCalls) -> None:
        self._calls = calls

    async def call(self, key: ApiKey, request: Any, *, timeout_s: float) -> Any:
        assert key is ApiKey.FORWARD_CALL
        sent = message_class("ForwardCallRequest").FromString(request.SerializeToString())
        server = Principal("User", "server")
        context = RequestContext(int(key), 0, server, "INTERNAL", "10.0.0.1:1", "10.0.0.2", 9)
        return await self._calls.forward_call(sent, context)


@async_test
async def test_the_listener_of_the_client_decides_which_addresses_it_gets() -> None:
    metadata = Metadata()
    calls = ForwardedCalls([ApiKey.GET_METADATA])
    calls.registry = ServiceRegistry(metadata)

    async def look_again() -> None:
        raise AssertionError("it was served")

    service: Any = forwarding_service([ApiKey.GET_METADATA], Active(calls), look_again)  # type: ignore[arg-type]
    client = Principal("User", "bob")
    context = RequestContext(int(ApiKey.GET_METADATA), 0, client, "CLIENT", "10.9.9.9:5", "10.0.0.3", 8)
    request = memoryview(pb.MetadataRequest().SerializeToString())
    await service.get_metadata(request, context)
    [seen] = metadata.contexts
    assert (seen.listener, seen.principal, seen.peer) == ("CLIENT", client, "10.9.9.9:5")
