"""SQL on the test cluster, and reading tables back without Flink."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment, TableResult

from flink.standalone_flink import StandaloneFlink
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import decode_value, parse_value_batch
from fluss_server.model.table import KvFormat, TableDescriptor
from fluss_server.rpc.client import RpcClient
from waiting import wait_until

DEADLINE_S = 120.0


def environment(
    flink: StandaloneFlink, servers: str, options: dict[str, str] | None = None, *, batch: bool = False
) -> TableEnvironment:
    """A TableEnvironment on the cluster with the catalog ``fluss`` in use."""
    configuration = Configuration()
    settings = {
        "execution.target": "remote",
        "rest.address": "127.0.0.1",
        "rest.port": str(flink.rest_port),
        "parallelism.default": "2",
        "execution.runtime-mode": "batch" if batch else "streaming",
    }
    for key, value in (settings | (options or {})).items():
        configuration.set_string(key, value)
    builder = EnvironmentSettings.new_instance().with_configuration(configuration)
    env = TableEnvironment.create((builder.in_batch_mode() if batch else builder.in_streaming_mode()).build())
    env.execute_sql(f"CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{servers}')")
    env.use_catalog("fluss")
    return env


def insert(env: TableEnvironment, statement: str) -> None:
    """Run a statement that writes, to its end.

    Flink's client asks after 10, 30, 70, ... 1270, 2550 ms whether the job has ended, which makes each job twice as
    long in the worst case; this asks all the time.
    """
    result = env.execute_sql(statement)
    client = result.get_job_client()
    if client is not None:
        wait_until(lambda: client.get_job_status().result().is_terminal_state(), f"the end of {statement}", 300.0)
    result.wait()


def rows(env: TableEnvironment, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query that ends."""
    with env.execute_sql(query).collect() as found:
        return [tuple(row) for row in found]


def changes(env: TableEnvironment, query: str, count: int) -> list[tuple[str, tuple[Any, ...]]]:
    """The first ``count`` changes of a streaming query as ``(row kind, row)``; the job is cancelled then."""
    result = env.execute_sql(query)
    found: list[tuple[str, tuple[Any, ...]]] = []
    with result.collect() as stream:
        for row in stream:
            found.append((str(row.get_row_kind()), tuple(row)))
            if len(found) == count:
                break
    cancel(result)
    return found


def cancel(result: TableResult) -> None:
    """Cancel a job and wait until it has ended."""
    client = result.get_job_client()
    if client is not None:
        with contextlib.suppress(Exception):  # it may have ended by itself
            client.cancel().result()


@contextlib.contextmanager
def running(env: TableEnvironment, statement: str) -> Iterator[TableResult]:
    """A streaming job for the length of the block."""
    result = env.execute_sql(statement)
    try:
        yield result
    finally:
        cancel(result)


def table_rows(port: int, table: str, database: str = "fluss") -> list[tuple[Any, ...]]:
    """All rows of a primary-key table, read through the native protocol from the leaders of its buckets."""

    async def read() -> list[tuple[Any, ...]]:
        path = pb.PbTablePath(database_name=database, table_name=table)
        async with await RpcClient.connect("127.0.0.1", port) as client:
            info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
            seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[path]))
        codec = row_codec(TableDescriptor.from_json_bytes(info.table_json).schema.types, KvFormat.COMPACTED)
        servers = {node.node_id: (node.host, node.port) for node in seen.tablet_servers}
        found = []
        for bucket in seen.table_metadata[0].bucket_metadata:
            async with await RpcClient.connect(*servers[bucket.leader_id]) as leader:
                scan = pb.LimitScanRequest(table_id=info.table_id, bucket_id=bucket.bucket_id, limit=1_000_000)
                response = await leader.call(ApiKey.LIMIT_SCAN, scan)
            assert not response.HasField("error_code"), response
            found += [codec.decode(decode_value(value)[1]) for value in parse_value_batch(response.records)]
        return found

    return asyncio.run(read())
