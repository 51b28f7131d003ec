"""The bytes of the embedded store's file, and what is a torn tail and what is damage."""

from __future__ import annotations

import random
import struct

import pytest

from fluss_server.formats.crc import crc32c
from fluss_server.metadata.journal import (
    FRAME_HEADER_SIZE,
    HEADER_SIZE,
    JournalDamaged,
    encode_file,
    encode_header,
    encode_transaction,
    read_file,
)
from fluss_server.metadata.store import Node

Changes = list[tuple[str, Node | None]]

BASE = [("/a", Node(b"1", 3)), ("/a/b", Node(b"", 0))]
FIRST: Changes = [("/c", Node("é".encode(), 0)), ("/a/b", None)]
SECOND: Changes = [("/c", Node(b"v" * 300, 1))]


def file_of(*transactions: Changes) -> tuple[bytes, list[int]]:
    """A file with a base and transactions, and the position where each of them starts."""
    data, next_id = encode_file(BASE, 10)
    starts = []
    for changes in transactions:
        starts.append(len(data))
        data += encode_transaction(next_id, changes)
        next_id += 1
    return data, starts


def test_round_trip() -> None:
    data, _ = file_of(FIRST, [], SECOND)
    contents = read_file(data)
    assert contents.transactions == [BASE, FIRST, [], SECOND]
    assert contents.end == len(data)
    assert contents.next_id == 14


def test_empty_file() -> None:
    data, next_id = encode_file([], 1)
    assert len(data) == HEADER_SIZE
    assert next_id == 1
    contents = read_file(data)
    assert contents.transactions == []


def test_a_large_base_is_split() -> None:
    nodes = [(f"/{number:03}", Node(bytes(100), 0)) for number in range(100)]
    data, next_id = encode_file(nodes, 1, chunk_bytes=1000)
    assert next_id == 11
    assert [entry for changes in read_file(data).transactions for entry in changes] == nodes


def test_a_tail_cut_at_any_byte_is_a_torn_tail() -> None:
    data, starts = file_of(FIRST, SECOND)
    for end in range(starts[1], len(data)):
        contents = read_file(data[:end])
        assert contents.transactions == [BASE, FIRST]
        assert contents.end == starts[1]
        assert contents.next_id == 12


@pytest.mark.parametrize("filler", [b"\0", b"\xff", None])
def test_a_tail_of_which_any_part_was_not_written_is_a_torn_tail(filler: bytes | None) -> None:
    data, starts = file_of(FIRST, SECOND)
    random_bytes = random.Random(1).randbytes
    for start in range(starts[1], len(data) - 8, 7):
        rest = len(data) - start
        tail = random_bytes(rest) if filler is None else filler * rest
        assert read_file(data[:start] + tail).end == starts[1]


def test_damage_at_any_byte_before_the_last_frame_is_refused() -> None:
    data, starts = file_of(FIRST, SECOND)
    for position in range(starts[1]):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(JournalDamaged):
            read_file(bytes(damaged))


def test_a_cut_inside_the_base_is_refused() -> None:
    data, _ = file_of()
    for end in range(len(data)):
        with pytest.raises(JournalDamaged):
            read_file(data[:end])


def test_a_missing_transaction_is_refused() -> None:
    data, starts = file_of(FIRST, SECOND)
    with pytest.raises(JournalDamaged, match="transaction 12 instead of 11"):
        read_file(data[: starts[0]] + data[starts[1] :])


def test_a_newer_format_is_named() -> None:
    header = struct.pack("<8sIQQ", b"FLSMETA\xff", 2, 36, 1)
    with pytest.raises(JournalDamaged, match="format version 2"):
        read_file(header + struct.pack("<I", crc32c(header)))


def test_values_that_hold_frames_stay_values() -> None:
    """Journal bytes of a torn transaction may contain anything but a whole good frame outside of UTF-8 text."""
    text = encode_transaction(12, SECOND).decode("latin-1").encode()
    data, starts = file_of(FIRST, [("/c", Node(text, 1))])
    assert read_file(data[:-1]).end == starts[1]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x07\x01\x00\x00\x00/",
        b"\x01\x01\x00\x00\x00/",
        b"\x02\xff\xff\xff\xff/a",
        b"\x02\x02\x00\x00\x00/\xff",
        b"\x02\x02\x00\x00\x00a/",
        b"\x01\x02\x00\x00\x00/a\x00\x00\x00\x00\xff\x00\x00\x00",
    ],
)
def test_malformed_entries_with_a_good_checksum_are_refused(payload: bytes) -> None:
    frame = struct.pack("<4sIQI", b"\xffTX1", len(payload), 1, crc32c(struct.pack("<IQ", len(payload), 1) + payload))
    with pytest.raises(JournalDamaged, match="malformed"):
        read_file(encode_header(HEADER_SIZE, 1) + frame + payload)


def test_sizes() -> None:
    assert HEADER_SIZE == 32
    assert FRAME_HEADER_SIZE == 20
    with pytest.raises(ValueError, match="limit"):
        encode_transaction(1, [(f"/{number}", Node(bytes(1 << 20), 0)) for number in range(65)])
