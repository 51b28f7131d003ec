"""Changing tables and reading their logs with our own client, where ``pyfluss`` lacks the call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.client import RpcClient


def table_path(table: str, database: str = "fluss") -> pb.PbTablePath:
    return pb.PbTablePath(database_name=database, table_name=table)


@asynccontextmanager
async def rpc_client(bootstrap_servers: str) -> AsyncIterator[RpcClient]:
    """A connection of our client."""
    host, port = bootstrap_servers.rsplit(":", 1)
    client = await RpcClient.connect(host, int(port))
    try:
        yield client
    finally:
        await client.close()


async def add_columns(bootstrap_servers: str, table: str, columns: dict[str, Any]) -> None:
    """ALTER TABLE fluss.``table`` ADD columns, given as data type documents by name."""
    added = [
        pb.PbAddColumn(column_name=name, data_type_json=json.dumps(kind).encode(), column_position_type=0)
        for name, kind in columns.items()
    ]
    request = pb.AlterTableRequest(table_path=table_path(table), ignore_if_not_exists=False, add_columns=added)
    async with rpc_client(bootstrap_servers) as client:
        await client.call(ApiKey.ALTER_TABLE, request)


async def fetch(
    client: RpcClient, table_id: int, offset: int = 0, fields: Sequence[int] | None = None
) -> pb.PbFetchLogRespForBucket:
    """What bucket 0 answers to a fetch that does not wait."""
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 24, min_bytes=1, max_wait_ms=0)
    wanted = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=fields is not None)
    wanted.projected_fields.extend(fields or ())
    wanted.buckets_req.add(bucket_id=0, fetch_offset=offset, max_fetch_bytes=1 << 24)
    answer = await client.call(ApiKey.FETCH_LOG, request)
    (bucket,) = answer.tables_resp[0].buckets_resp
    found: pb.PbFetchLogRespForBucket = bucket
    return found
