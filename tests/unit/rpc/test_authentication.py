"""AUTHENTICATE on the wire: what is served before it, what failures cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc
from fluss_server.runtime.randomness import SystemSecrets
from fluss_server.runtime.runtime import system_runtime
from fluss_server.security.credentials import Credentials
from fluss_server.security.sasl import SaslAuthenticator
from fluss_server.security.throttle import AuthenticationThrottle
from rpc_support import RawClient, async_test, serving

EXISTS = pb.DatabaseExistsRequest(database_name="d").SerializeToString()
REFUSED = ErrorCode.AUTHENTICATE_EXCEPTION


class WhoAmI:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @rpc(ApiKey.DATABASE_EXISTS)
    def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        self.seen.append(f"{context.principal} on {context.listener} from {context.peer_host}")
        return pb.DatabaseExistsResponse(exists=True)


@asynccontextmanager
async def sasl_server(service: object, **limits: Any) -> AsyncIterator[RpcServer]:
    authenticator = SaslAuthenticator(
        ["PLAIN"],
        lambda: Credentials({"bob": "bob-pass"}, SystemSecrets()),
        AuthenticationThrottle(system_runtime().clock.monotonic),
    )
    limits.setdefault("authentication_failure_delay_s", 0.0)
    server = RpcServer(
        ServiceRegistry(service),
        "127.0.0.1",
        0,
        runtime=system_runtime(),
        limits=RpcLimits(**limits),
        listener="CLIENT",
        authenticator=authenticator,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.close(0)


def authentication(password: str, mechanism: str = "PLAIN") -> bytes:
    token = b"\0bob\0" + password.encode()
    return pb.AuthenticateRequest(protocol=mechanism, token=token).SerializeToString()


@async_test
async def test_nothing_is_served_before_the_login() -> None:
    service = WhoAmI()
    async with sasl_server(service) as server, RawClient.connected(server.port) as client:
        assert await client.alive(), "API_VERSIONS is served"
        client.send(ApiKey.DATABASE_EXISTS, EXISTS, 1)
        assert (await client.receive_error())[0] == REFUSED
        client.send(4711, b"", 2)
        assert (await client.receive_error())[0] == REFUSED
        client.send(ApiKey.AUTHENTICATE, authentication("bob-pass"), 3)
        client.send(ApiKey.DATABASE_EXISTS, EXISTS, 4)
        response = await client.receive()
        assert (response.type, response.request_id, bytes(response.body)) == (0, 3, b""), "no challenge"
        assert (await client.receive()).request_id == 4
        client.send(ApiKey.AUTHENTICATE, pb.AuthenticateRequest(protocol="PLAIN", token=b"").SerializeToString(), 5)
        assert (await client.receive()).type == 0
    assert service.seen == ["User:bob on CLIENT from 127.0.0.1"]


@async_test
async def test_a_wrong_password_may_be_corrected_but_not_for_ever() -> None:
    async with sasl_server(WhoAmI(), max_authentication_failures=3) as server:
        async with RawClient.connected(server.port) as client:
            for request_id in range(2):
                client.send(ApiKey.AUTHENTICATE, authentication("wrong"), request_id)
                assert await client.receive_error() == (REFUSED, "Authentication failed: Invalid username or password")
            client.send(ApiKey.AUTHENTICATE, authentication("bob-pass"), 2)
            assert (await client.receive()).type == 0
        async with RawClient.connected(server.port) as client:
            for request_id in range(3):
                client.send(
                    ApiKey.AUTHENTICATE, authentication("wrong", "PLAIN" if request_id else "SCRAM"), request_id
                )
                assert (await client.receive_error())[0] == REFUSED
            assert await client.closed() == b""


@async_test
async def test_passwords_cannot_be_tried_in_parallel() -> None:
    async with (
        sasl_server(WhoAmI(), authentication_failure_delay_s=0.2) as server,
        RawClient.connected(server.port) as client,
    ):
        started = asyncio.get_running_loop().time()
        client.send(ApiKey.AUTHENTICATE, authentication("wrong"), 0)
        client.send(ApiKey.AUTHENTICATE, authentication("bob-pass"), 1)
        responses = [await client.receive(), await client.receive()]
        assert [(response.request_id, response.type) for response in responses] == [(1, 1), (0, 1)]
        assert asyncio.get_running_loop().time() - started >= 0.19
        client.send(ApiKey.DATABASE_EXISTS, EXISTS, 2)
        assert (await client.receive_error())[0] == REFUSED


@async_test
async def test_requests_are_short_before_authentication() -> None:
    big = pb.DatabaseExistsRequest(database_name="d" * 1000).SerializeToString()
    async with sasl_server(WhoAmI(), max_unauthenticated_frame_bytes=500) as server:
        async with RawClient.connected(server.port) as client:
            client.send(ApiKey.AUTHENTICATE, authentication("bob-pass"))
            client.send(ApiKey.DATABASE_EXISTS, big, 1)
            assert [(await client.receive()).type, (await client.receive()).type] == [0, 0]
        async with RawClient.connected(server.port) as client:
            client.send(ApiKey.DATABASE_EXISTS, big)
            assert (await client.receive_error())[0] == ErrorCode.RECORD_TOO_LARGE_EXCEPTION
            assert await client.closed() == b""


@async_test
async def test_who_does_not_log_in_in_time_is_disconnected() -> None:
    async with (
        sasl_server(WhoAmI(), max_authentication_s=0.1) as server,
        RawClient.connected(server.port) as late,
        RawClient.connected(server.port) as client,
    ):
        client.send(ApiKey.AUTHENTICATE, authentication("bob-pass"))
        await client.receive()
        assert await late.closed() == b""
        assert await client.alive()


@async_test
async def test_a_plaintext_listener_refuses_logins_and_goes_on() -> None:
    service = WhoAmI()
    async with (
        serving(service, authentication_failure_delay_s=0.0) as server,
        RawClient.connected(server.port) as client,
    ):
        client.send(ApiKey.AUTHENTICATE, authentication("bob-pass"))
        code, text = await client.receive_error()
        assert code == REFUSED
        assert "PLAINTEXT" in text
        client.send(ApiKey.DATABASE_EXISTS, EXISTS, 1)
        assert (await client.receive()).type == 0
    assert service.seen == ["User:ANONYMOUS on FLUSS from 127.0.0.1"]


@async_test
async def test_our_client_logs_in() -> None:
    async with sasl_server(WhoAmI()) as server:
        async with await RpcClient.connect("127.0.0.1", server.port, authentication=("bob", "bob-pass")) as client:
            request = pb.DatabaseExistsRequest(database_name="d")
            assert (await client.call(ApiKey.DATABASE_EXISTS, request)).exists
        with pytest.raises(FlussError) as raised:
            await RpcClient.connect("127.0.0.1", server.port, authentication=("bob", "wrong"))
        assert raised.value.code is REFUSED
