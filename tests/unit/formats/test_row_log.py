"""Row-based log batches against golden vectors."""

from __future__ import annotations

import struct
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import build_batch, parse_header
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.row_log import decode_row_batch, encode_row_payload
from fluss_server.model.table import KvFormat

CASES = [case for case in vectors.load("log_rows_0_9_1")["cases"] if "0.9.1 layout" not in case["name"]]
CHANGE_TYPES = ["+A", "+I", "-U", "+U", "-D"]


@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    header = parse_header(data)
    schema = vectors.schema_of(case["schema"])
    codec = row_codec(schema.types, KvFormat(case["log_format"]))
    change_types, rows = decode_row_batch(data, header)
    wanted = case["change_types"] if case["change_types"] is not None else ["+A"] * header.record_count
    assert [CHANGE_TYPES[kind] for kind in change_types] == wanted
    values = [vectors.row_of(row, schema) for row in case["rows"]]
    assert vectors.comparable([codec.decode(row) for row in rows]) == vectors.comparable(values)
    assert [codec.encode(row) for row in values] == rows
    payload = encode_row_payload(rows, None if header.append_only else change_types)
    assert payload == data[header.header_size :]


def test_broken_batches() -> None:
    payload = encode_row_payload([b"one", b"", b"three"], bytes([1, 2, 3]))
    broken = [payload[:size] for size in range(len(payload))]
    broken += [payload + b"\0", payload[:4] + b"\5" + payload[5:]]
    for length in (-1, 0, 3, 2**31 - 1):
        broken.append(struct.pack("<i", length) + payload[4:])
    for one in broken:
        try:
            data = build_batch(1, change_types=b"", payload=one, record_count=3)
            header = parse_header(data)
        except FlussError:
            continue
        with pytest.raises(FlussError) as caught:
            decode_row_batch(data, header)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
