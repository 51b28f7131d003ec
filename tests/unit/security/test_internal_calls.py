"""Credentials of servers, the internal listener, and fetches that claim to be of a follower."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from error_support import code_of
from fluss_server.api import messages as pb
from fluss_server.api.keys import BETWEEN_SERVERS, ApiKey
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.option import Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metrics.instruments import RequestStats
from fluss_server.model.acl import CLUSTER, AclBinding, AclEntry, Operation
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.service import RequestContext, ServiceRegistry, rpc
from fluss_server.runtime import system_runtime
from fluss_server.security.authorization_interceptor import AuthorizationInterceptor
from fluss_server.security.authorizer import Authorizer
from fluss_server.security.follower_fetches import FollowerFetches
from fluss_server.security.internal_calls import (
    internal_endpoint,
    internal_listener,
    server_credentials,
)
from fluss_server.security.rules import RULES
from rpc_support import async_test

JAAS = "org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required"
SASL = {"client.security.protocol": "sasl"}
ROOT, SERVER, ANN = (Principal("User", name) for name in ("root", "server", "ann"))
ENDPOINTS = [Endpoint("CLIENT", "h", 1), Endpoint("INTERNAL", "h", 2)]


def configuration(options: Mapping[str, str]) -> Configuration:
    return Configuration(SERVER_OPTIONS, options)


def test_credentials_of_a_server() -> None:
    assert server_credentials(configuration({})) is None
    user = {"client.security.sasl.username": "server", "client.security.sasl.password": "a b;c"}
    assert server_credentials(configuration(user)) is None, "the protocol decides"
    assert server_credentials(configuration(SASL | user)) == ("server", "a b;c")
    jaas = {"client.security.sasl.jaas.config": f'{JAAS} username="server" password="a\\"b";'}
    assert server_credentials(configuration(SASL | jaas)) == ("server", 'a"b')


@pytest.mark.parametrize(
    "options",
    [
        SASL,
        SASL | {"client.security.sasl.username": "server"},
        SASL | {"client.security.sasl.jaas.config": f'{JAAS} user_server="secret";'},
        SASL | {"client.security.sasl.jaas.config": "secret"},
        SASL | {"client.security.sasl.mechanism": "GSSAPI"},
        {"client.security.protocol": "SSL"},
    ],
)
def test_credentials_that_are_incomplete_are_refused(options: Mapping[str, str]) -> None:
    with pytest.raises(FlussError) as refused:
        server_credentials(configuration(options))
    assert refused.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert "secret" not in str(refused.value)


def test_the_internal_listener_must_exist_here_and_there() -> None:
    assert internal_listener(configuration({"internal.listener.name": "INTERNAL"}), ENDPOINTS) == "INTERNAL"
    code = code_of(lambda: internal_listener(configuration({}), ENDPOINTS))
    assert code is ErrorCode.INVALID_CONFIG_EXCEPTION, "the default is FLUSS"
    assert internal_endpoint(ENDPOINTS, "INTERNAL", "tablet server 3").port == 2
    code = code_of(lambda: internal_endpoint(ENDPOINTS, "FLUSS", "tablet server 3"))
    assert code is ErrorCode.INVALID_CONFIG_EXCEPTION


class Fetches:
    """Notes in whose name it is asked."""

    def __init__(self) -> None:
        self.followers: list[int] = []

    @rpc(ApiKey.FETCH_LOG)
    async def fetch_log(self, request: pb.FetchLogRequest, context: RequestContext) -> pb.FetchLogResponse:
        self.followers.append(request.follower_server_id)
        return pb.FetchLogResponse()


async def fetch(
    registry: ServiceRegistry, follower: int, *, listener: str = "INTERNAL", principal: Principal = ANN
) -> Any:
    handler = registry.get(ApiKey.FETCH_LOG)
    assert handler is not None
    request = pb.FetchLogRequest(follower_server_id=follower, max_bytes=1000)
    context = RequestContext(ApiKey.FETCH_LOG, principal=principal, listener=listener, peer="127.0.0.1:1")
    response: Any = handler.method(request, context)
    return await response if asyncio.iscoroutine(response) else response


@async_test
async def test_followers_fetch_on_the_internal_listener_only() -> None:
    fetches = Fetches()
    registry = ServiceRegistry(fetches, interceptors=[FollowerFetches("INTERNAL")])
    await fetch(registry, 0)
    await fetch(registry, -1, listener="CLIENT")
    for follower in (0, 7):
        with pytest.raises(FlussError) as refused:
            await fetch(registry, follower, listener="CLIENT")
        assert refused.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
    assert fetches.followers == [0, -1]


@async_test
async def test_fetches_of_followers_are_counted_separately() -> None:
    class Context(RequestContext):
        counted: RequestStats | None = None

        def count_in(self, stats: RequestStats) -> None:
            self.counted = stats

    registry = ServiceRegistry(Fetches(), interceptors=[FollowerFetches("INTERNAL")])
    handler = registry.get(ApiKey.FETCH_LOG)
    assert handler is not None and handler.server_stats is not None  # noqa: PT018
    for follower, expected in ((3, handler.server_stats), (-1, None)):
        context = Context(ApiKey.FETCH_LOG, listener="INTERNAL")
        await cast(Any, handler.method(pb.FetchLogRequest(follower_server_id=follower, max_bytes=1), context))
        assert context.counted is expected


@async_test
async def test_without_an_internal_listener_nobody_is_a_follower() -> None:
    fetches = Fetches()
    await fetch(ServiceRegistry(fetches, interceptors=[FollowerFetches(None)]), 7, listener="FLUSS")
    assert fetches.followers == [-1]


@async_test
async def test_followers_need_all_permissions_on_the_cluster(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    authorizer = Authorizer(store, [ROOT])
    entries = [AclEntry(SERVER, "*", Operation.ALL)]
    entries += [AclEntry(ANN, "*", operation) for operation in Operation if operation > Operation.ALL]
    await authorizer.create([AclBinding(CLUSTER, entry) for entry in entries], ROOT, "127.0.0.1")
    fetches = Fetches()
    interceptors = [AuthorizationInterceptor(authorizer, {1: TablePath("d", "t")}.get), FollowerFetches("INTERNAL")]
    registry = ServiceRegistry(fetches, interceptors=interceptors)  # type: ignore[arg-type]
    await fetch(registry, 1, principal=ROOT)
    await fetch(registry, 2, principal=SERVER)
    with pytest.raises(FlussError) as refused:
        await fetch(registry, 3, principal=ANN)
    assert refused.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
    assert fetches.followers == [1, 2]
    await store.close()


def test_calls_between_servers_need_all_permissions_on_the_cluster() -> None:
    for key in BETWEEN_SERVERS:
        assert RULES[key].operation is Operation.ALL
