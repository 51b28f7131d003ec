"""A full disk: writes are refused with a clear error, reads go on, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("filler", pa.binary())])
KEYED = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("filler", pa.binary())])


Writer = fluss.UpsertWriter | fluss.AppendWriter


def write(writer: Writer, row: list[Any]) -> fluss.WriteResultHandle:
    return writer.upsert(row) if isinstance(writer, fluss.UpsertWriter) else writer.append(row)


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [False, True], ids=["log", "primary key"])
def test_a_full_disk_refuses_writes_and_keeps_what_was_acknowledged(small_disk: Path, keyed: bool) -> None:
    def new_writer(table: fluss.FlussTable) -> Writer:
        return table.new_upsert().create_writer() if keyed else table.new_append().create_writer()

    async def fill(connected: fluss.FlussConnection, table: fluss.FlussTable) -> tuple[int, fluss.FlussError]:
        acknowledged = 0
        for _ in range(200):
            writer = new_writer(table)
            try:
                handles = [
                    write(writer, [value, os.urandom(4000)]) for value in range(acknowledged, acknowledged + 100)
                ]
                await asyncio.wait_for(writer.flush(), 30)
                for handle in handles:  # flush() alone does not raise
                    await handle.wait()
            except fluss.FlussError as error:
                return acknowledged, error
            acknowledged += 100
        raise AssertionError("80 MB went into a disk of 24 MB")

    async def present(connected: fluss.FlussConnection, table: fluss.FlussTable) -> set[int]:
        return {row["n"] for *_, row in await read_changes(connected, table)}

    async def run(cluster: LocalCluster, ballast: Path) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            table = await new_table(
                connected, "full", KEYED if keyed else SCHEMA, primary_keys=["n"] if keyed else None, bucket_count=1
            )
            acknowledged, error = await fill(connected, table)
            assert acknowledged > 0
            assert "disk" in str(error).lower() or "space" in str(error).lower(), error
            assert set(range(acknowledged)) <= await present(connected, table)
        os.unlink(ballast)  # space again: the same server takes writes
        async with connection(cluster.bootstrap_servers) as connected:
            table = await connected.get_table(fluss.TablePath("fluss", "full"))
            writer = new_writer(table)
            handle = write(writer, [10**9, b"after"])
            await asyncio.wait_for(writer.flush(), 30)
            await handle.wait()
        cluster.kill()
        cluster.start()
        async with connection(cluster.bootstrap_servers) as connected:
            table = await connected.get_table(fluss.TablePath("fluss", "full"))
            assert set(range(acknowledged)) | {10**9} <= await present(connected, table)

    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 << 20))
    with LocalCluster(small_disk / "data") as cluster:
        asyncio.run(run(cluster, ballast))


@pytest.mark.slow
def test_writes_stop_before_the_disk_is_full(small_disk: Path) -> None:
    """At 85 % writes are refused, reads go on; at 80 % they are accepted again, without a restart."""

    async def inserting_lookup(cluster: LocalCluster, table: fluss.FlussTable) -> int:
        request = pb.LookupRequest(table_id=table.get_table_info().table_id, insert_if_not_exists=True)
        request.buckets_req.add(bucket_id=0, keys=[b"\x05"])
        async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
            return int((await client.call(ApiKey.LOOKUP, request)).buckets_resp[0].error_code)

    async def set_limit(cluster: LocalCluster, ratio: str) -> None:
        request = pb.AlterClusterConfigsRequest()
        request.alter_configs.add(config_key="server.data-disk.write-limit-ratio", config_value=ratio, op_type=0)
        async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
            await client.call(ApiKey.ALTER_CLUSTER_CONFIGS, request)

    async def refused(table: fluss.FlussTable, row: list[Any]) -> str | None:
        keyed = table.has_primary_key()
        writer = table.new_upsert().create_writer() if keyed else table.new_append().create_writer()
        try:
            handle = write(writer, row)
            await asyncio.wait_for(writer.flush(), 30)
            await handle.wait()
        except fluss.FlussError as error:
            return str(error)
        return None

    async def wait_until(refusing: bool, table: fluss.FlussTable, row: list[Any]) -> str:
        deadline = time.monotonic() + 20
        while True:
            response = await refused(table, row)
            if (response is not None) == refusing:
                return response or ""
            assert time.monotonic() < deadline, response
            await asyncio.sleep(0.05)

    async def run(cluster: LocalCluster, ballast: Path) -> None:
        async with connection(cluster.bootstrap_servers) as connected:
            log = await new_table(connected, "log", SCHEMA, bucket_count=1)
            keyed = await new_table(connected, "keyed", KEYED, primary_keys=["n"], bucket_count=1)
            for table in (log, keyed):
                assert await refused(table, [1, b"before"]) is None
            await asyncio.to_thread(ballast.write_bytes, bytes(int(0.87 * (24 << 20))))
            text = await wait_until(True, log, [2, b"while"])
            assert "writes are refused above 85.0%" in text
            assert "accepted again at 80.0%" in text
            assert "writes are refused above 85.0%" in (await refused(keyed, [2, b"while"]) or "")
            assert (await read_changes(connected, log))[0][3] == {"n": 1, "filler": b"before"}
            assert await keyed.new_lookup().create_lookuper().lookup([1]) == {"n": 1, "filler": b"before"}
            assert await inserting_lookup(cluster, keyed) == ErrorCode.DISK_WRITE_LOCKED
            with pytest.raises(FlussError, match=r"write-recover-ratio 0\.8 is not below"):
                await set_limit(cluster, "0.5")
            await set_limit(cluster, "0.95")
            assert await refused(log, [2, b"with a higher limit"]) is None
            await set_limit(cluster, "0.85")
            assert await refused(log, [3, b"while"]) is not None
            os.truncate(ballast, int(0.5 * (24 << 20)))
            await wait_until(False, log, [4, b"after"])
            assert await refused(keyed, [4, b"after"]) is None
            assert await keyed.new_lookup().create_lookuper().lookup([2]) is None
            assert [row["n"] for *_, row in await read_changes(connected, log)][-1] == 4

    ballast = small_disk / "ballast"
    options = {
        "server.data-disk.write-limit-ratio": "0.85",
        "server.data-disk.write-recover-ratio": "0.80",
        "server.data-disk.check-interval": "50 ms",
    }
    with LocalCluster(small_disk / "data", options=options) as cluster:
        asyncio.run(run(cluster, ballast))
        assert "writes are refused: 8" in cluster.log
        assert "writes are accepted again" in cluster.log
