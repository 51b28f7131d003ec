"""Writers of a primary-key table whose files wait for compaction are told to slow down."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("v", pa.string())])
OPTIONS = {
    "kv.backpressure.l0-slowdown-trigger": "1",
    "kv.persist.interval": "20 ms",  # each time there is a new file
    "kv.persist.after-offsets": "1",
}


def test_answers_carry_the_pressure(tmp_path: Path) -> None:
    async def run(cluster: LocalCluster) -> None:
        async with (
            connection(cluster.bootstrap_servers) as connected,
            await RpcClient.connect("127.0.0.1", cluster.port) as client,
        ):
            assert client.api_versions[ApiKey.PUT_KV] == (0, 2)
            table = await new_table(connected, "keyed", SCHEMA, primary_keys=["n"], bucket_count=1)
            nothing = pb.PutKvRequest(acks=-1, table_id=table.get_table_info().table_id, timeout_ms=10_000)
            nothing.buckets_req.add(bucket_id=0, records=build_kv_batch(1, [(b"missing", None)]))
            pressures: set[float] = set()
            deadline = time.monotonic() + 20
            writer = table.new_upsert().create_writer()
            while max(pressures, default=0) == 0:
                assert time.monotonic() < deadline
                writer.upsert([1, "x"])
                await writer.flush()
                (bucket,) = (await client.call(ApiKey.PUT_KV, nothing)).buckets_resp
                assert not bucket.HasField("error_code")
                assert bucket.HasField("pressure") == (bucket.pressure > 0)
                pressures.add(round(bucket.pressure, 6))
            assert max(pressures) in [pytest.approx((files - 1) / 19, abs=1e-5) for files in range(2, 20)]

    with LocalCluster(tmp_path, options=OPTIONS) as cluster:
        asyncio.run(run(cluster))
