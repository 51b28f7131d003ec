"""The frame reader gives the same frames however the stream is cut, and survives any bytes."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.errors import FlussError
from fluss_server.rpc.frames import RECEIVE_BUFFER_SIZE, FrameReader, parse_error, parse_response

MAX_FRAME = 3 * RECEIVE_BUFFER_SIZE
sizes = st.one_of(
    st.integers(8, 64), st.integers(4000, 4200), st.integers(RECEIVE_BUFFER_SIZE - 8, RECEIVE_BUFFER_SIZE + 8),
    st.integers(8, MAX_FRAME),
)  # fmt: skip


def feed(reader: FrameReader, data: bytes, cuts: list[int]) -> list[bytes]:
    """Receive ``data`` in pieces of the given sizes, over and over, and take every frame."""
    frames: list[bytes] = []
    rest = memoryview(data)
    step = 0
    while rest:
        buffer = reader.get_buffer()
        count = min(len(buffer), len(rest), cuts[step % len(cuts)])
        assert count > 0
        buffer[:count], rest = rest[:count], rest[count:]
        reader.received(count)
        step += 1
        while (frame := reader.next_frame()) is not None:
            frames.append(bytes(frame))
    return frames


@settings(max_examples=examples(30))
@given(st.lists(sizes, max_size=8), st.lists(st.integers(1, 100_000), min_size=1, max_size=6))
def test_any_cut_gives_the_same_frames(lengths: list[int], cuts: list[int]) -> None:
    bodies = [bytes((index + 1,)) * length for index, length in enumerate(lengths)]
    stream = b"".join(struct.pack(">i", len(body)) + body for body in bodies)
    reader = FrameReader(MAX_FRAME, 8)
    assert feed(reader, stream, cuts) == bodies
    assert reader.idle


@settings(max_examples=examples(100))
@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_frames_or_an_error(data: bytes, cut: int) -> None:
    reader = FrameReader(200, 8)
    try:
        frames = feed(reader, data, [cut])
    except FlussError:
        return
    assert sum(len(frame) + 4 for frame in frames) <= len(data)
    assert all(8 <= len(frame) <= 200 for frame in frames)


@settings(max_examples=examples(100))
@given(st.binary(max_size=60))
def test_any_bytes_are_a_response_or_an_error(data: bytes) -> None:
    try:
        response = parse_response(data)
    except FlussError:
        return
    assert isinstance(parse_error(response.body), FlussError)
