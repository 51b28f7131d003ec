"""Row batches that fit their table, and all the ways in which they do not."""

from __future__ import annotations

from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.batch_validation import BatchValidator
from fluss_server.formats.log_batch import build_batch, parse_header
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.row_log import encode_row_payload
from fluss_server.formats.row_validation import validator_of
from fluss_server.model.table import KvFormat, LogFormat
from fluss_server.model.types import DataType, TypeRoot

CASES = [case for case in vectors.load("log_rows_0_9_1")["cases"] if "0.9.1 layout" not in case["name"]]
TYPES = (DataType(TypeRoot.INTEGER, nullable=False), DataType(TypeRoot.STRING))
ROW_FORMATS = [LogFormat.INDEXED, LogFormat.COMPACTED]


def batch_of(rows: list[bytes], change_types: bytes | None = None, *, append_only: bool = True) -> bytes:
    payload = encode_row_payload(rows, change_types)
    types = None if append_only else b""
    return bytes(build_batch(1, change_types=types, payload=payload, record_count=len(rows)))


def check(data: bytes, log_format: LogFormat, types: tuple[DataType, ...] = TYPES) -> None:
    validator_of(types, log_format).check(data, parse_header(data))


def row(log_format: LogFormat, *values: Any) -> bytes:
    types = TYPES if len(values) == 2 else (*TYPES, DataType(TypeRoot.BIGINT))
    return row_codec(tuple(kind.with_nullable(True) for kind in types), KvFormat(log_format.value)).encode(values)


@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_official_batches_fit(case: dict[str, Any]) -> None:
    check(bytes.fromhex(case["bytes"]), LogFormat(case["log_format"]), vectors.schema_of(case["schema"]).types)


@pytest.mark.parametrize("log_format", ROW_FORMATS)
def test_batches_that_do_not_fit(log_format: LogFormat) -> None:
    good = [row(log_format, 1, "a"), row(log_format, 2, None)]
    check(batch_of(good), log_format)
    check(batch_of(good, bytes([1, 4]), append_only=False), log_format)
    for bad in (
        batch_of(good, bytes([0, 1])),
        batch_of([*good, row(log_format, None, "a")]),
        batch_of([*good, row(log_format, 3, "a", 4)]),
        batch_of([*good, good[0][:-1]]),
        batch_of([*good, good[0] + b"\0"]),
        batch_of([*good, b""]),
        batch_of(good)[:-1],
        bytes(build_batch(1, change_types=None, payload=encode_row_payload(good), record_count=3)),
    ):
        with pytest.raises(FlussError) as caught:
            check(bad, log_format)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_batches_of_another_format_do_not_fit() -> None:
    assert isinstance(validator_of(TYPES, LogFormat.ARROW), BatchValidator)
    for log_format, other in ((ROW_FORMATS[0], ROW_FORMATS[1]), (ROW_FORMATS[1], ROW_FORMATS[0])):
        with pytest.raises(FlussError):
            check(batch_of([row(other, 300, "a longer text")]), log_format)
