"""What followers and leaders send each other survives its way over the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from error_support import code_of
from fluss_server.api import messages as pb
from fluss_server.api.own_messages import message_class
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.leader_epochs import EpochStart
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.follower_replica import LeaderLog
from fluss_server.rpc.bulk import FetchLogResponseBuilder, parse_fetch_log_response
from fluss_server.tablet.replication_protocol import (
    NO_EPOCH,
    FetchFrom,
    FollowerFetch,
    bucket_of,
    error_code,
    follower_fetch_request,
    leader_epochs_request,
    leader_epochs_response,
    read_leader_epochs,
)

PLAIN, PARTITIONED = TableBucket(5, None, 1), TableBucket(6, 8, 0)

ids = st.integers(0, 2**40)
buckets = st.builds(TableBucket, ids, st.none() | ids, st.integers(0, 2**31 - 1))
fetches = st.lists(st.builds(FetchFrom, buckets, st.integers(0, 2**31 - 1), ids), max_size=8)


@given(fetches)
def test_a_fetch_names_leader_epochs_that_official_servers_skip(sent: list[FetchFrom]) -> None:
    request = follower_fetch_request(3, sent, max_bytes=10, max_bucket_bytes=5, wait_ms=7, min_bytes=1)
    received = pb.FetchLogRequest.FromString(request.SerializeToString())
    assert (received.follower_server_id, received.max_bytes, received.max_wait_ms, received.min_bytes) == (3, 10, 7, 1)
    found = []
    for table in received.tables_req:
        for entry in table.buckets_req:
            partition = entry.partition_id if entry.HasField("partition_id") else None
            found.append((TableBucket(table.table_id, partition, entry.bucket_id), entry.fetch_offset))
    assert found == [(fetch.bucket, fetch.offset) for fetch in sent]
    assert FollowerFetch.read(received) == (None, tuple(fetch.leader_epoch for fetch in sent), None)


def test_a_fetch_names_the_incarnation_of_its_server() -> None:
    sent = [FetchFrom(PLAIN, 4, 7)]
    request = follower_fetch_request(
        3, sent, max_bytes=10, max_bucket_bytes=5, wait_ms=7, min_bytes=1, incarnation="started at noon"
    )
    received = pb.FetchLogRequest.FromString(request.SerializeToString())
    assert received.max_wait_ms == 7
    assert FollowerFetch.read(received) == ("started at noon", (4,), None)


@pytest.mark.parametrize("disk_full", [True, False, None])
def test_a_fetch_tells_how_the_disk_of_its_server_is(disk_full: bool | None) -> None:
    sent = [FetchFrom(PLAIN, 4, 7)]
    request = follower_fetch_request(
        3, sent, max_bytes=10, max_bucket_bytes=5, wait_ms=7, min_bytes=1, disk_full=disk_full
    )
    received = pb.FetchLogRequest.FromString(request.SerializeToString())
    assert FollowerFetch.read(received) == (None, (4,), disk_full)


def test_a_fetch_of_an_official_follower_names_none() -> None:
    request = pb.FetchLogRequest(follower_server_id=3, max_bytes=1)
    table = request.tables_req.add(table_id=1, projection_pushdown_enabled=False)
    for number in range(2):
        table.buckets_req.add(bucket_id=number, fetch_offset=0, max_fetch_bytes=1)
    assert FollowerFetch.read(request) == (None, (NO_EPOCH, NO_EPOCH), None)


def test_leader_epochs() -> None:
    request = leader_epochs_request(3, [(PLAIN, 4, False), (PARTITIONED, 9, True)])
    received = message_class("LeaderEpochsRequest").FromString(request.SerializeToString())
    assert [(bucket_of(entry), entry.leader_epoch) for entry in received.buckets] == [(PLAIN, 4), (PARTITIONED, 9)]
    assert [entry.storage_failed for entry in received.buckets] == [False, True]
    log = LeaderLog((EpochStart(0, 0), EpochStart(4, 17)), 3, 20)
    lost = FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "no")
    response = leader_epochs_response([(PLAIN, log), (PARTITIONED, lost)])
    found = read_leader_epochs(message_class("LeaderEpochsResponse").FromString(response.SerializeToString()))
    assert found[PLAIN] == log
    error = found[PARTITIONED]
    assert isinstance(error, FlussError)
    assert error.code is ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize(
    "log",
    [
        LeaderLog((EpochStart(4, 0), EpochStart(3, 5)), 0, 9),
        LeaderLog((EpochStart(3, 5), EpochStart(4, 5)), 0, 9),
        LeaderLog((EpochStart(3, 10),), 0, 9),
        LeaderLog((EpochStart(3, 0),), 9, 8),
    ],
)
def test_a_history_that_cannot_be_is_an_error_of_its_bucket(log: LeaderLog) -> None:
    found = read_leader_epochs(leader_epochs_response([(PLAIN, log)]))[PLAIN]
    assert isinstance(found, FlussError)
    assert found.code is ErrorCode.CORRUPT_MESSAGE


def test_unknown_errors() -> None:
    assert error_code(12) is ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert error_code(12_345) is ErrorCode.UNKNOWN_SERVER_ERROR


@given(st.lists(st.tuples(buckets, ids, ids, st.binary(max_size=40)), max_size=6))
def test_a_response_is_read_without_copying(sent: list[tuple[TableBucket, int, int, bytes]]) -> None:
    builder = FetchLogResponseBuilder()
    for bucket, high_watermark, start, records in sent:
        builder.table(bucket.table_id)
        builder.data(
            bucket.bucket,
            partition_id=bucket.partition_id,
            high_watermark=high_watermark,
            log_start_offset=start,
            records=[records],
        )
        builder.error(bucket.bucket, 12, "no leader", partition_id=bucket.partition_id)
    body = b"".join(piece if isinstance(piece, bytes) else bytes(piece) for piece in builder.pieces())  # type: ignore[arg-type]
    results = parse_fetch_log_response(body)
    assert len(results) == 2 * len(sent)
    for (bucket, high_watermark, start, records), read, failed in zip(sent, results[::2], results[1::2], strict=True):
        assert TableBucket(read.table_id, read.partition_id, read.bucket_id) == bucket
        assert (read.error_code, read.high_watermark, read.log_start_offset) == (0, high_watermark, start)
        assert bytes(read.records) == records
        assert (failed.error_code, failed.error_message, len(failed.records)) == (12, "no leader", 0)


def test_bytes_that_are_no_response() -> None:
    assert code_of(lambda: parse_fetch_log_response(b"\x0a\x02\x12\x00")) is ErrorCode.CORRUPT_MESSAGE
    assert code_of(lambda: parse_fetch_log_response(b"\x0a\x04\x08\x01\x12\x00")) is ErrorCode.CORRUPT_MESSAGE
    assert code_of(lambda: parse_fetch_log_response(b"\x0a\x40")) is ErrorCode.CORRUPT_MESSAGE
