"""The how-to of docs/security.md, step by step."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import fluss
import pytest

from clients.pyfluss_support import connection
from fluss_server.errors import ErrorCode
from fluss_server.testing import LocalCluster
from rpc_support import async_test

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()


def block(begin: str) -> str:
    """The code block that contains ``begin``."""
    (code,) = [code for code in re.findall(r"```\w*\n(.*?)```", PAGE, re.DOTALL) if begin in code]
    return str(code)


@async_test
async def test_from_the_users_file_to_a_grant(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(block("# users:"))
    options = dict(re.findall(r"--set ([\w.]+)=(\S+)", block("credentials.file=users")))
    options |= dict(re.findall(r"--set ([\w.]+)=([^`\s]+)", re.findall(r"`(--set authorizer.*?)`", PAGE)[0]))
    options["security.sasl.plain.credentials.file"] = str(tmp_path / "users")
    assert sorted(options) == [
        "authorizer.enabled",
        "security.protocol.map",
        "security.sasl.plain.credentials.file",
        "super.users",
    ]
    with LocalCluster(tmp_path / "data", options=options) as cluster:
        example: dict[str, fluss.Config] = {}
        exec(f"import fluss\n{block('fluss.Config')}".replace("127.0.0.1:9123", cluster.bootstrap_servers), example)
        bob = await fluss.FlussConnection.create(example["config"])
        with pytest.raises(fluss.FlussError) as raised:
            await bob.get_admin().get_table_info(fluss.TablePath("fluss", "orders"))
        assert raised.value.error_code == ErrorCode.AUTHORIZATION_EXCEPTION

        grant = block("CREATE_ACLS").replace("9123", str(cluster.port))
        done = await asyncio.create_subprocess_exec(sys.executable, "-c", grant, stdout=subprocess.PIPE)
        assert (await done.communicate())[0] == b"[0]\n"
        with pytest.raises(fluss.FlussError) as raised:
            await bob.get_admin().get_table_info(fluss.TablePath("fluss", "orders"))
        assert raised.value.error_code == ErrorCode.TABLE_NOT_EXIST, "allowed, but nobody has created it"
        await bob.close()
        admin = {"security.sasl.username": "admin", "security.sasl.password": "admin-secret"}
        admin |= {"security.protocol": "SASL", "security.sasl.mechanism": "PLAIN"}
        async with connection(cluster.bootstrap_servers, **admin) as connected:
            assert await connected.get_admin().list_databases() == ["fluss"]
