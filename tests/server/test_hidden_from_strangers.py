"""A user without any permission learns nothing, disturbs nobody, and cannot guess passwords for long."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.grpc_server.client import GrpcClient
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster
from table_rpc import COLUMNS, descriptor, table_path

MISSING_ID = 4711
OPTIONS = {
    "security.protocol.map": "FLUSS:SASL",
    "security.sasl.plain.credentials": "root:root_pass,nobody:nobody_pass",
    "authorizer.enabled": "true",
    "super.users": "User:root",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    directory = tmp_path_factory.mktemp("parent") / "new" / "data"
    with LocalCluster(directory, options=OPTIONS, grpc=True) as running:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        yield running


def three_rows() -> bytes:
    """An upsert of ids 1 to 3: null bits, id, text."""
    return bytes(build_kv_batch(1, [(bytes((n,)), b"\x00" + bytes((n,)) + b"\x01x") for n in (1, 2, 3)]))


async def connect(cluster: LocalCluster, user: str) -> RpcClient:
    return await RpcClient.connect("127.0.0.1", cluster.port, authentication=(user, f"{user}_pass"))


async def outcome(client: RpcClient, key: ApiKey, request: Any) -> str:
    """What the client is told, as text."""
    try:
        return str(await client.call(key, request))
    except FlussError as error:
        return f"{error.code} {error}"


async def prepare(root: RpcClient) -> tuple[int, int, int]:
    """Ids of a primary-key table, of a partitioned one and of its partition."""
    create = pb.CreateDatabaseRequest(database_name="secret", ignore_if_exists=True)
    await root.call(ApiKey.CREATE_DATABASE, create)
    day = {"name": "p", "data_type": {"type": "STRING"}, "id": 2}
    daily = descriptor(schema={"version": 1, "columns": [*COLUMNS, day], "highest_field_id": 2}, partition_key=["p"])
    ids = []
    for name, document in (("keyed", descriptor(["id"])), ("daily", daily)):
        path = table_path(name, "secret")
        await root.call(
            ApiKey.CREATE_TABLE,
            pb.CreateTableRequest(table_path=path, table_json=json.dumps(document).encode(), ignore_if_exists=True),
        )
        info = await root.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path))
        ids.append(info.table_id)
    spec = pb.PbPartitionSpec(partition_key_values=[pb.PbKeyValue(key="p", value="x")])
    await root.call(
        ApiKey.CREATE_PARTITION,
        pb.CreatePartitionRequest(
            table_path=table_path("daily", "secret"), partition_spec=spec, ignore_if_not_exists=True
        ),
    )
    infos = await root.call(
        ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=table_path("daily", "secret"))
    )
    return ids[0], ids[1], infos.partitions_info[0].partition_id


def requests_about(database: str, table: str, table_id: int, partition_id: int) -> dict[ApiKey | str, Any]:
    path = table_path(table, database)
    fetch = pb.FetchLogRequest(follower_server_id=-1, max_bytes=1000)
    fetched = fetch.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
    fetched.buckets_req.add(bucket_id=0, fetch_offset=0, max_fetch_bytes=100)
    lookup = pb.LookupRequest(table_id=table_id)
    lookup.buckets_req.add(bucket_id=0, keys=[b"k"])
    partitions = pb.MetadataRequest()
    partitions.partitions_path.add(database_name=database, table_name=table, partition_name="x")
    return {
        ApiKey.DATABASE_EXISTS: pb.DatabaseExistsRequest(database_name=database),
        ApiKey.GET_DATABASE_INFO: pb.GetDatabaseInfoRequest(database_name=database),
        ApiKey.LIST_TABLES: pb.ListTablesRequest(database_name=database),
        ApiKey.TABLE_EXISTS: pb.TableExistsRequest(table_path=path),
        ApiKey.GET_TABLE_INFO: pb.GetTableInfoRequest(table_path=path),
        ApiKey.GET_TABLE_SCHEMA: pb.GetTableSchemaRequest(table_path=path),
        ApiKey.LIST_PARTITION_INFOS: pb.ListPartitionInfosRequest(table_path=path),
        ApiKey.GET_METADATA: pb.MetadataRequest(table_path=[path]),
        "partitions": partitions,
        "partition ids": pb.MetadataRequest(partitions_id=[partition_id]),
        ApiKey.FETCH_LOG: fetch,
        ApiKey.LOOKUP: lookup,
        ApiKey.LIMIT_SCAN: pb.LimitScanRequest(table_id=table_id, bucket_id=0, limit=1),
        ApiKey.LIST_OFFSETS: pb.ListOffsetsRequest(
            follower_server_id=-1, table_id=table_id, bucket_id=[0], offset_type=1
        ),
        ApiKey.GET_TABLE_STATS: pb.GetTableStatsRequest(table_id=table_id),
        ApiKey.DROP_TABLE: pb.DropTableRequest(table_path=path, ignore_if_not_exists=True),
        ApiKey.DROP_DATABASE: pb.DropDatabaseRequest(database_name=database, ignore_if_not_exists=True, cascade=False),
    }


def test_responses_are_the_same_whether_something_exists_or_not(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with await connect(cluster, "root") as root, await connect(cluster, "nobody") as nobody:
            _, table_id, partition_id = await prepare(root)
            real = requests_about("secret", "daily", table_id, partition_id)
            missing = requests_about("nowhere", "absent", MISSING_ID, MISSING_ID)
            for what, request in real.items():
                key = what if isinstance(what, ApiKey) else ApiKey.GET_METADATA
                seen = await outcome(nobody, key, request)
                expected = await outcome(nobody, key, missing[what])
                for ours, theirs in (
                    ("secret", "nowhere"),
                    ("daily", "absent"),
                    (f"id {table_id}", f"id {MISSING_ID}"),
                    (f"id {partition_id}", f"id {MISSING_ID}"),
                    (f"table_id: {table_id}", f"table_id: {MISSING_ID}"),
                ):
                    if theirs not in ("nowhere", "absent") or what not in ("partition ids", ApiKey.LIST_OFFSETS):
                        seen = seen.replace(ours, theirs)
                assert seen == expected, what
                assert "daily" not in seen

    asyncio.run(run())


def test_the_scan_of_another_is_unknown(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with await connect(cluster, "root") as root, await connect(cluster, "nobody") as nobody:
            table_id, _, _ = await prepare(root)
            put = pb.PutKvRequest(acks=1, table_id=table_id, timeout_ms=10_000)
            put.buckets_req.add(bucket_id=0, records=three_rows())
            response = await root.call(ApiKey.PUT_KV, put)
            assert not response.buckets_resp[0].HasField("error_code"), response
            scan = pb.PbScanReqForBucket(table_id=table_id, bucket_id=0)
            opened = await root.call(
                ApiKey.SCAN_KV, pb.ScanKvRequest(bucket_scan_req=scan, batch_size_bytes=1, call_seq_id=0)
            )
            scanner_id = opened.scanner_id
            assert opened.has_more_results
            for request in (
                pb.ScanKvRequest(scanner_id=scanner_id, call_seq_id=1, batch_size_bytes=100),
                pb.ScanKvRequest(scanner_id=scanner_id, close_scanner=True, batch_size_bytes=100),
            ):
                response = await nobody.call(ApiKey.SCAN_KV, request)
                assert not response.records
                if not request.close_scanner:
                    assert response.error_code == ErrorCode.UNKNOWN_SCANNER_ID
            request = pb.ScanKvRequest(scanner_id=scanner_id, call_seq_id=1, batch_size_bytes=100)
            assert (await root.call(ApiKey.SCAN_KV, request)).records, "it goes on for the one that opened it"

    asyncio.run(run())


def test_places_of_producers_need_permission(cluster: LocalCluster) -> None:
    async def run() -> None:
        async with await connect(cluster, "nobody") as nobody:
            for request in (
                pb.RegisterProducerOffsetsRequest(producer_id="job"),
                pb.RegisterProducerOffsetsRequest(producer_id="job", ttl_ms=2**62),
            ):
                with pytest.raises(FlussError) as refused:
                    await nobody.call(ApiKey.REGISTER_PRODUCER_OFFSETS, request)
                assert refused.value.code is ErrorCode.AUTHORIZATION_EXCEPTION
            selection = pb.PbAclFilter(resource_type=1, operation_type=1, permission_type=1)
            with pytest.raises(FlussError) as refused:
                await nobody.call(ApiKey.DROP_ACLS, pb.DropAclsRequest(acl_filter=[selection]))
            assert refused.value.code is ErrorCode.AUTHORIZATION_EXCEPTION

    asyncio.run(run())


def test_guesses_are_slowed_down_over_both_protocols(cluster: LocalCluster) -> None:
    async def guess(user: str) -> str:
        with pytest.raises(FlussError) as refused:
            await RpcClient.connect("127.0.0.1", cluster.port, authentication=(user, "guess"))
        assert refused.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
        return refused.value.message

    async def run() -> list[str]:
        return list(await asyncio.gather(*(guess(f"user{number}") for number in range(60))))

    started = time.monotonic()
    answers = asyncio.run(run())
    assert time.monotonic() - started < 20
    checked = [answer for answer in answers if "Invalid username or password" in answer]
    slowed = [answer for answer in answers if "too many failed attempts" in answer]
    assert len(checked) <= 25
    assert len(checked) + len(slowed) == 60
    address = f"127.0.0.1:{cluster.grpc_port}"
    request = pb.DatabaseExistsRequest(database_name="fluss")
    grpc_answers = []
    for number in range(5):
        with GrpcClient(address, user=f"g{number}", password="guess") as stranger, pytest.raises(FlussError) as refused:
            stranger.call(ApiKey.DATABASE_EXISTS, request)
        grpc_answers.append(refused.value.message)
    assert any("too many failed attempts" in answer for answer in grpc_answers)
    with GrpcClient(address, user="nobody", password="nobody_pass") as known:
        known.call(ApiKey.DATABASE_EXISTS, request)
    assert cluster.log.count("an authentication from") <= 20
    assert "Traceback" not in cluster.log
