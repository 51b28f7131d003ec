"""A term ends, whatever waits for tablet servers that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

from coordinator_support import RecordingTabletServer, opened, running
from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cluster.lease import LeaseTimes
from fluss_server.cluster.messages import RegisterServer, ServerNode
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.errors import ErrorCode
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.server_records import CoordinatorRecord
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.processes.coordinator_term import CoordinatorTerm, TermSettings
from fluss_server.rpc.service import RequestContext, ServiceRegistry
from fluss_server.runtime.runtime import system_runtime
from fluss_server.security.listeners import ListenerSecurity
from rpc_support import async_test
from state_machine_support import DESCRIPTOR

OPTIONS = {"authorizer.enabled": "true", "super.users": "User:admin"}
ADMIN = Principal("User", "admin")
A_LONG_TIME_S = 3600.0
LIMIT_S = 10.0


def settings() -> TermSettings:
    runtime = system_runtime()
    security = ListenerSecurity(DynamicConfiguration(SERVER_OPTIONS, OPTIONS).current, "127.0.0.1", 0, runtime)
    lease = LeaseTimes(A_LONG_TIME_S / 2, A_LONG_TIME_S)
    return TermSettings(CoordinatorRecord("c", ""), (), OPTIONS, lease, "FLUSS", None, security, runtime)


def call(registry: ServiceRegistry, key: ApiKey, request: Any) -> asyncio.Future[Any]:
    handler = registry.get(key)
    assert handler is not None
    response = handler.method(request, RequestContext(key, principal=ADMIN))
    return asyncio.ensure_future(cast("Awaitable[Any]", response))


def create_table(name: str) -> pb.CreateTableRequest:
    create = pb.CreateTableRequest(table_json=DESCRIPTOR.to_json_bytes(), ignore_if_exists=False)
    create.table_path.database_name, create.table_path.table_name = "fluss", name
    return create


@async_test
async def test_changes_that_wait_for_tablet_servers_end_with_the_term(tmp_path: Path) -> None:
    async with running(tmp_path / "m") as parts:
        await parts.ddl.create_table(TablePath("fluss", "t"), DESCRIPTOR, ignore_if_exists=False)
    store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
    term = CoordinatorTerm(store, settings())
    registry = await term.start()
    term.watch_servers()
    alter = pb.AlterClusterConfigsRequest()
    alter.alter_configs.add(config_key="log.replica.min-in-sync-replicas-number", config_value="1", op_type=0)
    grant = pb.CreateAclsRequest()
    grant.acl.add(
        resource_type=2,
        resource_name="fluss-cluster",
        principal_type="User",
        principal_name="ann",
        host="*",
        operation_type=2,
        permission_type=2,
    )
    waiting = [
        call(registry, ApiKey.CREATE_TABLE, create_table("u")),
        call(registry, ApiKey.ALTER_CLUSTER_CONFIGS, alter),
        call(registry, ApiKey.CREATE_ACLS, grant),
    ]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done, "the tablet server of the table has not registered"
    await asyncio.wait_for(term.close(), LIMIT_S)
    for response in waiting:
        assert await refused(response) is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
    await store.close()


async def with_held_server(
    store: EmbeddedMetadataStore,
) -> tuple[CoordinatorTerm, ServiceRegistry, RecordingTabletServer]:
    """A term with a tablet server that does not respond before its gate is open."""
    term = CoordinatorTerm(store, settings())
    registry = await term.start()
    server = RecordingTabletServer()
    server.gate = asyncio.Event()
    register = RegisterServer(ServerNode(3), "first", checks_permissions=True)
    await term.coordinator.gateway.register(register, server)
    return term, registry, server


@async_test
async def test_a_table_whose_buckets_get_no_leaders_is_discarded_at_the_end_of_the_term(tmp_path: Path) -> None:
    """The tablet server is there and does not respond; the name of the table is free for the next coordinator."""
    store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
    term, registry, server = await with_held_server(store)
    creating = [call(registry, ApiKey.CREATE_TABLE, create_table(name)) for name in "tuv"]
    await asyncio.wait_for(server.entered.wait(), LIMIT_S)
    await asyncio.wait_for(term.close(), LIMIT_S)
    for response in creating:
        assert await refused(response) is ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION
    await store.close()
    store, manager = await opened(tmp_path / "m")
    assert manager.tables() == []
    await store.close()


@async_test
async def test_a_table_that_gets_its_leaders_now_is_made_although_the_term_ends(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "m", system_runtime())
    term, registry, server = await with_held_server(store)
    creating = call(registry, ApiKey.CREATE_TABLE, create_table("t"))
    await asyncio.wait_for(server.entered.wait(), LIMIT_S)
    term.coordinator.end_waits()
    assert server.gate is not None
    server.gate.set()
    await asyncio.wait_for(creating, LIMIT_S)
    await term.close()
    await store.close()
