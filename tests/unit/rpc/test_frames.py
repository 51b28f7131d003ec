"""Frames: golden vectors in both directions, and the reader's corners."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import API_SPECS, ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.frames import (
    LENGTH_SIZE,
    RECEIVE_BUFFER_SIZE,
    REQUEST_HEADER_SIZE,
    FrameReader,
    ResponseType,
    error_frame,
    failure_frame,
    parse_error,
    parse_request_header,
    parse_response,
    request_prefix,
    success_prefix,
)
from vectors_loader import load

FRAMES = load("rpc_frames")["frames"]
CONVERSATION = load("rpc_conversation_pyfluss")["frames"]


def body_of(frame: bytes) -> bytes:
    (length,) = struct.unpack_from(">i", frame)
    assert length == len(frame) - LENGTH_SIZE
    return frame[LENGTH_SIZE:]


def message_class(case: dict[str, Any]) -> Any:
    if case["direction"] == "response" and case["response_type"] != ResponseType.SUCCESS:
        return pb.ErrorResponse
    if "message" in case:
        return getattr(pb, case["message"])
    spec = API_SPECS[ApiKey(case["api_key"])]
    return spec.request if case["direction"] == "request" else spec.response


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: f"{case['name']} {case['direction']}")
def test_vector_frames_both_ways(case: dict[str, Any]) -> None:
    frame = bytes.fromhex(case["frame"])
    header_size = REQUEST_HEADER_SIZE if case["direction"] == "request" else 5 if "request_id" in case else 1
    protobuf = bytes.fromhex(case["protobuf"]) if "protobuf" in case else frame[LENGTH_SIZE + header_size :]
    message = message_class(case).FromString(protobuf)
    assert message.IsInitialized()
    assert message.SerializeToString() == protobuf
    body = body_of(frame)
    if case["direction"] == "request":
        header = case["api_key"], case["api_version"], case["request_id"]
        assert parse_request_header(body) == header
        assert body[REQUEST_HEADER_SIZE:] == protobuf
        assert request_prefix(*header, len(protobuf)) + protobuf == frame
        return
    response = parse_response(body)
    assert response.type == case["response_type"]
    assert response.request_id == case.get("request_id")
    assert response.body == protobuf
    if response.type is ResponseType.SUCCESS:
        assert success_prefix(case["request_id"], len(protobuf)) + protobuf == frame
        return
    error = parse_error(response.body)
    assert error.code == case["error_code"]
    text = message.error_message if message.HasField("error_message") else None
    if response.type is ResponseType.ERROR:
        assert error_frame(case["request_id"], error.code, text) == frame
    else:
        assert failure_frame(error.code, text) == frame


def test_conversation_both_ways() -> None:
    for case in CONVERSATION:
        frame = bytes.fromhex(case["frame"])
        body = body_of(frame)
        if case["direction"] == "request":
            header = parse_request_header(body)
            assert header == (case["api_key"], case["api_version"], case["request_id"])
            payload = body[REQUEST_HEADER_SIZE:]
            again = request_prefix(*header, len(payload)) + payload
        else:
            response = parse_response(body)
            assert (response.type, response.request_id) == (case["response_type"], case["request_id"])
            payload = bytes(response.body)
            if response.type is ResponseType.SUCCESS:
                again = success_prefix(case["request_id"], len(payload)) + payload
            else:
                error = pb.ErrorResponse.FromString(payload)
                again = error_frame(case["request_id"], error.error_code, error.error_message)
        assert again == frame
        message = message_class(case).FromString(payload)
        assert message.IsInitialized()
        assert message_class(case).FromString(message.SerializeToString()) == message


def test_the_whole_conversation_as_one_stream() -> None:
    frames = [bytes.fromhex(case["frame"]) for case in CONVERSATION]
    reader = FrameReader(1 << 20, 1)
    assert read_all(reader, b"".join(frames), chunk=1000) == [frame[LENGTH_SIZE:] for frame in frames]
    assert reader.idle


def read_all(reader: FrameReader, data: bytes, chunk: int) -> list[bytes]:
    """Feed ``data`` in pieces of at most ``chunk`` bytes and take every frame."""
    found = []
    position = 0
    while position < len(data):
        buffer = reader.get_buffer()
        count = min(chunk, len(buffer), len(data) - position)
        assert count, "no room to receive"
        buffer[:count] = data[position : position + count]
        position += count
        reader.received(count)
        while (frame := reader.next_frame()) is not None:
            found.append(bytes(frame))
    return found


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize("chunk", [1, 7, 4096, 1 << 20])
def test_sizes_around_the_receive_buffer(chunk: int) -> None:
    sizes = [
        8,
        4091,
        4092,
        4093,
        9,
        RECEIVE_BUFFER_SIZE - 1,
        RECEIVE_BUFFER_SIZE,
        RECEIVE_BUFFER_SIZE + 1,
        8,
        200_000,
        8,
    ]
    bodies = [bytes([index % 251]) * size for index, size in enumerate(sizes)]
    reader = FrameReader(1 << 20, 8)
    assert read_all(reader, b"".join(map(framed, bodies)), chunk) == bodies


def test_a_long_frame_has_memory_of_its_own() -> None:
    reader = FrameReader(1 << 20, 8)
    frames = []
    for filler in (b"a", b"b"):
        data = framed(filler * 100_000)
        while data:
            buffer = reader.get_buffer()
            count = min(len(buffer), len(data))
            buffer[:count], data = data[:count], data[count:]
            reader.received(count)
            if (frame := reader.next_frame()) is not None:
                frames.append(frame)
    assert [bytes(frame) for frame in frames] == [b"a" * 100_000, b"b" * 100_000]
    assert all(isinstance(frame, memoryview) and not frame.readonly for frame in frames)


def test_frames_may_be_left_for_later() -> None:
    reader = FrameReader(1 << 20, 8)
    data = framed(b"12345678") * 3
    reader.get_buffer()[: len(data)] = data
    reader.received(len(data))
    assert not reader.idle
    assert [reader.next_frame() for _ in range(4)] == [b"12345678"] * 3 + [None]
    assert reader.idle


@pytest.mark.parametrize(
    ("announced", "code"),
    [
        (101, ErrorCode.RECORD_TOO_LARGE_EXCEPTION),
        (2**31 - 1, ErrorCode.RECORD_TOO_LARGE_EXCEPTION),
        (-1, ErrorCode.RECORD_TOO_LARGE_EXCEPTION),
        (-(2**31), ErrorCode.RECORD_TOO_LARGE_EXCEPTION),
        (7, ErrorCode.CORRUPT_MESSAGE),
        (0, ErrorCode.CORRUPT_MESSAGE),
    ],
)
def test_bad_lengths(announced: int, code: ErrorCode) -> None:
    for extra in (b"", bytes(200)):
        reader = FrameReader(100, 8)
        data = struct.pack(">i", announced) + extra
        reader.get_buffer()[: len(data)] = data
        reader.received(len(data))
        with pytest.raises(FlussError) as raised:
            reader.next_frame()
        assert raised.value.code is code


@pytest.mark.parametrize("frame", [b"", b"\x00", b"\x01\x00\x00\x00", b"\x03\x00\x00\x00\x00", b"\xff\x00\x00\x00\x00"])
def test_bad_responses(frame: bytes) -> None:
    with pytest.raises(FlussError) as raised:
        parse_response(frame)
    assert raised.value.code is ErrorCode.CORRUPT_MESSAGE


def test_errors_of_a_newer_or_broken_peer_stay_readable() -> None:
    newer = parse_error(pb.ErrorResponse(error_code=9999, error_message="new").SerializeToString())
    assert newer.code is ErrorCode.UNKNOWN_SERVER_ERROR
    assert "9999" in newer.message
    assert parse_error(b"\xff\xff").code is ErrorCode.CORRUPT_MESSAGE
    plain = parse_error(pb.ErrorResponse(error_code=7).SerializeToString())
    assert (plain.code, plain.message) == (ErrorCode.TABLE_NOT_EXIST, "TABLE_NOT_EXIST")


@pytest.mark.parametrize("first", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n"])
def test_clients_of_http_are_recognized(first: bytes) -> None:
    reader = FrameReader(100 << 20, 8)
    reader.get_buffer()[: len(first)] = first
    reader.received(len(first))
    with pytest.raises(FlussError) as raised:
        reader.next_frame()
    assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    assert "is connected to the port of the native protocol; gRPC has a port of its own" in str(raised.value.hint)


def test_a_response_must_fit_a_frame() -> None:
    with pytest.raises(FlussError) as raised:
        success_prefix(1, 2**31 - 5)
    assert raised.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION


def test_errors_quote_text_that_cannot_be_encoded() -> None:
    """JSON can hold half a surrogate pair, UTF-8 cannot."""
    for frame in (error_frame(1, ErrorCode.INVALID_TABLE_EXCEPTION, "no column \ud800"), failure_frame(15, "\udfff")):
        error = parse_error(parse_response(frame[LENGTH_SIZE:]).body)
        assert error.code is ErrorCode.INVALID_TABLE_EXCEPTION
        assert "\\ud" in error.message
