"""Arrow log batches: golden vectors decoded, every type encoded, broken and malicious ones refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats import arrow_batch
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_message import CODEC_LZ4_FRAME, build_metadata, parse_message
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow, to_arrow
from fluss_server.formats.log_batch import build_batch, parse_header
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import ArrowCompression
from fluss_server.model.types import DataType, RowField, TypeRoot

CHANGE_TYPES = ["+A", "+I", "-U", "+U", "-D"]
CASES = [
    (f"{name}/{case['name']}", case)
    for name in ("log_arrow_0_9_1", "log_arrow_1_0_0", "log_pyfluss_1_0_0")
    for case in vectors.load(name)["cases"]
    if "0.9.1 layout" not in case["name"]
]
PARAMETERS = pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])


@PARAMETERS
def test_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    header = parse_header(data)
    schema = vectors.schema_of(case["schema"])
    change_types, batch = decode_batch(data, header, arrow_schema(schema))
    if case["change_types"] is None:
        assert change_types is None
    else:
        assert change_types is not None
        assert [CHANGE_TYPES[kind] for kind in change_types] == case["change_types"]
    rows = [vectors.row_of(row, schema) for row in case["rows"]]
    if "truncated" not in case["name"]:
        assert vectors.comparable(rows_of(batch, schema)) == vectors.comparable(rows)
    # The rows encoded by us: the same truncation, and the same rows again.
    encoded = pa.RecordBatch.from_arrays(
        [to_arrow([row[index] for row in rows], kind) for index, kind in enumerate(schema.types)],
        schema=arrow_schema(schema),
    )
    assert vectors.comparable(rows_of(encoded, schema)) == vectors.comparable(rows_of(batch, schema))
    payload = encode_payload(encoded, ArrowCompression((case["compression"] or "NONE").split("-")[0]))
    again = build_batch(
        1,
        change_types=None if change_types is None else change_types.tobytes(),
        payload=payload,
        record_count=len(rows),
    )
    new_types, new_batch = decode_batch(again, parse_header(again), arrow_schema(schema))
    assert vectors.comparable(rows_of(new_batch, schema)) == vectors.comparable(rows_of(batch, schema))
    assert (new_types is None) == (change_types is None)


def rows_of(batch: pa.RecordBatch, schema: Schema) -> list[tuple[Any, ...]]:
    columns = [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
    return list(zip(*columns, strict=True))


def everything(count: int) -> tuple[Schema, pa.RecordBatch]:
    """A batch with every type, nulls and nesting; many of its buffers are above 64 KiB when count is."""
    string = DataType(TypeRoot.STRING)
    types: dict[str, tuple[DataType, Any]] = {
        "flag": (DataType(TypeRoot.BOOLEAN), lambda n: n % 3 == 0),
        "tiny": (DataType(TypeRoot.TINYINT), lambda n: n % 256 - 128),
        "small": (DataType(TypeRoot.SMALLINT), lambda n: n % 65536 - 32768),
        "int": (DataType(TypeRoot.INTEGER), lambda n: n * 7919),
        "big": (DataType(TypeRoot.BIGINT, False), lambda n: -n * 10**12),
        "float": (DataType(TypeRoot.FLOAT), lambda n: n / 2),
        "double": (DataType(TypeRoot.DOUBLE), lambda n: n / 3),
        "char": (DataType(TypeRoot.CHAR, length=5), lambda n: f"{n % 99999:05}"),
        "text": (string, lambda n: f"some text with number {n}"),
        "binary": (DataType(TypeRoot.BINARY, length=4), lambda n: struct.pack("<i", n)),
        "bytes": (DataType(TypeRoot.BYTES), lambda n: bytes(n % 7)),
        "short_decimal": (DataType(TypeRoot.DECIMAL, precision=9, scale=2), lambda n: -n),
        "long_decimal": (DataType(TypeRoot.DECIMAL, precision=38, scale=10), lambda n: n * 10**30),
        "date": (DataType(TypeRoot.DATE), lambda n: 19_000 + n),
        "array": (DataType(TypeRoot.ARRAY, element=string), lambda n: [str(n), None] * (n % 3)),
        "map": (
            DataType(TypeRoot.MAP, key=string.with_nullable(False), element=DataType(TypeRoot.INTEGER)),
            lambda n: [(f"k{i}", None if i else n) for i in range(n % 3)],
        ),
        "row": (
            DataType(TypeRoot.ROW, fields=(RowField("a", string), RowField("b", DataType(TypeRoot.DOUBLE)))),
            lambda n: (None if n % 5 == 0 else f"inner {n}", n / 7),
        ),
    }
    for precision in (0, 3, 6, 9):
        kind = DataType(TypeRoot.TIME, precision=precision)
        types[f"time_{precision}"] = kind, lambda n: n % 86_400 * 1000
        for root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
            types[f"{root.name}_{precision}"] = DataType(root, precision=precision), lambda n: (n * 1000, 0)
    schema = Schema(tuple(Column(name, kind, index) for index, (name, (kind, _)) in enumerate(types.items())))
    columns = []
    for kind, make in types.values():
        values = [None if kind.nullable and n % 11 == 10 else make(n) for n in range(count)]
        columns.append(to_arrow(values, kind))
        assert from_arrow(columns[-1], kind) == values
    return schema, pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))


@pytest.mark.parametrize("count", [1, 100, 5_000])
@pytest.mark.parametrize("compression", ArrowCompression)
def test_every_type_comes_back(compression: ArrowCompression, count: int) -> None:
    schema, batch = everything(count)
    sliced = batch.slice(count // 3)
    for one in (batch, sliced):
        payload = encode_payload(one, compression, 1)
        data = build_batch(1, change_types=None, payload=payload, record_count=one.num_rows)
        header = parse_header(data)
        for trusted in (False, True):
            change_types, decoded = decode_batch(data, header, arrow_schema(schema), trusted=trusted)
            assert change_types is None
            assert decoded.equals(one)
    assert rows_of(sliced, schema) == rows_of(batch, schema)[count // 3 :]


def test_lz4_frames_have_independent_blocks() -> None:
    """The Java client refuses blocks that refer to the block before them, and blocks above 64 KiB."""
    noise = np.random.default_rng(1).bytes(70_000)  # cannot be compressed: stored blocks
    values = [noise, b"x" * 200_000, noise]
    batch = pa.record_batch([pa.array(values, pa.binary())], names=["b"])
    payload = bytes(encode_payload(batch, ArrowCompression.LZ4_FRAME))
    message = parse_message(payload, 0, len(payload))
    assert message.codec == CODEC_LZ4_FRAME
    offset, length = message.buffers[4:6]
    frame = payload[message.body_position + offset :][:length]
    assert struct.unpack_from("<q", frame) == (340_000,)
    assert frame[8:15].hex() == "04224d18604082"
    position, plain = 15, b""
    while True:
        (size,) = struct.unpack_from("<I", frame, position)
        position += 4
        if size == 0:
            break
        block = frame[position : position + (size & 0x7FFFFFFF)]
        position += len(block)
        left = min(65536, 340_000 - len(plain))
        if not size >> 31:
            block = pa.Codec("lz4_raw").decompress(block, decompressed_size=left, asbytes=True)
        assert len(block) == left
        plain += block
    assert position == length
    assert plain == b"".join(values)


def test_small_and_incompressible_buffers_are_stored() -> None:
    batch = pa.record_batch([pa.array(np.random.default_rng(2).integers(0, 2**62, 100))], names=["n"])
    for compression in (ArrowCompression.ZSTD, ArrowCompression.LZ4_FRAME):
        payload = bytes(encode_payload(batch, compression))
        message = parse_message(payload, 0, len(payload))
        assert message.buffers[-1] <= 808
        one = bytes(encode_payload(batch.slice(0, 1), compression))
        message = parse_message(one, 0, len(one))
        assert one[message.body_position + message.buffers[2] :][:8] == b"\xff" * 8


def test_the_message_is_what_the_arrow_library_reads() -> None:
    nodes, buffers = [3, 1, 3, 0], [0, 1, 8, 12, 24, 0, 24, 16]
    for codec in (None, 0, 1):
        metadata = build_metadata(3, nodes, buffers, 40, codec)
        assert len(metadata) % 8 == 0
        message = parse_message(metadata + bytes(40), 0, len(metadata) + 40)
        assert (message.row_count, list(message.nodes), list(message.buffers)) == (3, nodes, buffers)
        assert (message.codec, message.body_position, message.body_length) == (codec, len(metadata), 40)
    data = struct.pack("<3i", 5, 6, 7).ljust(16, b"\0")
    metadata = build_metadata(3, [3, 1], [0, 1, 8, 12], 24, None)
    sink = metadata + b"\5".ljust(8, b"\0") + data
    batch = pa.ipc.read_record_batch(pa.ipc.read_message(sink), pa.schema([("n", pa.int32())]))
    assert batch.to_pydict() == {"n": [5, None, 7]}


SCHEMA = pa.schema([("text", pa.utf8()), ("map", pa.map_(pa.utf8(), pa.int32()))])


def log_batch(payload: bytes, count: int) -> bytes:
    return bytes(build_batch(1, change_types=None, payload=payload, record_count=count))


def refused(payload: bytes, count: int, schema: pa.Schema = SCHEMA) -> str:
    data = log_batch(payload, count)
    with pytest.raises(FlussError) as caught:
        decode_batch(data, parse_header(data), schema)
    assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
    return caught.value.message


def sample() -> tuple[bytes, pa.RecordBatch]:
    batch = pa.record_batch([pa.array(["a", "bc"]), pa.array([[("k", 1)], []], SCHEMA.field(1).type)], schema=SCHEMA)
    return bytes(batch.serialize()), batch


def test_another_number_of_rows() -> None:
    payload, _ = sample()
    assert "2" in refused(payload, 1)
    assert "2" in refused(payload, 3)


def test_null_map_keys_do_not_end_the_process() -> None:
    """Arrow C++ aborts when it builds a map array with null keys; ours must never get there."""
    payload, _ = sample()
    message = parse_message(payload, 0, len(payload))
    for node in (2, 3):  # entries, keys
        nodes = list(message.nodes)
        nodes[2 * node + 1] = 1
        head = build_metadata(2, nodes, message.buffers, message.body_length, None)
        assert "map" in refused(head + payload[message.body_position :], 2)


def test_offsets_outside_their_buffer() -> None:
    payload, _ = sample()
    message = parse_message(payload, 0, len(payload))
    at = message.body_position + message.buffers[2]  # offsets of the text column
    forged = bytearray(payload)
    struct.pack_into("<i", forged, at + 4, 2**30)
    refused(bytes(forged), 2)


def test_text_that_is_not_utf8() -> None:
    payload, _ = sample()
    message = parse_message(payload, 0, len(payload))
    forged = bytearray(payload)
    forged[message.body_position + message.buffers[4]] = 0xFF
    assert "UTF8" in refused(bytes(forged), 2)


def test_a_small_batch_that_would_fill_the_memory() -> None:
    batch = pa.record_batch([pa.array(["a" * 10_000])], names=["text"])
    packed = bytearray(encode_payload(batch, ArrowCompression.ZSTD))
    message = parse_message(packed, 0, len(packed))
    at = message.body_position + message.buffers[4]
    assert struct.unpack_from("<q", packed, at) == (10_000,)
    for claimed in (arrow_batch.MAX_UNCOMPRESSED_BYTES + 1, 2**62, 9_999, 10_001):
        struct.pack_into("<q", packed, at, claimed)
        refused(bytes(packed), 1, batch.schema)


def test_unknown_change_type() -> None:
    payload, _ = sample()
    data = build_batch(1, change_types=bytes([0, 5]), payload=payload, record_count=2)
    with pytest.raises(FlussError, match="change type"):
        decode_batch(data, parse_header(data), SCHEMA)


def test_every_cut_is_refused() -> None:
    payload, _ = sample()
    message = parse_message(payload, 0, len(payload))
    for size in range(message.body_position + message.body_length):
        refused(payload[:size], 2)


def test_a_message_of_another_kind() -> None:
    assert "RecordBatch" in refused(bytes(SCHEMA.serialize()), 2)


def test_an_empty_batch_has_the_columns() -> None:
    schema, _ = everything(1)
    data = build_batch(1, change_types=b"", payload=b"", record_count=0)
    change_types, batch = decode_batch(data, parse_header(data), arrow_schema(schema))
    assert change_types is not None
    assert len(change_types) == batch.num_rows == 0
    assert batch.schema == arrow_schema(schema)
