"""Three tablet servers over real sockets: rows are copied, a lost leader is replaced, and nothing is missing."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.rpc.client import RpcClient
from fluss_server.tablet import fetch_group, replica_fetcher
from fluss_server.tablet.replication_protocol import FetchFrom, follower_fetch_request
from kv_support import INT, STRING, encode_key, make_schema, make_table
from replicated_cluster import ALL, Cluster, cluster, figures, until
from rpc_support import async_test
from table_rpc import arrow_log_batch, table_path

KEYED = make_schema({"id": INT, "v": STRING}, ["id"])
PLAIN = Schema(KEYED.columns, (), highest_field_id=1)


def produce_request(table_id: int, first: int, *, acks: int = -1) -> Any:
    """Two rows."""
    batch = arrow_log_batch(PLAIN, [[first, first + 1], ["x", "y"]])
    request = pb.ProduceLogRequest(acks=acks, table_id=table_id, timeout_ms=10_000)
    request.buckets_req.add(bucket_id=0, records=batch)
    return request


async def produce(running: Cluster, table_id: int, first: int, *, acks: int = -1) -> Any:
    bucket = TableBucket(table_id, None, 0)
    response = await running.call_leader(bucket, ApiKey.PRODUCE_LOG, produce_request(table_id, first, acks=acks))
    return response.buckets_resp[0]


@async_test
async def test_rows_are_copied_byte_for_byte_and_survive_their_leader(tmp_path: Path) -> None:
    async with cluster(tmp_path, min_in_sync_replicas_number="2") as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        for number in range(0, 10, 2):
            assert not (await produce(running, table_id, number)).HasField("error_code")
        first = running.leader_of(bucket)
        await until(lambda: all(running.log_of(server, bucket).end_offset == 10 for server in ALL))
        contents = {running.content_of(server, bucket) for server in ALL}
        assert len(contents) == 1
        await running.lose_server(first)
        await until(lambda: running.has_other_leader(bucket, first))
        second = running.leader_of(bucket)
        assert running.tablets[second].server.replicas.replica(bucket).high_watermark.value == 10
        assert not (await produce(running, table_id, 10)).HasField("error_code")
        await running.start_server(first)
        await until(lambda: running.isr_of(bucket) == set(ALL))
        await until(lambda: running.log_of(first, bucket).end_offset == 12)
        assert running.content_of(first, bucket) == running.content_of(second, bucket)


@async_test
async def test_a_replica_cuts_what_only_it_has(tmp_path: Path) -> None:
    """What a leader wrote without its followers is gone when another one has gone on."""
    async with cluster(tmp_path) as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        await produce(running, table_id, 0)
        first = running.leader_of(bucket)
        followers = [server for server in ALL if server != first]
        for server in followers:  # they fetch no more until they have another leader
            running.pause_follower(server, bucket)
        assert not (await produce(running, table_id, 100, acks=1)).HasField("error_code")
        assert running.log_of(first, bucket).end_offset == 4
        await running.lose_server(first)
        await until(lambda: running.leader_of(bucket) in followers)
        assert not (await produce(running, table_id, 2)).HasField("error_code")
        await running.start_server(first)
        await until(lambda: running.isr_of(bucket) == set(ALL))
        await until(lambda: running.log_of(first, bucket).end_offset == 4)
        assert len({running.content_of(server, bucket) for server in ALL}) == 1


@async_test
async def test_writes_need_enough_replicas(tmp_path: Path) -> None:
    async with cluster(tmp_path, min_in_sync_replicas_number="3") as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        assert not (await produce(running, table_id, 0)).HasField("error_code")
        lost = next(server for server in ALL if server != running.leader_of(bucket))
        await running.lose_server(lost)
        await until(lambda: len(running.isr_of(bucket)) == 2)
        leader = running.tablets[running.leader_of(bucket)].server.replicas.replica(bucket)
        await until(lambda: leader.followers is not None and len(leader.followers.isr.members) == 2)
        refused = await produce(running, table_id, 2)
        assert refused.error_code == ErrorCode.NOT_ENOUGH_REPLICAS_EXCEPTION
        assert leader.log.end_offset == 2, "nothing was appended"
        assert not (await produce(running, table_id, 2, acks=1)).HasField("error_code"), "the leader alone has it"
        assert leader.high_watermark.value == 2, "nobody reads it"
        await running.start_server(lost)
        await until(lambda: leader.high_watermark.value == 4)


@async_test
async def test_a_lagging_follower_leaves_the_isr_and_comes_back(tmp_path: Path) -> None:
    async with cluster(tmp_path, max_lag_time="300 ms") as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        await produce(running, table_id, 0)
        leader = running.leader_of(bucket)
        slow = next(server for server in ALL if server != leader)
        follower = running.pause_follower(slow, bucket)
        assert not (await produce(running, table_id, 2)).HasField("error_code"), "acknowledged when it has left"
        assert slow not in running.isr_of(bucket)
        assert figures(running, leader)["tabletserver_underReplicated"] == 1
        running.tablets[slow].server.replicas._roles.begin_to_fetch(follower)
        await until(lambda: running.isr_of(bucket) == set(ALL))
        isr = running.tablets[leader].server.isr
        assert (isr.shrinks, isr.expansions) == (1, 1)
        shown = figures(running, leader)
        assert shown["tabletserver_isrShrinksPerSecond"] == shown["tabletserver_isrExpandsPerSecond"] == 1
        assert shown["tabletserver_underReplicated"] == shown["tabletserver_underMinIsr"] == 0
        assert (shown["tabletserver_leaderCount"], shown["tabletserver_replicaCount"]) == (1, 1)
        assert figures(running, slow)["tabletserver_leaderCount"] == 0


@async_test
async def test_fetches_that_wait_for_long_get_rows_at_once_and_keep_their_followers_in_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_fetcher, "GROUP_BUCKETS", 2)
    monkeypatch.setattr(fetch_group, "QUIET_ROUNDS", 1)
    waits = {"log.replica.fetch.wait-max-time": "800 ms"}
    async with cluster(
        tmp_path, min_in_sync_replicas_number="3", max_silence_time="1500 ms", other_options=waits
    ) as running:
        tables = [await running.create(f"t{number}", PLAIN, buckets=8) for number in range(4)]
        buckets = [TableBucket(table, None, number) for table in tables for number in range(8)]

        def silent_for_long() -> bool:
            """Whether most fetches have been waiting for longer than members of the ISR may be silent."""
            leaders = [replica for server in ALL for replica in running.tablets[server].server.replicas.leaders()]
            progress = [each for leader in leaders if leader.followers for each in leader.followers._progress.values()]
            now = running.runtime.clock.monotonic()
            return sum(now - each._fetch_s > 1.6 for each in progress) > len(buckets)

        await until(silent_for_long)
        for bucket in buckets:
            begin = asyncio.get_running_loop().time()
            batch = arrow_log_batch(PLAIN, [[1, 2], ["x", "y"]])
            request = pb.ProduceLogRequest(acks=-1, table_id=bucket.table_id, timeout_ms=10_000)
            request.buckets_req.add(bucket_id=bucket.bucket, records=batch)
            response = await running.call_leader(bucket, ApiKey.PRODUCE_LOG, request)
            assert not response.buckets_resp[0].HasField("error_code")
            assert asyncio.get_running_loop().time() - begin < 0.7, "followers were not woken"
        assert [running.tablets[server].server.isr.shrinks for server in ALL] == [0, 0, 0]


@async_test
async def test_a_leader_lets_fetches_wait_only_as_long_as_followers_may_lag(tmp_path: Path) -> None:
    async with cluster(tmp_path, max_lag_time="9 s", max_silence_time="300 ms") as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        await produce(running, table_id, 0)
        leader = running.leader_of(bucket)
        other = next(server for server in ALL if server != leader)
        endpoint = running.tablets[leader].endpoint("INTERNAL")

        async def waited(server: int) -> float:
            """Seconds for which a fetch of a follower waits that has everything, and would wait for a minute."""
            replica = running.tablets[leader].server.replicas.leader(bucket)
            assert replica.followers is not None
            fetch = FetchFrom(bucket, replica.followers.leader_epoch, replica.log.end_offset)
            request = follower_fetch_request(
                server, [fetch], max_bytes=1000, max_bucket_bytes=1000, wait_ms=60_000, min_bytes=1
            )
            begin = asyncio.get_running_loop().time()
            async with await RpcClient.connect(endpoint.host, endpoint.port) as client:
                await client.call(ApiKey.FETCH_LOG, request)
            return asyncio.get_running_loop().time() - begin

        await until(lambda: running.isr_of(bucket) == set(ALL))
        assert 2.5 < await waited(other) < 6.0, "a third of the time"
        running.pause_follower(other, bucket)
        await produce(running, table_id, 2)
        assert other not in running.isr_of(bucket)
        assert 0.5 < await waited(other) < 2.5, "it is not in sync"


@async_test
async def test_the_rows_of_a_primary_key_table_are_built_again_by_the_next_leader(tmp_path: Path) -> None:
    table = make_table(KEYED)
    rows = row_codec(KEYED.types, KvFormat.COMPACTED)
    async with cluster(tmp_path, min_in_sync_replicas_number="2") as running:
        table_id = await running.create("k", KEYED, properties={"table.kv.standby-replica.enabled": "false"})
        bucket = TableBucket(table_id, None, 0)

        async def put(key: int, value: str) -> None:
            batch = build_kv_batch(1, [(encode_key(table, (key,)), rows.encode((key, value)))])
            request = pb.PutKvRequest(acks=-1, table_id=table_id, timeout_ms=10_000)
            request.buckets_req.add(bucket_id=0, records=batch)
            response = await running.call_leader(bucket, ApiKey.PUT_KV, request)
            assert not response.buckets_resp[0].HasField("error_code"), response

        async def look_up(key: int) -> Any:
            request = pb.LookupRequest(table_id=table_id)
            request.buckets_req.add(bucket_id=0, keys=[encode_key(table, (key,))])
            response = await running.call_leader(bucket, ApiKey.LOOKUP, request)
            found = response.buckets_resp[0]
            assert not found.HasField("error_code"), found
            return rows.decode(found.values[0].values[2:])[1]

        for number in range(20):
            await put(number % 5, f"first {number}")
        for _ in range(2):
            leader = running.leader_of(bucket)
            followers = [server for server in running.tablets if server != leader]
            assert all(running.follower(server, bucket).kv_file_bytes == 0 for server in followers)
            await running.lose_server(leader)
            await until(partial(running.has_other_leader, bucket, leader))
            assert await look_up(4) in ("first 19", "again 4")
            await running.start_server(leader)
            await until(lambda: running.isr_of(bucket) == set(ALL))
            await put(4, "again 4")
            assert await look_up(4) == "again 4"
        row_count = running.tablets[running.leader_of(bucket)].server.replicas.replica(bucket).row_count
        assert row_count == 5


@async_test
async def test_a_client_cannot_fetch_as_a_follower(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        await produce(running, table_id, 0)
        request = pb.FetchLogRequest(follower_server_id=2, max_bytes=1 << 20)
        table = request.tables_req.add(table_id=table_id, projection_pushdown_enabled=False)
        table.buckets_req.add(bucket_id=0, fetch_offset=0, max_fetch_bytes=1 << 20)
        node = running.tablets[running.leader_of(bucket)]
        client_side, between = node.endpoint("CLIENT"), node.endpoint("INTERNAL")
        async with await RpcClient.connect(client_side.host, client_side.port) as client:
            assert await refused(client.call(ApiKey.FETCH_LOG, request)) is ErrorCode.AUTHORIZATION_EXCEPTION
        async with await RpcClient.connect(between.host, between.port) as client:
            found = (await client.call(ApiKey.FETCH_LOG, request)).tables_resp[0].buckets_resp[0]
            assert found.error_code == ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION, "it names no leader epoch"
        response = await running.call_leader(
            bucket, ApiKey.GET_METADATA, pb.MetadataRequest(table_path=[table_path("t")])
        )
        assert len(response.table_metadata[0].bucket_metadata[0].replica_id) == 3


@async_test
async def test_a_replica_that_catches_up_does_not_take_everything(tmp_path: Path) -> None:
    """Four megabytes at one a second; rows that are written meanwhile do not wait for it."""
    limit = {"log.replica.catch-up.bytes-per-second": "1mb"}
    async with cluster(tmp_path, other_options=limit) as running:
        table_id = await running.create("t", PLAIN)
        bucket = TableBucket(table_id, None, 0)
        await produce(running, table_id, 0)
        lost = next(server for server in ALL if server != running.leader_of(bucket))
        await running.lose_server(lost)
        await until(lambda: lost not in running.isr_of(bucket))
        random = Random(1)
        for number in range(4):
            batch = arrow_log_batch(PLAIN, [[number], [random.randbytes(500_000).hex()]])
            request = pb.ProduceLogRequest(acks=-1, table_id=table_id, timeout_ms=10_000)
            request.buckets_req.add(bucket_id=0, records=batch)
            await running.call_leader(bucket, ApiKey.PRODUCE_LOG, request)
        clock = asyncio.get_running_loop().time
        await running.start_server(lost)

        def end() -> int:
            replicas = running.tablets[lost].server.replicas.replicas()
            return next((replica.log.end_offset for replica in replicas if replica.bucket == bucket), 0)

        await until(lambda: end() > 2)
        begin = clock()
        assert not (await produce(running, table_id, 2)).HasField("error_code")
        assert end() < 6, "it is not waited for"
        await until(lambda: end() == 8)
        assert clock() - begin > 1.2
        await until(lambda: running.isr_of(bucket) == set(ALL))
