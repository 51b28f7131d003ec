"""Headers of log batches against golden vectors, and how broken ones are refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.aligned_row import AlignedRowCodec
from fluss_server.formats.log_batch import (
    HEADER_SIZE_V0,
    ChangeType,
    build_batch,
    crc_matches,
    has_more_batches,
    iter_batches,
    parse_header,
    stamp,
)

FILES = ("log_arrow_0_9_1", "log_arrow_1_0_0", "log_rows_0_9_1", "log_pyfluss_1_0_0")
ALL = [(f"{name}/{case['name']}", case) for name in FILES for case in vectors.load(name)["cases"]]
OLD_MAGIC_1 = [(name, case) for name, case in ALL if "0.9.1 layout" in name]
CASES = [(name, case) for name, case in ALL if "0.9.1 layout" not in name]
FIELDS = (
    "base_offset",
    "last_offset",
    "magic",
    "commit_timestamp",
    "schema_id",
    "append_only",
    "writer_id",
    "batch_sequence",
    "record_count",
    "size",
)


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    header = parse_header(data)
    assert {name: getattr(header, name) for name in FIELDS} == {name: case[name] for name in FIELDS}
    assert header.crc == case["crc32c"]
    assert header.next_offset == case.get("next_offset", case["last_offset"] + 1)
    assert header.leader_epoch == case.get("leader_epoch", -1)
    assert crc_matches(data, 0, header)
    shifted = memoryview(b"123" + data)
    assert parse_header(shifted, 3) == header
    assert crc_matches(shifted, 3, header)


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_building_and_stamping_give_the_same_bytes(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    header = parse_header(data)
    if header.magic == 0:
        change_types = None if header.append_only else b""
        if case["log_format"] == "ARROW" and change_types is not None:
            change_types = data[header.header_size : header.payload_offset]
        start = header.header_size + len(change_types or b"")
        built = build_batch(
            header.schema_id,
            change_types=change_types,
            payload=data[start:],
            record_count=header.record_count,
            writer_id=header.writer_id,
            batch_sequence=header.batch_sequence,
        )
    else:
        built = bytearray(data)
        stamp(built, 0, parse_header(built), 0, 0, -1)
    new_header = parse_header(built)
    stamp(built, 0, new_header, header.base_offset, header.commit_timestamp, header.leader_epoch)
    assert built == data
    assert new_header == header


@pytest.mark.parametrize("case", [case for _, case in OLD_MAGIC_1], ids=[name for name, _ in OLD_MAGIC_1])
def test_magic_1_of_0_9_1_is_never_taken_for_the_layout_of_1_0(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    try:
        header = parse_header(data)
    except FlussError:
        return
    assert not crc_matches(data, 0, header)


STATISTICS = [case for case in vectors.load("log_arrow_1_0_0")["cases"] if case["statistics_length"]]


@pytest.mark.parametrize("case", STATISTICS, ids=vectors.case_names(STATISTICS))
def test_records_start_behind_the_statistics(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    header = parse_header(data)
    schema = vectors.schema_of(case["schema"])
    statistics = data[header.header_size - case["statistics_length"] : header.header_size]
    version, count = struct.unpack_from("<bh", statistics)
    assert version == 1
    assert list(struct.unpack_from(f"<{count}h", statistics, 3)) == case["statistics"]["columns"]
    assert list(struct.unpack_from(f"<{count}i", statistics, 3 + 2 * count)) == case["statistics"]["null_counts"]
    types = [schema.types[index] for index in case["statistics"]["columns"]]
    position = 3 + 6 * count
    for name in ("min", "max"):
        (size,) = struct.unpack_from("<i", statistics, position)
        row = AlignedRowCodec(types).decode(statistics[position + 4 : position + 4 + size])
        expected = [vectors.value_of(v, kind) for v, kind in zip(case["statistics"][name], types, strict=True)]
        assert vectors.comparable(row) == vectors.comparable(expected)
        position += 4 + size
    assert position == len(statistics)


def segment() -> tuple[bytes, list[dict[str, Any]]]:
    case = vectors.load("segment_files")["case"]
    (data,) = [
        bytes.fromhex(text) for name, text in case["files_after_roll_and_close"].items() if name.endswith(".log")
    ]
    return data, case["batches"]


def test_iterating_a_segment() -> None:
    data, expected = segment()
    found = [
        {
            "base_offset": header.base_offset,
            "last_offset": header.last_offset,
            "commit_timestamp": header.commit_timestamp,
            "position": position,
            "size": header.size,
        }
        for position, header in iter_batches(data)
    ]
    assert found == expected
    assert all(crc_matches(data, position, header) for position, header in iter_batches(data))


def test_iteration_stops_at_a_batch_that_is_cut_off() -> None:
    data, expected = segment()
    ends = [batch["position"] + batch["size"] for batch in expected]
    for size in range(0, len(data), 7):
        assert len(list(iter_batches(data[:size]))) == sum(end <= size for end in ends)


def test_counting_batches_up_to_a_limit() -> None:
    data, expected = segment()
    count = len(expected)
    assert count > 2
    assert not has_more_batches(data, count)
    assert has_more_batches(data, count - 1)
    assert not has_more_batches(data[:-1], count - 1), "the last one is cut off"
    assert not has_more_batches(b"", 0)
    assert not has_more_batches(bytes(1000), 3), "a length that no batch has"


def good_batch() -> bytearray:
    return build_batch(3, change_types=bytes([1, 4]), payload=b"payload", record_count=2, writer_id=7, batch_sequence=9)


def test_a_new_batch() -> None:
    batch = good_batch()
    header = parse_header(batch)
    assert (header.schema_id, header.writer_id, header.batch_sequence) == (3, 7, 9)
    assert (header.record_count, header.last_offset_delta, header.append_only) == (2, 1, False)
    assert bytes(batch[header.payload_offset :]) == b"payload"
    assert crc_matches(batch, 0, header)


def test_an_empty_batch_takes_one_offset() -> None:
    batch = build_batch(1, change_types=b"", payload=b"ignored", record_count=0)
    header = parse_header(batch)
    assert len(batch) == HEADER_SIZE_V0
    assert header.next_offset == 1
    assert not header.append_only


def test_stamping_a_memoryview_keeps_the_crc() -> None:
    buffer = bytearray(b"--") + good_batch()
    header = parse_header(buffer, 2)
    stamp(memoryview(buffer), 2, header, 1000, 1_700_000_000_000)
    assert parse_header(buffer, 2) == header
    assert header.last_offset == 1001
    assert crc_matches(buffer, 2, header)


def test_any_changed_byte_behind_the_crc_is_noticed() -> None:
    batch = good_batch()
    for position in range(21, len(batch)):
        changed = bytearray(batch)
        changed[position] ^= 0x10
        try:
            header = parse_header(changed)
        except FlussError:
            continue
        assert not crc_matches(changed, 0, header)


@pytest.mark.parametrize(
    ("position", "layout", "value"),
    [
        (8, "<i", 35),  # one byte too short for the header
        (8, "<i", -1),
        (12, "<b", 3),
        (12, "<b", -1),
        (28, "<i", -1),
        (44, "<i", -5),
        (44, "<i", 10),  # more change types than bytes
        (44, "<i", 2**31 - 1),
    ],
)
def test_absurd_headers(position: int, layout: str, value: int) -> None:
    batch = good_batch()
    struct.pack_into(layout, batch, position, value)
    with pytest.raises(FlussError) as caught:
        parse_header(batch)
    assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_negative_or_huge_statistics() -> None:
    case = STATISTICS[0]
    for length in (-1, 2**31 - 1):
        data = bytearray.fromhex(case["bytes"])
        struct.pack_into("<i", data, 48, length)
        with pytest.raises(FlussError) as caught:
            parse_header(data)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_short_buffers() -> None:
    for name in ("arrow/v0", "arrow/v1", "arrow/v2"):
        (case, *_) = [case for case in vectors.load("log_arrow_1_0_0")["cases"] if case["name"].startswith(name)]
        data = bytes.fromhex(case["bytes"])
        for size in range(48 + 4 * case["magic"]):
            with pytest.raises(FlussError):
                parse_header(data[:size])


def test_change_types() -> None:
    assert [kind.value for kind in ChangeType] == [0, 1, 2, 3, 4]
