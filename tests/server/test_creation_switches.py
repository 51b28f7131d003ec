"""A cluster that allows only one kind of table."""

from __future__ import annotations

import asyncio

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.testing import LocalCluster
from table_rpc import create_from, descriptor, rpc_client


@pytest.mark.parametrize(("option", "forbidden"), [("allow.create.log.tables", []), ("allow.create.kv.tables", ["id"])])
def test_switches(option: str, forbidden: list[str]) -> None:
    async def run(servers: str) -> None:
        async with rpc_client(servers) as client:
            with pytest.raises(FlussError) as caught:
                await create_from(client, "no", descriptor(forbidden))
            assert caught.value.code is ErrorCode.INVALID_TABLE_EXCEPTION
            await create_from(client, "yes", descriptor(["id"] if not forbidden else []))

    with LocalCluster(options={option: "false"}) as cluster:
        asyncio.run(run(cluster.bootstrap_servers))
