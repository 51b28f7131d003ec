"""Services that are made with the first request for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator import coordinator_server
from fluss_server.coordinator.inspection_service import InspectionService
from fluss_server.coordinator.producer_service import ProducerService
from fluss_server.coordinator.rebalance_service import RebalanceService
from fluss_server.processes import local
from fluss_server.rpc.lazy_service import LazyService
from fluss_server.rpc.service import RequestContext, ResponseBody, ServiceRegistry, rpc, served_keys
from fluss_server.security.acl_service import AclService
from fluss_server.tablet.replication_service import ReplicationService

KEYS = (ApiKey.DATABASE_EXISTS, ApiKey.TABLE_EXISTS)


class Existence:
    @rpc(ApiKey.DATABASE_EXISTS)
    async def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        return pb.DatabaseExistsResponse(exists=True)

    @rpc(ApiKey.TABLE_EXISTS)
    def table_exists(self, request: pb.TableExistsRequest, context: RequestContext) -> ResponseBody:
        return pb.TableExistsResponse(exists=False)


class Cancelable:
    @rpc(ApiKey.DATABASE_EXISTS, cancel_on_disconnect=True)
    async def database_exists(self, request: pb.DatabaseExistsRequest, context: RequestContext) -> ResponseBody:
        return pb.DatabaseExistsResponse(exists=True)


async def call(registry: ServiceRegistry, key: ApiKey, request: Any) -> Any:
    handler = registry.get(key)
    assert handler is not None
    response = handler.method(request, RequestContext(key))
    return await response if isinstance(response, Awaitable) else response


def test_a_service_is_made_with_the_first_request_and_only_once() -> None:
    made: list[Existence] = []

    def make() -> Existence:
        made.append(Existence())
        return made[-1]

    registry = ServiceRegistry(LazyService(KEYS, make))
    assert {*KEYS} <= {spec.key for spec in registry.specs}
    assert made == []

    async def run() -> None:
        assert (await call(registry, ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="d"))).exists
        assert not (await call(registry, ApiKey.TABLE_EXISTS, pb.TableExistsRequest())).exists

    asyncio.run(run())
    assert len(made) == 1


def test_a_service_that_serves_something_else_is_refused() -> None:
    registry = ServiceRegistry(LazyService(KEYS[:1], Existence))
    with pytest.raises(AssertionError, match="TABLE_EXISTS"):
        asyncio.run(call(registry, ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="d")))


def test_a_method_with_options_is_refused() -> None:
    registry = ServiceRegistry(LazyService(KEYS[:1], Cancelable))
    with pytest.raises(AssertionError, match="has options"):
        asyncio.run(call(registry, ApiKey.DATABASE_EXISTS, pb.DatabaseExistsRequest(database_name="d")))


@pytest.mark.parametrize(
    ("keys", "service"),
    [
        (coordinator_server.REBALANCE_KEYS, RebalanceService),
        (coordinator_server.INSPECTION_KEYS, InspectionService),
        (coordinator_server.PRODUCER_KEYS, ProducerService),
        (local.ACL_KEYS, AclService),
        ((ApiKey.LEADER_EPOCHS,), ReplicationService),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_lazy_services_serve_what_they_are_registered_for(keys: tuple[ApiKey, ...], service: type) -> None:
    assert set(keys) == set(served_keys(service))
    assert LazyService(keys, lambda: object.__new__(service)).load().keys() == set(keys)
