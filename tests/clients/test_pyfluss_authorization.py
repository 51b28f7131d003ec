"""What users of the real pyfluss client see when they may not do something."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from clients.test_pyfluss_sasl import authentication
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.model.acl import CLUSTER, Operation, Permission, Resource
from fluss_server.model.identifiers import TablePath
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])
USERS = ("root", "reader", "writer", "nobody")
OPTIONS = {
    "security.protocol.map": "FLUSS:SASL",
    "security.sasl.plain.credentials": ",".join(f"{user}:{user}-pass" for user in USERS),
    "authorizer.enabled": "true",
    "super.users": "User:root",
}
CLIENT_ERROR = -2
DENIED = ErrorCode.AUTHORIZATION_EXCEPTION


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(options=OPTIONS) as running:
        asyncio.run(prepare(running))
        yield running


async def grant(port: int, *grants: tuple[str, Operation, Resource]) -> list[int]:
    """Codes of the answers to root's CREATE_ACLS."""
    request = pb.CreateAclsRequest()
    for user, operation, resource in grants:
        request.acl.add(
            resource_name=resource.name,
            resource_type=resource.type,
            principal_name=user,
            principal_type="User",
            host="*",
            operation_type=operation,
            permission_type=Permission.ALLOW,
        )
    async with await RpcClient.connect("127.0.0.1", port, authentication=("root", "root-pass")) as client:
        response = await client.call(ApiKey.CREATE_ACLS, request)
    return [result.error_code for result in response.aclRes]


async def prepare(cluster: LocalCluster) -> None:
    async with connection(cluster.bootstrap_servers, **authentication("root", "root-pass")) as root:
        await root.get_admin().create_database("shop", None, False)
        keyed = await new_table(root, "keyed", SCHEMA, database="shop", primary_keys=["id"])
        await new_table(root, "log", SCHEMA, database="shop")
        await new_table(root, "secret", SCHEMA, database="shop")
        await new_table(root, "secret_keyed", SCHEMA, database="shop", primary_keys=["id"])
        writer = keyed.new_upsert().create_writer()
        writer.upsert([1, "x"])
        await writer.flush()
    tables = [Resource.table(TablePath("shop", name)) for name in ("keyed", "log")]
    grants = [("reader", Operation.READ, table) for table in tables]
    grants += [("writer", Operation.WRITE, table) for table in tables]
    secret = [Resource.table(TablePath("shop", name)) for name in ("secret", "secret_keyed")]
    grants += [("writer", Operation.DESCRIBE, table) for table in secret]
    assert await grant(cluster.port, *grants) == [0] * 6


async def code_of(call: Awaitable[object]) -> int:
    with pytest.raises(fluss.FlussError) as raised:
        await asyncio.wait_for(call, 20)
    code = int(raised.value.error_code)
    if code == CLIENT_ERROR and (inner := re.search(r"code[:=] ?(\d+),", raised.value.message)):
        return int(inner[1])  # an answer to INIT_WRITER or LOOKUP, wrapped by the client
    return code


def test_a_reader_reads_and_nothing_else(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with connection(cluster.bootstrap_servers, **authentication("reader", "reader-pass")) as connected:
            admin = connected.get_admin()
            assert await admin.list_databases() == []
            assert sorted(await admin.list_tables("shop")) == ["keyed", "log"]
            assert await admin.table_exists(fluss.TablePath("shop", "log"))
            assert not await admin.table_exists(fluss.TablePath("shop", "secret"))
            assert not await admin.database_exists("shop")
            assert await admin.database_exists("fluss")
            keyed = await connected.get_table(fluss.TablePath("shop", "keyed"))
            assert await keyed.new_lookup().create_lookuper().lookup([1]) == {"id": 1, "v": "x"}
            assert len(await read_changes(connected, keyed)) == 1
            assert await code_of(keyed.new_upsert().create_writer().upsert([2, "y"]).wait()) == DENIED
            assert await code_of(admin.drop_table(fluss.TablePath("shop", "log"), False)) == DENIED
            assert await code_of(admin.drop_database("shop", False, True)) == DENIED
            assert await code_of(admin.create_database("mine", None, False)) == DENIED
            descriptor = fluss.TableDescriptor(fluss.Schema(SCHEMA))
            assert await code_of(admin.create_table(fluss.TablePath("shop", "mine"), descriptor, False)) == DENIED
        # On a connection of its own: the client's writer does not get over a refused INIT_WRITER.
        async with connection(cluster.bootstrap_servers, **authentication("reader", "reader-pass")) as connected:
            log = await connected.get_table(fluss.TablePath("shop", "log"))
            assert await code_of(log.new_append().create_writer().append([1, "x"]).wait()) == DENIED

    asyncio.run(run())


def test_a_writer_writes_and_does_not_read(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with connection(cluster.bootstrap_servers, **authentication("writer", "writer-pass")) as connected:
            log = await connected.get_table(fluss.TablePath("shop", "log"))
            await log.new_append().create_writer().append([1, "x"]).wait()
            keyed = await connected.get_table(fluss.TablePath("shop", "keyed"))
            await keyed.new_upsert().create_writer().upsert([3, "z"]).wait()
            assert await code_of(keyed.new_lookup().create_lookuper().lookup([3])) == DENIED

            secret = await connected.get_table(fluss.TablePath("shop", "secret"))
            assert await code_of(secret.new_append().create_writer().append([1, "x"]).wait()) == DENIED
            secret_keyed = await connected.get_table(fluss.TablePath("shop", "secret_keyed"))
            assert await code_of(secret_keyed.new_upsert().create_writer().upsert([1, "x"]).wait()) == DENIED

            async def poll() -> None:
                scanner = await log.new_scan().create_log_scanner()
                scanner.subscribe(0, fluss.EARLIEST_OFFSET)
                while True:
                    await scanner.poll(500)

            assert await code_of(poll()) == DENIED

    asyncio.run(run())


def test_who_has_nothing_sees_nothing(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with connection(cluster.bootstrap_servers, **authentication("nobody", "nobody-pass")) as connected:
            admin = connected.get_admin()
            assert await admin.list_databases() == []
            assert await admin.list_tables("shop") == []
            assert await code_of(admin.get_table_info(fluss.TablePath("shop", "log"))) == DENIED
            assert await code_of(admin.get_database_info("shop")) == DENIED
            with pytest.raises(fluss.FlussError):
                await asyncio.wait_for(connected.get_table(fluss.TablePath("shop", "log")), 20)

    asyncio.run(run())


def test_grants_can_be_given_and_taken_while_clients_are_connected(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with connection(cluster.bootstrap_servers, **authentication("nobody", "nobody-pass")) as connected:
            admin = connected.get_admin()
            assert await code_of(admin.create_database("later", None, False)) == DENIED
            assert await grant(cluster.port, ("nobody", Operation.CREATE, CLUSTER)) == [0]
            await admin.create_database("later", None, False)
            selection = pb.PbAclFilter(principal_name="nobody", principal_type="User")
            selection.resource_type = selection.operation_type = selection.permission_type = 1
            async with await RpcClient.connect("127.0.0.1", cluster.port, authentication=("root", "root-pass")) as root:
                dropped = await root.call(ApiKey.DROP_ACLS, pb.DropAclsRequest(acl_filter=[selection]))
            assert [len(result.matching_acls) for result in dropped.filter_results] == [1]
            assert await code_of(admin.create_database("never", None, False)) == DENIED

    asyncio.run(run())
