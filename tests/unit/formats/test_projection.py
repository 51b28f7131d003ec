"""Projection of Arrow batches: against what an official server returned, and for every type."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_message import build_metadata, parse_message
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.log_batch import build_batch, iter_batches, parse_header
from fluss_server.formats.null_columns import null_columns
from fluss_server.formats.projection import BatchProjector, TableProjector, check_projection
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression
from fluss_server.model.types import DataType, TypeRoot

CASES = vectors.load("log_projection_0_9_1")["cases"]
INPUTS = {case["name"]: case["input"] for case in CASES if "input" in case}


def project(projector: BatchProjector | TableProjector, data: bytes) -> bytes:
    """All batches of some bytes, projected."""
    out = b""
    for position, header in iter_batches(data):
        out += b"".join(projector.project(memoryview(data)[position : position + header.size], header))
    return out


def rows_of(data: bytes, schema: Schema) -> list[list[tuple[Any, ...]]]:
    found = []
    for position, header in iter_batches(data):
        _, batch = decode_batch(data[position : position + header.size], header, arrow_schema(schema))
        columns = [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
        found.append(list(zip(*columns, strict=True)))
    return found


def sub_schema(schema: Schema, fields: tuple[int, ...]) -> Schema:
    return Schema(tuple(schema.columns[index] for index in fields))


@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case.get("input") or INPUTS[case["input_same_as"]])
    expected = bytes.fromhex(case["output"])
    schema = vectors.schema_of(case["schema"])
    fields = tuple(case["projected_fields"])
    output = project(BatchProjector(schema, fields), data)
    narrow = sub_schema(schema, fields)
    wanted = [tuple(vectors.row_of(row, schema)[index] for index in fields) for row in case["rows_of_batch_0"]]
    assert rows_of(output, narrow) == [
        wanted,
        [],
        [wanted[index] for index in case["rows_of_batch_2_are_batch_0_rows"]],
    ]
    ours, theirs = list(iter_batches(output)), list(iter_batches(expected))
    assert len(ours) == len(theirs)
    for (our_position, our), (their_position, their) in zip(ours, theirs, strict=True):
        assert our.crc == their.crc  # the stale one
        our_batch = output[our_position : our_position + our.size]
        their_batch = expected[their_position : their_position + their.size]
        if our.record_count:
            one = parse_message(our_batch, our.payload_offset, our.size)
            other = parse_message(their_batch, their.payload_offset, their.size)
            assert (one.nodes, one.buffers, one.codec) == (other.nodes, other.buffers, other.codec)
            assert our_batch[one.body_position :] == their_batch[other.body_position :]
            assert (
                our_batch[our.header_size : our.payload_offset] == their_batch[their.header_size : their.payload_offset]
            )
        our.size = their.size  # the metadata may be laid out in another way
        assert our == their


PROJECTABLE = [
    case
    for name in ("log_arrow_0_9_1", "log_arrow_1_0_0", "log_pyfluss_1_0_0")
    for case in vectors.load(name)["cases"]
    if len(case["schema"]) > 1 and "0.9.1 layout" not in case["name"]
]


@pytest.mark.parametrize("case", PROJECTABLE, ids=vectors.case_names(PROJECTABLE))
def test_every_writer_and_type(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    schema = vectors.schema_of(case["schema"])
    rows = [vectors.row_of(row, schema) for row in case["rows"]]
    count = len(schema.columns)
    some: set[tuple[int, ...]] = {(index,) for index in range(count)}
    some |= {tuple(range(count)), tuple(range(0, count, 2)), tuple(range(1, count, 2)), (0, count - 1)}
    for fields in some:
        output = project(BatchProjector(schema, fields), data)
        wanted = [tuple(row[index] for index in fields) for row in rows]
        assert vectors.comparable(rows_of(output, sub_schema(schema, fields))[0]) == vectors.comparable(wanted)
        header, original = parse_header(output), parse_header(data)
        assert header.size == len(output)
        assert (header.magic, header.base_offset, header.last_offset) == (
            original.magic,
            original.base_offset,
            original.last_offset,
        )
        statistics_length = header.header_size - (48, 52, 56)[header.magic]
        assert statistics_length == 0 or header.record_count == 0


@pytest.mark.parametrize("compression", list(ArrowCompression))
def test_newer_columns_of_older_batches_are_null(compression: ArrowCompression) -> None:
    """Every type, in a batch that a client of the first schema wrote."""
    types = {json.dumps(field["json"]) for case in PROJECTABLE for field in case["schema"]}
    newer = [{"name": f"c{index}", "json": json.loads(kind)} for index, kind in enumerate(sorted(types))]
    assert len(newer) > 20
    old = vectors.schema_of([{"name": "a", "json": {"type": "INTEGER"}}, {"name": "b", "json": {"type": "STRING"}}])
    new = Schema(
        old.columns + tuple(replace(c, type=c.type.with_nullable(True)) for c in vectors.schema_of(newer).columns)
    )
    batch = pa.record_batch([pa.array([1, 2], pa.int32()), pa.array(["x", None])], schema=arrow_schema(old))
    payload = encode_payload(batch, compression)
    data = bytes(build_batch(1, change_types=bytes([3, 2]), payload=payload, record_count=2))
    count = len(new.columns)
    for fields in [tuple(range(count)), (1, 5, count - 1), *((index,) for index in range(count))]:
        projector = TableProjector(fields, new, {1: old, 2: new}.__getitem__)
        output = project(projector, data)
        nulls = (None,) * (count - 2)
        wanted = [tuple(row[index] for index in fields) for row in ((1, "x", *nulls), (2, None, *nulls))]
        assert rows_of(output, sub_schema(new, fields)) == [wanted]
        header = parse_header(output)
        assert output[header.header_size : header.payload_offset] == bytes([3, 2])


def test_only_schemas_that_exist() -> None:
    schema, payload = sample()

    def schemas(schema_id: int) -> Schema:
        raise FlussError(ErrorCode.SCHEMA_NOT_EXIST, str(schema_id))

    data = bytes(build_batch(3, change_types=None, payload=payload, record_count=2))
    with pytest.raises(FlussError) as caught:
        TableProjector((0,), schema, schemas).project(data, parse_header(data))
    assert caught.value.code is ErrorCode.SCHEMA_NOT_EXIST
    with pytest.raises(FlussError) as caught:
        TableProjector((3,), schema, schemas)
    assert caught.value.code is ErrorCode.INVALID_COLUMN_PROJECTION


def test_too_many_nulls_are_not_made() -> None:
    wide = DataType(TypeRoot.BINARY, length=1 << 20)
    with pytest.raises(FlussError) as caught:
        null_columns([wide], 1000, None)
    assert caught.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION
    assert len(null_columns([wide], 10, None).body) == 8 + (10 << 20)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [((), "no columns"), ((1, 1), "ascending"), ((2, 1), "ascending"), ((-1, 0), "3"), ((3,), "3")],
)
def test_bad_projections(fields: tuple[int, ...], problem: str) -> None:
    with pytest.raises(FlussError, match=problem) as caught:
        check_projection(fields, 3)
    assert caught.value.code is ErrorCode.INVALID_COLUMN_PROJECTION


def test_good_projection() -> None:
    check_projection([0, 2], 3)


def sample() -> tuple[Schema, bytes]:
    schema = vectors.schema_of([{"name": name, "json": {"type": "INTEGER"}} for name in ("a", "b", "c")])
    batch = pa.record_batch([pa.array([1, 2], pa.int32())] * 3, schema=arrow_schema(schema))
    return schema, bytes(encode_payload(batch, ArrowCompression.NONE))


def test_batches_of_another_shape_are_refused() -> None:
    schema, payload = sample()
    message = parse_message(payload, 0, len(payload))
    nodes, buffers, length = list(message.nodes), list(message.buffers), message.body_length
    swapped = [*buffers[8:], *buffers[4:8], *buffers[:4]]
    for forged in (
        build_metadata(2, nodes[2:], buffers, length, None),
        build_metadata(2, nodes, buffers[2:], length, None),
        build_metadata(2, nodes, swapped, length, None),
    ):
        data = bytes(build_batch(1, change_types=None, payload=forged + payload[-length:], record_count=2))
        with pytest.raises(FlussError) as caught:
            BatchProjector(schema, (0, 1)).project(data, parse_header(data))
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_a_body_that_is_cut_off_is_refused() -> None:
    schema, payload = sample()
    data = build_batch(1, change_types=None, payload=payload, record_count=2)
    struct.pack_into("<i", data, 8, len(data) - 12 - 8)
    with pytest.raises(FlussError):
        BatchProjector(schema, (0,)).project(data, parse_header(data))
