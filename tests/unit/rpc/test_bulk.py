"""Hand-written codecs: vectors, no copies, and the bytes that protobuf would make."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.bulk import (
    FetchLogResponseBuilder,
    LookupResponseBuilder,
    encode_limit_scan_response,
    encode_scan_kv_response,
    parse_produce_log,
    parse_put_kv,
)
from fluss_server.rpc.frames import Piece, piece_size
from fluss_server.runtime.disk import FileRegion
from fluss_server.runtime.system_disk import SystemFile
from vectors_loader import load


def joined(pieces: list[Piece]) -> bytes:
    return b"".join(piece.read() if isinstance(piece, FileRegion) else piece for piece in pieces)


def bodies(key: ApiKey, direction: str) -> list[bytes]:
    """Message bodies of one API in the recorded conversation and the single frames."""
    cases = load("rpc_frames")["frames"] + load("rpc_conversation_pyfluss")["frames"]
    header = 12 if direction == "request" else 9
    return [
        bytes.fromhex(case["frame"])[header:]
        for case in cases
        if case["direction"] == direction and case.get("api_key") == key and not case.get("response_type")
    ]


def test_recorded_produce_requests() -> None:
    recorded = bodies(ApiKey.PRODUCE_LOG, "request")
    assert recorded
    for body in recorded:
        message = pb.ProduceLogRequest.FromString(body)
        request = parse_produce_log(body)
        assert (request.acks, request.table_id, request.timeout_ms) == (
            message.acks,
            message.table_id,
            message.timeout_ms,
        )
        assert [(None, bucket.bucket_id, bytes(bucket.records)) for bucket in message.buckets_req] == [
            (bucket.partition_id, bucket.bucket_id, bytes(bucket.records)) for bucket in request.buckets
        ]


def test_recorded_put_requests() -> None:
    recorded = bodies(ApiKey.PUT_KV, "request")
    assert recorded
    for body in recorded:
        message = pb.PutKvRequest.FromString(body)
        request = parse_put_kv(body)
        assert (request.acks, request.table_id, request.timeout_ms, request.agg_mode) == (
            message.acks,
            message.table_id,
            message.timeout_ms,
            message.agg_mode,
        )
        assert request.target_columns == list(message.target_columns)
        assert [bytes(bucket.records) for bucket in request.buckets] == [b.records for b in message.buckets_req]
    assert any(parse_put_kv(body).target_columns for body in recorded)


def test_records_are_views_of_the_frame() -> None:
    message = pb.ProduceLogRequest(acks=1, table_id=2, timeout_ms=3)
    message.buckets_req.add(bucket_id=0, records=b"R" * 1000)
    message.buckets_req.add(bucket_id=1, partition_id=2**40, records=b"")
    frame = bytearray(message.SerializeToString())
    first, second = parse_produce_log(frame).buckets
    frame[frame.index(b"R")] = ord("X")
    assert bytes(first.records[:2]) == b"XR"
    assert (second.partition_id, second.bucket_id, len(second.records)) == (2**40, 1, 0)


@pytest.mark.parametrize("field", ["acks", "table_id", "timeout_ms"])
def test_required_fields_of_requests(field: str) -> None:
    for message, parse in (
        (pb.ProduceLogRequest(acks=1, table_id=2, timeout_ms=3), parse_produce_log),
        (pb.PutKvRequest(acks=1, table_id=2, timeout_ms=3), parse_put_kv),
    ):
        parse(message.SerializePartialToString())
        message.ClearField(field)  # type: ignore[arg-type]
        with pytest.raises(FlussError) as raised:
            parse(message.SerializePartialToString())
        assert raised.value.code is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("field", ["bucket_id", "records"])
def test_required_fields_of_buckets(field: str) -> None:
    message = pb.ProduceLogRequest(acks=1, table_id=2, timeout_ms=3)
    message.buckets_req.add(bucket_id=1, records=b"x").ClearField(field)  # type: ignore[arg-type]
    with pytest.raises(FlussError) as raised:
        parse_produce_log(message.SerializePartialToString())
    assert raised.value.code is ErrorCode.CORRUPT_MESSAGE


def test_recorded_fetch_responses_are_built_again() -> None:
    recorded = bodies(ApiKey.FETCH_LOG, "response")
    assert recorded
    for body in recorded:
        message = pb.FetchLogResponse.FromString(body)
        builder = FetchLogResponseBuilder()
        for table in message.tables_resp:
            builder.table(table.table_id)
            for bucket in table.buckets_resp:
                assert not bucket.HasField("error_code")
                builder.data(
                    bucket.bucket_id,
                    high_watermark=bucket.high_watermark,
                    log_start_offset=bucket.log_start_offset,
                    records=[bucket.records],
                )
        assert joined(builder.pieces()) == body


def test_fetch_response_equals_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(bytes(range(256)) * 10)
    file = SystemFile(path, read_only=True)
    expected = pb.FetchLogResponse()
    builder = FetchLogResponseBuilder()
    for table_id in (0, 300, 2**40):
        table = expected.tables_resp.add(table_id=table_id)
        builder.table(table_id)
        table.buckets_resp.add(bucket_id=0, high_watermark=-1, log_start_offset=0, records=b"")
        builder.data(0, high_watermark=-1, log_start_offset=0)
        table.buckets_resp.add(
            partition_id=7,
            bucket_id=1,
            high_watermark=2**50,
            log_start_offset=5,
            records=path.read_bytes()[10:2000] + b"ab",
        )
        region = FileRegion(file, 10, 1990)
        builder.data(
            1,
            partition_id=7,
            high_watermark=2**50,
            log_start_offset=5,
            records=[region, memoryview(b"a"), bytearray(b"b")],
        )
        table.buckets_resp.add(bucket_id=2, error_code=-1, error_message="\N{SNOWMAN}")
        builder.error(2, -1, "\N{SNOWMAN}")
        table.buckets_resp.add(partition_id=7, bucket_id=200, error_code=19)
        builder.error(200, 19, None, partition_id=7)
    pieces = builder.pieces()
    assert joined(pieces) == expected.SerializeToString()
    assert sum(map(piece_size, pieces)) == expected.ByteSize()
    assert sum(isinstance(piece, FileRegion) for piece in pieces) == 3
    assert len(pieces) == 3 * 4 + 1  # small fields in a row are one piece
    assert builder.records_size == 3 * 1992


def test_an_empty_fetch_response() -> None:
    assert FetchLogResponseBuilder().pieces() == []


@pytest.mark.parametrize("is_log_table", [True, False])
def test_limit_scan_response_equals_protobuf(is_log_table: bool) -> None:
    pieces = encode_limit_scan_response(is_log_table=is_log_table, records=[b"abc", memoryview(b"d" * 300)])
    expected = pb.LimitScanResponse(is_log_table=is_log_table, records=b"abc" + b"d" * 300)
    assert joined(pieces) == expected.SerializeToString()


@pytest.mark.parametrize("log_offset", [None, 0, 2**40])
@pytest.mark.parametrize("more", [True, False])
def test_scan_kv_response_equals_protobuf(more: bool, log_offset: int | None) -> None:
    pieces = encode_scan_kv_response(scanner_id=b"id", has_more_results=more, records=[b"rows"], log_offset=log_offset)
    expected = pb.ScanKvResponse(scanner_id=b"id", has_more_results=more, records=b"rows")
    if log_offset is not None:
        expected.log_offset = log_offset
    assert pb.ScanKvResponse.FromString(joined(pieces)) == expected


def test_lookup_response_is_what_protobuf_makes() -> None:
    values = [
        None,
        b"",
        b"v",
        bytes(127),
        bytes(128),
        bytes(20_000),
        None,
        b"v",
        *(bytes(size) for size in range(5_000)),
    ]
    builder = LookupResponseBuilder(64 << 20)
    builder.values(3, values)
    builder.error(4, 39, "no such bucket")
    builder.values(0, [b"x"], partition_id=2**40)
    builder.error(1, 7, "", partition_id=5)
    builder.values(2, [])
    message = pb.LookupResponse()
    entry = message.buckets_resp.add(bucket_id=3)
    for value in values:
        entry.values.add(values=value)
    message.buckets_resp.add(bucket_id=4, error_code=39, error_message="no such bucket")
    message.buckets_resp.add(bucket_id=0, partition_id=2**40).values.add(values=b"x")
    message.buckets_resp.add(bucket_id=1, partition_id=5, error_code=7, error_message="")
    message.buckets_resp.add(bucket_id=2)
    assert joined(builder.pieces()) == message.SerializeToString()


@pytest.mark.parametrize(
    "values",
    [
        [b"the only one"],
        [bytes(20_000)],
        [None],
        [b"one of two", None],
        [b"", b"one of three", b""],
        [bytes((number,)) * (1 + number % 3) for number in range(100)],
        [b"", *([b"many of one size"] * 20), b"last"],
        [*([b"one is absent"] * 20), None, b"last"],
        [*([b"one is long"] * 20), bytes(20_000), b"last"],
    ],
)
def test_one_and_many_values_of_a_lookup_response(values: list[bytes | None]) -> None:
    for _ in range(2):  # sizes that are met for the first time, and that are known
        builder = LookupResponseBuilder(64 << 20)
        builder.values(3, values, partition_id=7)
        message = pb.LookupResponse()
        entry = message.buckets_resp.add(bucket_id=3, partition_id=7)
        for value in values:
            entry.values.add(values=value)
        assert joined(builder.pieces()) == message.SerializeToString()


def test_long_values_of_a_lookup_response_are_bounded() -> None:
    builder = LookupResponseBuilder(250_000)
    builder.values(1, [bytes(100_000), b"short"])
    builder.values(2, [bytes(100_000)])
    with pytest.raises(FlussError) as refused:
        builder.values(3, [bytes(25_000), bytes(25_000)])
    assert refused.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    builder.error(3, int(refused.value.code), str(refused.value))
    builder.values(4, [bytes(25_000)])
    response = pb.LookupResponse.FromString(joined(builder.pieces()))
    assert [(bucket.bucket_id, len(bucket.values)) for bucket in response.buckets_resp] == [
        (1, 2),
        (2, 1),
        (3, 0),
        (4, 1),
    ]


def test_long_values_are_not_copied_into_a_lookup_response() -> None:
    long = bytes(100_000)
    values = [b"first", None, long, b"between", long, None, b"last"]
    builder = LookupResponseBuilder(64 << 20)
    builder.values(3, values)
    builder.values(4, [b"short"], partition_id=7)
    builder.values(5, [long])
    message = pb.LookupResponse()
    entry = message.buckets_resp.add(bucket_id=3)
    for value in values:
        entry.values.add(values=value)
    message.buckets_resp.add(bucket_id=4, partition_id=7).values.add(values=b"short")
    message.buckets_resp.add(bucket_id=5).values.add(values=long)
    pieces = builder.pieces()
    assert joined(pieces) == message.SerializeToString()
    assert [piece is long for piece in pieces].count(True) == 3
    assert len(pieces) == 6
    assert builder.size_bytes >= 3 * len(long)
