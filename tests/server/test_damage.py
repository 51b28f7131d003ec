"""A log that the disk has damaged: readers get an error with the offset, and everybody can see it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fluss
import pyarrow as pa
import pytest

from clients.pyfluss_support import connection, new_table, read_changes
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.log_batch import iter_batches
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from server.test_metrics import page, scrape, value

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("filler", pa.string())])
OPTIONS = {
    "metrics.reporters": "prometheus",
    "metrics.reporter.prometheus.port": "0",
    "log.segment.file-size": "4kb",
    "log.scrub.bytes-per-second": "0b",
}
ROWS = 200


async def write(cluster: LocalCluster, name: str) -> int:
    """A table of one bucket with some segments; returns its id."""
    async with connection(cluster.bootstrap_servers) as connected:
        table = await new_table(connected, name, SCHEMA, bucket_count=1)
        writer = table.new_append().create_writer()
        for number in range(ROWS):
            writer.append([number, "x" * 50])
            if number % 10 == 9:
                await writer.flush()
        table_id: int = table.get_table_info().table_id
        return table_id


def flip(data: Path, name: str) -> tuple[int, int]:
    """Flip a bit in the middle of the first segment; returns the offsets of its batch and of the next segment."""
    (directory,) = (data / "fluss").glob(f"{name}-*/log-0")
    first, second = sorted(directory.glob("*.log"))[:2]
    content = bytearray(first.read_bytes())
    batches = list(iter_batches(content))
    position, header = batches[len(batches) // 2]
    content[position + header.size - 20] ^= 4
    first.write_bytes(content)
    return header.base_offset, int(second.stem)


async def fetch(client: RpcClient, table_id: int, offset: int) -> pb.PbFetchLogRespForBucket:
    request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20)
    table = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
    table.buckets_req.add(bucket_id=0, fetch_offset=offset, max_fetch_bytes=1 << 20)
    response = await client.call(ApiKey.FETCH_LOG, request)
    bucket: pb.PbFetchLogRespForBucket = response.tables_resp[0].buckets_resp[0]
    return bucket


async def health_of(cluster: LocalCluster) -> tuple[int, dict[str, object]]:
    try:
        text, status = await asyncio.to_thread(page, cluster, "health"), 200
    except urllib.error.HTTPError as error:
        text, status = error.read().decode(), error.code
    return status, json.loads(text)


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def test_readers_of_a_damaged_batch_are_told(tmp_path: Path) -> None:
    async def run() -> None:
        with LocalCluster(tmp_path, options=OPTIONS) as cluster:
            table_id = await write(cluster, "hurt")
            whole_id = await write(cluster, "whole")
        damaged, behind = flip(tmp_path, "hurt")
        with LocalCluster(tmp_path, options=OPTIONS) as cluster:
            async with await RpcClient.connect("127.0.0.1", cluster.port) as client:
                first = await fetch(client, table_id, 0)
                headers = [header for _, header in iter_batches(first.records)]
                assert headers[-1].next_offset == damaged
                refused = await fetch(client, table_id, damaged)
                assert refused.error_code == ErrorCode.CORRUPT_MESSAGE
                assert f"offset {damaged}," in refused.error_message
                assert not refused.records
                assert (await fetch(client, table_id, behind)).records
                assert (await fetch(client, whole_id, 0)).records
            async with connection(cluster.bootstrap_servers) as connected:
                table = await connected.get_table(fluss.TablePath("fluss", "hurt"))
                with pytest.raises(fluss.FlussError, match=f"offset {damaged},"):
                    await read_changes(connected, table)
                writer = table.new_append().create_writer()
                writer.append([-1, ""])
                await writer.flush()
            status, health = await health_of(cluster)
            assert status == 503
            assert (health["ready"], health["offline_buckets"], health["damaged_buckets"]) == (False, 0, 1)
            problems: Any = health["problems"]
            (problem,) = problems
            assert problem["table"] == "fluss.hurt"
            assert f"offset {damaged}," in problem["reason"]
            assert "restore the file" in problem["remedy"]
            samples = await asyncio.to_thread(scrape, cluster)
            assert value(samples, "server_damagedBuckets") == value(samples, "server_damagedBatchesFound_total") == 1
            labels = {"database": "fluss", "table": "hurt", "partition": "", "bucket": "0", "state": "damaged"}
            assert value(samples, "server_unhealthyBucket", **labels) == 1

    asyncio.run(run())


def test_damage_is_found_before_anybody_reads_it(tmp_path: Path) -> None:
    async def run() -> None:
        with LocalCluster(tmp_path, options=OPTIONS) as cluster:
            await write(cluster, "hurt")
        damaged, _ = flip(tmp_path, "hurt")
        scrubbing = {**OPTIONS, "log.scrub.bytes-per-second": "1mb", "log.scrub.interval": "50ms"}
        with LocalCluster(tmp_path, options=scrubbing) as cluster:
            await until(lambda: f"is damaged at offset {damaged}," in cluster.log, "the damage was not found")
            status, health = await health_of(cluster)
            assert (status, health["damaged_buckets"]) == (503, 1)
            await until(
                lambda: value(scrape(cluster), "server_scrubbedBytes_total") > ROWS * 50, "the scrub has stopped"
            )

    asyncio.run(run())
