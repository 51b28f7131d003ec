"""Access control entries over a real metadata store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.store import Create, missing_parents
from fluss_server.model.acl import (
    CLUSTER,
    AclBinding,
    AclEntry,
    AclFilter,
    Operation,
    Permission,
    Resource,
    ResourceType,
)
from fluss_server.model.identifiers import TablePath
from fluss_server.model.principal import Principal
from fluss_server.runtime import system_runtime
from fluss_server.security import authorizer as authorizer_module
from fluss_server.security.authorizer import MAX_ENTRIES_PER_RESOURCE, Authorizer, parse_super_users
from rpc_support import async_test

ROOT, ANN, BOB = (Principal("User", name) for name in ("root", "ann", "bob"))
HOST = "127.0.0.1"
DB = Resource.database("d")
TABLE = Resource.table(TablePath("d", "t"))


@asynccontextmanager
async def authorizer(path: Path) -> AsyncIterator[Authorizer]:
    store = EmbeddedMetadataStore.open(path / "metadata", system_runtime())
    opened = Authorizer(store, [ROOT])
    await opened.load()
    try:
        yield opened
    finally:
        await store.close()


def grant(resource: Resource, principal: Principal, operation: Operation, host: str = "*") -> AclBinding:
    return AclBinding(resource, AclEntry(principal, host, operation))


async def ok(authorizer: Authorizer, *bindings: AclBinding) -> None:
    assert await authorizer.create(bindings, ROOT, HOST) == [None] * len(bindings)


@async_test
async def test_grants_hold_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with authorizer(tmp_path) as acls:
        assert not acls.allows(ANN, HOST, Operation.READ, TABLE)
        await ok(acls, grant(TABLE, ANN, Operation.READ), grant(DB, BOB, Operation.ALL, "10.0.0.1"))
        await ok(acls, grant(TABLE, ANN, Operation.READ))
        assert acls.allows(ANN, HOST, Operation.READ, TABLE)
        assert acls.allows_table(ANN, HOST, Operation.DESCRIBE, 7, TablePath("d", "t"))
    async with authorizer(tmp_path) as acls:
        assert acls.allows(ANN, HOST, Operation.READ, TABLE)
        assert not acls.allows(ANN, HOST, Operation.WRITE, TABLE)
        assert acls.allows(BOB, "10.0.0.1", Operation.DROP, TABLE)
        assert not acls.allows(BOB, HOST, Operation.DROP, TABLE)
        everything = [[(grant(TABLE, ANN, Operation.READ), None)]]
        assert await acls.drop([AclFilter(principal_name="ann")], ROOT, HOST) == everything
        assert not acls.allows(ANN, HOST, Operation.READ, TABLE)
    async with authorizer(tmp_path) as acls:
        assert not acls.allows(ANN, HOST, Operation.READ, TABLE)
        assert acls.select(AclFilter(), ROOT, HOST) == [grant(DB, BOB, Operation.ALL, "10.0.0.1")]


@async_test
async def test_a_table_id_without_table_is_refused_and_not_remembered(tmp_path: Path) -> None:
    async with authorizer(tmp_path) as acls:
        assert not acls.allows_table(ROOT, HOST, Operation.READ, 7, None)
        assert acls.allows_table(ROOT, HOST, Operation.READ, 7, TablePath("d", "t"))


@async_test
async def test_who_may_grant(tmp_path: Path) -> None:
    async with authorizer(tmp_path) as acls:
        await ok(acls, grant(DB, ANN, Operation.ALL), grant(TABLE, BOB, Operation.ALL))
        assert await acls.create([grant(TABLE, BOB, Operation.READ)], ANN, HOST) == [None]
        for denied, where in (
            ([grant(CLUSTER, ANN, Operation.READ)], CLUSTER),
            ([grant(TABLE, ANN, Operation.READ), grant(Resource.database("x"), ANN, Operation.READ)], "x"),
        ):
            with pytest.raises(FlussError) as raised:
                await acls.create(denied, ANN, HOST)
            assert raised.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
            assert str(raised.value).startswith(
                "Principal FlussPrincipal{name='ann', type='User'} have no authorization to operate ALL on resource"
            ), where
        with pytest.raises(FlussError, match=r"operate ALL on resource Resource{type=DATABASE, name='d'}"):
            await acls.create([grant(TABLE, BOB, Operation.WRITE)], BOB, HOST)
        assert not acls.allows(ANN, HOST, Operation.READ, CLUSTER)
        with pytest.raises(FlussError, match="operate ALL"):
            await acls.drop([AclFilter()], BOB, HOST)
        assert len(acls.select(AclFilter(), ROOT, HOST)) == 3


@async_test
async def test_who_controls_nothing_cannot_drop_nothing(tmp_path: Path) -> None:
    async with authorizer(tmp_path) as acls:
        for selection in (AclFilter(), AclFilter(ResourceType.TABLE, "d.none"), AclFilter(ResourceType.DATABASE)):
            with pytest.raises(FlussError, match="operate ALL") as refused:
                await acls.drop([selection], BOB, HOST)
            assert refused.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
            assert await acls.drop([selection], ROOT, HOST) == [[]]


@async_test
async def test_long_names_are_not_remembered(tmp_path: Path) -> None:
    async with authorizer(tmp_path) as acls:
        for number in range(100):
            name = f"{number}" * 1_000_000
            assert not acls.allows(ANN, HOST, Operation.DESCRIBE, Resource(ResourceType.TABLE, name))
        assert acls._results == {}
        assert not acls.allows(ANN, HOST, Operation.DESCRIBE, Resource(ResourceType.TABLE, "d.t"))
        assert len(acls._results) == 1


@async_test
async def test_filters_select_and_the_first_one_claims(tmp_path: Path) -> None:
    read, write = grant(TABLE, ANN, Operation.READ), grant(TABLE, ANN, Operation.WRITE)
    every = grant(Resource(ResourceType.TABLE, "*"), BOB, Operation.READ)
    async with authorizer(tmp_path) as acls:
        await ok(acls, read, write, every)
        by_type = AclFilter(ResourceType.TABLE)
        assert acls.select(by_type, ROOT, HOST) == [every, read, write]
        assert acls.select(AclFilter(ResourceType.TABLE, "*"), ROOT, HOST) == [every]
        assert acls.select(AclFilter(ResourceType.ANY, "any"), ROOT, HOST) == [every, read, write]
        assert acls.select(AclFilter(principal_type="Role"), ROOT, HOST) == []
        assert acls.select(AclFilter(), ANN, HOST) == [read, write], "only what she may describe"
        filters = [AclFilter(operation=Operation.WRITE), by_type, AclFilter(host="10.0.0.1")]
        assert await acls.drop(filters, ROOT, HOST) == [[(write, None)], [(every, None), (read, None)], []]
        assert acls.select(AclFilter(), ROOT, HOST) == []


@async_test
async def test_entries_that_mean_nothing_are_refused_one_by_one(tmp_path: Path) -> None:
    cases = [
        (Resource(ResourceType.TABLE, "d.*"), ErrorCode.INVALID_TABLE_EXCEPTION),
        (Resource(ResourceType.TABLE, "d"), ErrorCode.INVALID_TABLE_EXCEPTION),
        (Resource(ResourceType.TABLE, "d.t.x"), ErrorCode.INVALID_TABLE_EXCEPTION),
        (Resource(ResourceType.TABLE, "../d.t"), ErrorCode.INVALID_DATABASE_EXCEPTION),
        (Resource.database("a/b"), ErrorCode.INVALID_DATABASE_EXCEPTION),
        (Resource(ResourceType.CLUSTER, "mine"), ErrorCode.INVALID_CONFIG_EXCEPTION),
        (Resource(ResourceType.ANY, "x"), ErrorCode.INVALID_CONFIG_EXCEPTION),
    ]
    bindings = [grant(resource, ANN, Operation.READ) for resource, _ in cases]
    bindings += [
        grant(TABLE, ANN, Operation.ANY),
        grant(TABLE, Principal("User", ""), Operation.READ),
        grant(TABLE, ANN, Operation.READ, host="h" * 256),
        grant(TABLE, ANN, Operation.READ),
    ]
    expected = [code for _, code in cases] + [ErrorCode.INVALID_CONFIG_EXCEPTION] * 3
    async with authorizer(tmp_path) as acls:
        results = await acls.create(bindings, ROOT, HOST)
        assert [error and error.code for error in results] == [*expected, None]
        assert acls.select(AclFilter(), ROOT, HOST) == [bindings[-1]]


@async_test
async def test_the_permission_any_is_stored_and_allows_nothing(tmp_path: Path) -> None:
    entry = AclBinding(TABLE, AclEntry(ANN, "*", Operation.READ, Permission.ANY))
    async with authorizer(tmp_path) as acls:
        await ok(acls, entry)
        assert acls.select(AclFilter(), ROOT, HOST) == [entry]
        assert not acls.allows(ANN, HOST, Operation.READ, TABLE)
        assert not acls.allows(ANN, HOST, Operation.DESCRIBE, TABLE)


@async_test
async def test_a_resource_takes_a_bounded_number_of_entries(tmp_path: Path) -> None:
    many = [grant(DB, Principal("User", f"u{number}"), Operation.READ) for number in range(MAX_ENTRIES_PER_RESOURCE)]
    async with authorizer(tmp_path) as acls:
        await ok(acls, *many)
        (error,) = await acls.create([grant(DB, ANN, Operation.READ)], ROOT, HOST)
        assert error is not None
        assert error.code is ErrorCode.INVALID_CONFIG_EXCEPTION
        assert not acls.allows(ANN, HOST, Operation.READ, DB)


@async_test
async def test_a_cluster_has_a_bounded_number_of_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorizer_module, "MAX_ENTRIES", 3)
    async with authorizer(tmp_path) as acls:
        await ok(acls, *(grant(DB, Principal("User", f"u{number}"), Operation.READ) for number in range(3)))
        (error,) = await acls.create([grant(TABLE, ANN, Operation.READ)], ROOT, HOST)
        assert error is not None
        assert error.code is ErrorCode.INVALID_CONFIG_EXCEPTION
        await acls.drop([AclFilter(principal_name="u0")], ROOT, HOST)
        await ok(acls, grant(TABLE, ANN, Operation.READ))


@async_test
async def test_other_servers_have_a_change_when_it_returns(tmp_path: Path) -> None:
    told: list[set[Resource]] = []

    async def distribute(resources: Collection[Resource]) -> None:
        told.append(set(resources))

    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    acls = Authorizer(store, [ROOT], distribute=distribute)
    await ok(acls, grant(DB, ANN, Operation.READ))
    await acls.drop([AclFilter(principal_name="ann")], ROOT, HOST)
    await acls.drop([AclFilter(resource_type=TABLE.type, resource_name=TABLE.name)], ROOT, HOST)
    assert told == [{DB}, {DB}, {TABLE}], "a repetition of what was dropped is told again"
    await store.close()


@async_test
async def test_a_cancelled_change_still_ends(tmp_path: Path) -> None:
    async with authorizer(tmp_path) as acls:
        task = asyncio.ensure_future(acls.create([grant(DB, ANN, Operation.READ)], ROOT, HOST))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ok(acls, grant(DB, BOB, Operation.READ))  # after it, because changes are made one at a time
        assert acls.allows(ANN, HOST, Operation.READ, DB)


@async_test
async def test_unreadable_entries_stop_the_start(tmp_path: Path) -> None:
    store = EmbeddedMetadataStore.open(tmp_path / "metadata", system_runtime())
    path = "/fluss-acls/TABLE/d.t"
    await store.commit([*await missing_parents(store, path), Create(path, b"?")])
    with pytest.raises(FlussError, match=path):
        await Authorizer(store).load()
    await store.close()


def test_super_users() -> None:
    assert parse_super_users(" User:root; Role:ops:eu ;") == [ROOT, Principal("Role", "ops:eu")]
    assert parse_super_users("") == []
    for bad in ("root", "User:", ":root"):
        with pytest.raises(FlussError) as raised:
            parse_super_users(bad)
        assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
