"""Golden vectors with random damage: every reader gives a value or an error of ours, and the two ways to Arrow agree.

A test id holds its seed; run it alone with ``pytest <file>::<test id>``.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats import columns
from fluss_server.formats.arrow_batch import decode_batch
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.columns import record_batch_to_rows, rows_to_record_batch
from fluss_server.formats.log_batch import parse_header
from fluss_server.formats.projection import BatchProjector
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat

EXPECTED = (
    ErrorCode.CORRUPT_MESSAGE,
    ErrorCode.CORRUPT_RECORD_EXCEPTION,
    ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
)
MUTATIONS = 1000
WAYS = (0, 10**9)
BATCHES = [
    (vectors.schema_of(case["schema"]), bytes.fromhex(case["bytes"]))
    for name in ("log_arrow_0_9_1", "log_arrow_1_0_0", "log_pyfluss_1_0_0")
    for case in vectors.load(name)["cases"]
    if "0.9.1 layout" not in case["name"]
]


def damaged(chance: random.Random, data: bytes, start: int) -> bytes:
    """The bytes with one to eight changes behind ``start``."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        if len(out) <= start:
            break
        at = chance.randrange(start, len(out))
        kind = chance.randrange(7)
        if kind == 0:
            out[at] = chance.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 2 and len(out) - at >= 4:
            number = chance.choice((0, 1, -1, 2**31 - 1, -(2**31), len(out), chance.randrange(-(2**31), 2**31)))
            struct.pack_into("<i", out, at, number)
        elif kind == 3 and len(out) - at >= 8:
            struct.pack_into("<q", out, at, chance.choice((0, -1, 2**62, -(2**63), 2**31, chance.randrange(10**5))))
        elif kind == 4:
            del out[at : at + chance.randrange(1, 9)]
        elif kind == 5:
            source = chance.randrange(start, len(out))
            out[at : at + 12] = out[source : source + 12]
        else:
            del out[at:]
    return bytes(out)


def outcome(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work`` returns, or None for an error of corrupt bytes; any other error is raised."""
    try:
        return work(*arguments)
    except FlussError as error:
        if error.code not in EXPECTED:
            raise
        return None


@pytest.mark.parametrize("seed", range(4))
def test_arrow_batches(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    for _ in range(MUTATIONS):
        schema, batch = chance.choice(BATCHES)
        data = damaged(chance, batch, chance.choice((0, 48, 48, 48)))
        header = outcome(parse_header, data)
        if header is None:
            continue
        outcome(BatchProjector(schema, (0,)).project, data, header)
        decoded = outcome(decode_batch, data, header, arrow_schema(schema))
        if decoded is None:
            continue
        for column, kind in zip(decoded[1].columns, schema.types, strict=True):
            outcome(from_arrow, column, kind)
        for threshold in WAYS:
            monkeypatch.setattr(columns, "WRITE_VECTORISED_FROM_ROWS", threshold)
            outcome(record_batch_to_rows, schema, KvFormat.COMPACTED, decoded[1])


@pytest.mark.parametrize("kv_format", KvFormat)
@pytest.mark.parametrize("seed", range(3))
def test_rows(seed: int, kv_format: KvFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    name = kv_format.value.lower()
    cases = vectors.load("rows")["cases"]
    for _ in range(MUTATIONS):
        case = chance.choice(cases)
        schema = vectors.schema_of(case["schema"])
        rows = [bytes.fromhex(entry[name]) for entry in case["rows"] if entry[name] is not None]
        if not rows:
            continue
        codec = row_codec(schema.types, kv_format)
        data = damaged(chance, chance.choice(rows), 0)
        outcome(codec.decode, data)
        images = outcome(codec.split, data)
        if images is not None:
            assert codec.split(codec.join(images)) == images
        group = [chance.choice(rows) for _ in range(chance.randrange(4))]
        group.insert(chance.randrange(len(group) + 1), data)
        results = []
        for threshold in WAYS:
            monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
            results.append(outcome(values_of, schema, kv_format, group))
        assert vectors.comparable(results[0]) == vectors.comparable(results[1])


def values_of(schema: Schema, kv_format: KvFormat, rows: list[bytes]) -> list[list[Any]]:
    batch = rows_to_record_batch(schema, kv_format, rows)
    return [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
