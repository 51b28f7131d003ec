"""The wire-format scanner against the protobuf runtime, on valid, mutated and random bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.api import messages as pb
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.bulk import parse_produce_log, parse_put_kv
from fluss_server.rpc.wire import as_int32, as_int64, read_varint, varint

int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def bucket_fields(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {"bucket_id": draw(int32), "records": draw(st.binary(max_size=200))}
    if draw(st.booleans()):
        fields["partition_id"] = draw(int64)
    if draw(st.booleans()):
        fields["routing_bucket_count"] = draw(int32)
    if draw(st.booleans()):
        fields["original_partition_name"] = draw(st.text(max_size=5))
    return fields


@st.composite
def produce_requests(draw: st.DrawFn) -> bytes:
    message = pb.ProduceLogRequest(acks=draw(int32), table_id=draw(int64), timeout_ms=draw(int32))
    for fields in draw(st.lists(bucket_fields(), max_size=4)):
        message.buckets_req.add(**fields)
    return message.SerializeToString()


@st.composite
def put_requests(draw: st.DrawFn) -> bytes:
    message = pb.PutKvRequest(acks=draw(int32), table_id=draw(int64), timeout_ms=draw(int32))
    message.target_columns.extend(draw(st.lists(int32, max_size=4)))
    if draw(st.booleans()):
        message.agg_mode = draw(int32)
    for fields in draw(st.lists(bucket_fields(), max_size=4)):
        message.buckets_req.add(**fields)
    return message.SerializeToString()


def expected_of(message_class: Any, body: bytes) -> tuple[Any, ...] | None:
    """What the runtime reads, None where it refuses."""
    try:
        message = message_class.FromString(body)
    except DecodeError:
        return None
    if not message.IsInitialized():
        return None
    buckets = [
        (bucket.partition_id if bucket.HasField("partition_id") else None, bucket.bucket_id, bucket.records)
        for bucket in message.buckets_req
    ]
    rest: tuple[Any, ...] = ()
    if message_class is pb.PutKvRequest:
        rest = (list(message.target_columns), message.agg_mode)
    return message.table_id, message.acks, message.timeout_ms, buckets, *rest


def found_in(parse: Callable[[bytes], Any], body: bytes) -> tuple[Any, ...] | None:
    try:
        request = parse(body)
    except FlussError as error:
        if error.code is not ErrorCode.CORRUPT_MESSAGE:
            raise
        return None
    buckets = [(bucket.partition_id, bucket.bucket_id, bytes(bucket.records)) for bucket in request.buckets]
    rest: tuple[Any, ...] = ()
    if parse is parse_put_kv:
        rest = (request.target_columns, request.agg_mode)
    return request.table_id, request.acks, request.timeout_ms, buckets, *rest


def check(body: bytes) -> None:
    assert found_in(parse_produce_log, body) == expected_of(pb.ProduceLogRequest, body)
    assert found_in(parse_put_kv, body) == expected_of(pb.PutKvRequest, body)


@settings(max_examples=examples(75))
@given(st.one_of(produce_requests(), put_requests()))
def test_valid_requests(body: bytes) -> None:
    check(body)


@settings(max_examples=examples(200))
@given(
    st.one_of(produce_requests(), put_requests()),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3),
    st.one_of(st.none(), st.integers(0, 10_000)),
    st.binary(max_size=20),
)
def test_mutated_requests(body: bytes, changes: list[tuple[int, int]], cut: int | None, tail: bytes) -> None:
    data = bytearray(body)
    for position, value in changes:
        if data:
            data[position % len(data)] = value
    if cut is not None:
        del data[cut % (len(data) + 1) :]
    check(bytes(data) + tail)


@settings(max_examples=examples(200))
@given(st.binary(max_size=40))
@example(b"\x08" + b"\xff" * 9 + b"\x7f\x10\x01\x18\x01")  # bits above the 64th are dropped
@example(b"\x08" + b"\xff" * 10 + b"\x01\x10\x01\x18\x01")  # eleven bytes are too many
@example(b"\x88\x80\x80\x80\x00\x01\x10\x01\x18\x01")  # a tag of five bytes
@example(b"\x88\x80\x80\x80\x80\x00\x01\x10\x01\x18\x01")  # a tag of six bytes
@example(b"\x08\x01\x10\x01\x18\x01\x4b\x08\x01\x4c")  # a group that nobody knows
@example(b"\x08\x01\x10\x01\x18\x01\x4b\x53\x54\x08\x01\x4c")  # one inside another
@example(b"\x08\x01\x10\x01\x18\x01\x4b\x08\x01")  # an open group
@example(b"\x08\x01\x10\x01\x18\x01\x4c")  # the end of no group
@example(b"\x08\x01\x10\x01\x18\x01\x22\xff\xff\xff\xff\x7fabc")  # a length beyond 32 bits
@example(b"\x08\x01\x10\x01\x18\x01\x22\x02\x80\x80")  # packed numbers that are cut off
@example(b"\x08\x01\x10\x01\x18\x01\x49\x00\x00\x00\x00\x00\x00\x00\x00\x4d\x00\x00\x00\x00")  # fixed sizes
def test_random_bytes(body: bytes) -> None:
    check(body)


def test_a_length_of_six_bytes_is_refused() -> None:
    """As protobuf 7 does; 5.29 takes it. No encoder writes one."""
    assert found_in(parse_put_kv, b"\x08\x01\x10\x01\x18\x01\x22\x83\x80\x80\x80\x80\x00abc") is None


@settings(max_examples=examples(100))
@given(int64)
def test_varints(value: int) -> None:
    encoded = varint(value)
    read, position = read_varint(memoryview(encoded), 0, len(encoded))
    assert (as_int64(read), position) == (value, len(encoded))
    assert as_int32(read) == as_int32(value & (2**64 - 1))
    if -(2**31) <= value < 2**31:
        assert as_int32(read) == value
        assert b"\x08" + encoded == pb.ErrorResponse(error_code=value).SerializeToString()
