"""Logins of the real pyfluss client: right, wrong, missing, changed while the server runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.errors import ErrorCode
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.string())])
SASL = {"security.protocol.map": "FLUSS:SASL"}


def authentication(user: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "sasl",
        "security.sasl.mechanism": "PLAIN",
        "security.sasl.username": user,
        "security.sasl.password": password,
    }


async def refused(servers: str, **options: str) -> tuple[int, str]:
    with pytest.raises(fluss.FlussError) as raised:
        async with connection(servers, **options):
            pass
    return raised.value.error_code, raised.value.message


def test_pyfluss_works_on_a_sasl_listener(tmp_path: Path) -> None:
    async def run(servers: str) -> None:
        async with connection(servers, **authentication("bob", "bob-pass")) as connected:
            table = await new_table(connected, "t", SCHEMA, primary_keys=["id"], bucket_count=2)
            writer = table.new_upsert().create_writer()
            for value in range(10):
                writer.upsert([value, f"v{value}"])
            await writer.flush()
            assert await table.new_lookup().create_lookuper().lookup([7]) == {"id": 7, "v": "v7"}
            assert len(await read_changes(connected, table)) == 10
        code, text = await refused(servers, **authentication("bob", "wrong"))
        assert (code, "Invalid username or password" in text) == (ErrorCode.AUTHENTICATE_EXCEPTION, True)
        assert (await refused(servers, **authentication("nobody", "bob-pass")))[0] == ErrorCode.AUTHENTICATE_EXCEPTION
        code, text = await refused(servers)
        assert (code, "security.protocol" in text) == (ErrorCode.AUTHENTICATE_EXCEPTION, True)

    with LocalCluster(tmp_path, options={**SASL, "security.sasl.plain.credentials": "bob:bob-pass"}) as cluster:
        asyncio.run(run(cluster.bootstrap_servers))
        assert "pass" not in cluster.log.replace("password", ""), "no secret in the log"


def test_a_changed_file_of_users_holds_for_new_connections(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("bob:one\n")

    async def run(servers: str) -> None:
        async with connection(servers, **authentication("bob", "one")) as before:
            assert await before.get_admin().database_exists("fluss")
            (tmp_path / "new").write_text("bob:two\n")
            os.replace(tmp_path / "new", users)
            assert (await refused(servers, **authentication("bob", "one")))[0] == ErrorCode.AUTHENTICATE_EXCEPTION
            async with connection(servers, **authentication("bob", "two")) as after:
                assert await after.get_admin().database_exists("fluss")
            assert await before.get_admin().database_exists("fluss"), "who is in stays in"

    options = {**SASL, "security.sasl.plain.credentials.file": str(users)}
    with LocalCluster(tmp_path / "data", options=options) as cluster:
        asyncio.run(run(cluster.bootstrap_servers))


def test_each_listener_sends_its_clients_to_itself(tmp_path: Path) -> None:
    async def run(plain: str, sasl: str) -> None:
        async with connection(plain) as connected:
            table = await new_table(connected, "t", SCHEMA)
            writer = table.new_append().create_writer()
            writer.append([1, "x"])
            await writer.flush()
        async with connection(sasl, **authentication("bob", "bob-pass")) as connected:
            nodes = await connected.get_admin().get_server_nodes()
            assert {f"{node.host}:{node.port}" for node in nodes} == {sasl}
            table = await connected.get_table(fluss.TablePath("fluss", "t"))
            assert len(await read_changes(connected, table)) == 1
        assert (await refused(plain, **authentication("bob", "bob-pass")))[0] == ErrorCode.AUTHENTICATE_EXCEPTION

    options = {
        "bind.listeners": "INTERNAL://127.0.0.1:0,CLIENT://127.0.0.1:0",
        "security.protocol.map": "CLIENT:SASL",
        "security.sasl.plain.credentials": "bob:bob-pass",
    }
    with LocalCluster(tmp_path, options=options, tablet_servers=1) as cluster:
        plain = cluster.bootstrap_servers
        (line,) = [line for line in cluster.log.splitlines() if line.startswith("Listener CLIENT: ")]
        sasl = line.partition("bootstrap.servers=")[2]
        assert plain != sasl
        asyncio.run(run(plain, sasl))
