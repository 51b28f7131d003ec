"""Another number of buckets for the coming partitions of a table: who writes and reads where, and who is refused."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.main import main
from fluss_server.errors import ErrorCode
from fluss_server.formats.log_batch import build_batch
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from table_rpc import rpc_client, table_path

ROWS = 20
KEYED = "CREATE TABLE {} (id BIGINT, day STRING, v STRING{}) PARTITIONED BY (day) WITH ('bucket.num' = '2')"


class Fluss:
    """The command, in this process: many of them are needed."""

    def __init__(self, cluster: LocalCluster, directory: Path) -> None:
        self._server = f"127.0.0.1:{cluster.grpc_port}"
        self._file = directory / "rows.jsonl"

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it printed, with its remarks when it is to fail."""
        printed, remarks = io.StringIO(), io.StringIO()
        with redirect_stdout(printed), redirect_stderr(remarks):
            result = main([*arguments, "--server", self._server])
        assert result == code, remarks.getvalue()
        return printed.getvalue() if code == 0 else printed.getvalue() + remarks.getvalue()

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Its output as JSON."""
        return [json.loads(line) for line in self(*arguments, "--output", "json").splitlines()]

    def put(self, table: str, *days: str) -> None:
        """Write the same rows into each of some partitions."""
        rows = (f'{{"id": {number}, "day": "{day}", "v": "{number}"}}\n' for day in days for number in range(ROWS))
        self._file.write_text("".join(rows))
        self("put", table, str(self._file))


def altered(run: Fluss, name: str, key: str = ", PRIMARY KEY (id, day) NOT ENFORCED") -> None:
    """A table with a partition of two buckets and one of four, each with the same rows."""
    run("create-table", KEYED.format(name, key))
    run.put(name, "old")
    run("alter-table", name, "--set", "bucket.num=4")
    run.put(name, "new")


def check_rows(run: Fluss, name: str) -> None:
    assert {row["partition"]: row["buckets"] for row in run.rows("partitions", name)} == {"old": 2, "new": 4}
    offsets = run.rows("offsets", name)
    for day, buckets in (("old", 2), ("new", 4)):
        ends = [row["latest"] for row in offsets if row["partition"] == day]
        assert (len(ends), sum(ends)) == (buckets, ROWS)
        assert min(ends) > 0, "rows are spread over all buckets"
        assert run.rows("count", name, "--partition", f"day={day}") == [{"rows": ROWS}]
        for number in (0, 7, 13):
            assert run.rows("get", name, f"id={number}", f"day={day}") == [{"id": number, "day": day, "v": str(number)}]
    assert len(run.rows("head", name, "-n", "100")) == 2 * ROWS
    assert len(run.rows("tail", name, "--from", "earliest", "-n", "100")) == 2 * ROWS


def test_partitions_keep_the_number_that_they_began_with(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "data", grpc=True) as cluster:
        run = Fluss(cluster, tmp_path)
        altered(run, "t")
        check_rows(run, "t")
        cluster.kill()
        cluster.start()
        run = Fluss(cluster, tmp_path)
        check_rows(run, "t")
        run.put("t", "old", "new", "third")  # the same rows again, and a partition more
        assert run.rows("count", "t") == [{"rows": 3 * ROWS}]
        assert {row["partition"]: row["buckets"] for row in run.rows("partitions", "t")}["third"] == 4
        run("alter-table", "t", "--set", "bucket.num=1")
        run.put("t", "fourth")
        counts = {row["partition"]: row["buckets"] for row in run.rows("partitions", "t")}
        assert counts == {"old": 2, "new": 4, "third": 4, "fourth": 1}
        assert run.rows("count", "t") == [{"rows": 4 * ROWS}]


def test_what_cannot_be_changed(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "data", grpc=True) as cluster:
        run = Fluss(cluster, tmp_path)
        run("create-table", "CREATE TABLE plain (id BIGINT) WITH ('bucket.num' = '2')")
        run("create-table", KEYED.format("t", ""))
        assert "has no partitions" in run("alter-table", "plain", "--set", "bucket.num=4", code=1)
        assert "INVALID_ALTER_TABLE_EXCEPTION" in run("alter-table", "t", "--set", "bucket.num=0", code=1)
        assert "BUCKET_MAX_NUM_EXCEPTION" in run("alter-table", "t", "--set", "bucket.num=5000", code=1)
        assert "must be a number" in run("alter-table", "t", "--set", "bucket.num=many", code=2)
        assert "run the command once for each" in run(
            "alter-table", "t", "--set", "bucket.num=3", "--set", "table.log.ttl=1d", code=2
        )
        asyncio.run(epochs(cluster, run))


async def epochs(cluster: LocalCluster, run: Fluss) -> None:
    """Only another number counts as a change."""
    async with rpc_client(cluster.bootstrap_servers) as client:
        for count, expected in ((2, 0), (4, 1), (4, 1), (2, 2)):
            await asyncio.to_thread(run, "alter-table", "t", "--set", f"bucket.num={count}")
            info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=table_path("t")))
            assert info.bucket_count_epoch == expected
            seen = await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[table_path("t")]))
            assert seen.table_metadata[0].bucket_count_epoch == expected


def test_a_wrong_number_is_refused_for_every_call(tmp_path: Path) -> None:
    async def calls(cluster: LocalCluster) -> None:
        async with rpc_client(cluster.bootstrap_servers) as client:
            info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=table_path("t")))
            listed = await client.call(
                ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=table_path("t"))
            )
            old, new = sorted(listed.partitions_info, key=lambda entry: entry.bucket_count)
            for partition, wrong in ((old, 4), (new, 2)):
                for count in (None, wrong, partition.bucket_count):
                    bucket: dict[str, Any] = {
                        "partition_id": partition.partition_id,
                        "bucket_id": 0,
                        "routing_bucket_count": count,
                    }
                    found = [
                        await refusal(client, key, info.table_id, bucket)
                        for key in (ApiKey.LOOKUP, ApiKey.PREFIX_LOOKUP, ApiKey.PUT_KV, ApiKey.FETCH_LOG)
                        + (ApiKey.LIMIT_SCAN, ApiKey.SCAN_KV)
                    ]
                    right = count == partition.bucket_count
                    assert [code == ErrorCode.INVALID_BUCKET_ROUTING for code in found] == [not right] * 6, found

    with LocalCluster(tmp_path / "data", grpc=True) as cluster:
        altered(Fluss(cluster, tmp_path), "t")
        asyncio.run(calls(cluster))


def test_appends_need_no_number_where_any_bucket_is_right(tmp_path: Path) -> None:
    """Rows of a table without a bucket key may be in any bucket; with one, readers expect them in theirs."""

    async def codes(cluster: LocalCluster, name: str) -> list[int]:
        async with rpc_client(cluster.bootstrap_servers) as client:
            path = table_path(name)
            info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
            listed = await client.call(ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=path))
            return [
                await refusal(
                    client,
                    ApiKey.PRODUCE_LOG,
                    info.table_id,
                    {"partition_id": partition.partition_id, "bucket_id": 1, "routing_bucket_count": count},
                )
                for partition in listed.partitions_info
                for count in (None, partition.bucket_count)
            ]

    with LocalCluster(tmp_path / "data", grpc=True) as cluster:
        run = Fluss(cluster, tmp_path)
        altered(run, "anywhere", "")
        run("create-table", KEYED.format("by_id", "").replace("'2'", "'2', 'bucket.key' = 'id'"))
        run.put("by_id", "old")
        run("alter-table", "by_id", "--set", "bucket.num=4")
        assert asyncio.run(codes(cluster, "anywhere")) == [0, 0, 0, 0]
        assert asyncio.run(codes(cluster, "by_id")) == [ErrorCode.INVALID_BUCKET_ROUTING, 0]


async def refusal(client: RpcClient, key: ApiKey, table_id: int, bucket: dict[str, Any]) -> int:
    """The code that a call about a bucket gets, 0 for none."""
    request: Any
    entry: Any
    if key is ApiKey.LOOKUP:
        request = pb.LookupRequest(table_id=table_id, buckets_req=[pb.PbLookupReqForBucket(**bucket, keys=[b"k"])])
    elif key is ApiKey.PREFIX_LOOKUP:
        entry = pb.PbPrefixLookupReqForBucket(**bucket, keys=[b"k"])
        request = pb.PrefixLookupRequest(table_id=table_id, buckets_req=[entry])
    elif key is ApiKey.PUT_KV:
        entry = pb.PbPutKvReqForBucket(**bucket, records=b"")
        request = pb.PutKvRequest(acks=-1, table_id=table_id, timeout_ms=1000, buckets_req=[entry])
    elif key is ApiKey.PRODUCE_LOG:
        records = bytes(build_batch(1, change_types=None, payload=b"", record_count=0))
        entry = pb.PbProduceLogReqForBucket(**bucket, records=records)
        request = pb.ProduceLogRequest(acks=-1, table_id=table_id, timeout_ms=1000, buckets_req=[entry])
    elif key is ApiKey.FETCH_LOG:
        entry = pb.PbFetchLogReqForBucket(**bucket, fetch_offset=0, max_fetch_bytes=1 << 20)
        table = pb.PbFetchLogReqForTable(table_id=table_id, projection_pushdown_enabled=False, buckets_req=[entry])
        request = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1 << 20, tables_req=[table])
    elif key is ApiKey.LIMIT_SCAN:
        request = pb.LimitScanRequest(table_id=table_id, **bucket, limit=1)
    else:
        scan = pb.PbScanReqForBucket(table_id=table_id, **bucket)
        request = pb.ScanKvRequest(bucket_scan_req=scan, call_seq_id=0, batch_size_bytes=1000)
    response: Any = await client.call(key, request)
    if key is ApiKey.FETCH_LOG:
        response = response.tables_resp[0]
    parts = response.buckets_resp if hasattr(response, "buckets_resp") else [response]
    return int(parts[0].error_code)
