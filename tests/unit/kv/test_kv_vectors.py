"""Golden vectors through a KvTablet: official KV batches in, official values and changelogs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.log_batch import parse_header
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import build_value_batch
from fluss_server.log.log_tablet import LogConfig, LogTablet
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.runtime import ManualClock, system_runtime
from kv_support import TYPE_NAMES, make_table, open_bucket, read_changelog, replay_changes
from vectors_loader import comparable, load, row_of, schema_of

KV_BATCHES = load("kv_batches")["cases"]
VALUE_BATCHES = load("kv_values")["value_record_batches"]
CHANGELOGS = [case for case in load("log_pyfluss_1_0_0")["cases"] if case["change_types"] is not None]


@pytest.mark.parametrize("case", KV_BATCHES, ids=[case["name"] for case in KV_BATCHES])
def test_kv_batches(case: dict[str, Any], tmp_path: Path) -> None:
    schema = schema_of(case["schema"], case["primary_key"])
    schema_id = case["schema_id"]
    table = make_table(schema, schema_id=schema_id, kv_format=case["kv_format"])
    bucket = open_bucket(tmp_path, table, schemas=dict.fromkeys(range(1, schema_id), schema))
    batch = bytes.fromhex(case["bytes"])
    targets = case["put_kv_target_columns"] or []
    if case["batch_sequence"] > 0:  # its writer must be known with the sequence before
        with pytest.raises(FlussError) as caught:
            bucket.kv.put(batch, targets)
        assert caught.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION
        records = [
            (bytes.fromhex(record["key"]), bytes.fromhex(record["row_bytes"]) if record["op"] == "put" else None)
            for record in case["records"]
        ]
        batch = build_kv_batch(schema_id, records, writer_id=case["writer_id"], batch_sequence=0)
    result = bucket.kv.put(batch, targets)
    bucket.kv.commit(result.last_offset + 1)
    state: dict[bytes, bytes] = {}
    for record in case["records"]:
        key = bytes.fromhex(record["key"])
        if record["op"] == "put":
            state[key] = schema_id.to_bytes(2, "little") + bytes.fromhex(record["row_bytes"])
        else:
            state.pop(key, None)
    keys = [bytes.fromhex(record["key"]) for record in case["records"]]
    assert bucket.kv.lookup(keys) == [state.get(key) for key in keys]
    assert bucket.kv.limit_scan(100) == [value for _, value in sorted(state.items())]
    assert bucket.kv.row_count == len(state)
    replayed = replay_changes(schema, read_changelog(bucket.log, schema))
    assert comparable(sorted(replayed.values(), key=repr)) == comparable(sorted(bucket.rows().values(), key=repr))
    bucket.close()


@pytest.mark.parametrize("case", VALUE_BATCHES, ids=range(len(VALUE_BATCHES)))
def test_limit_scan_payloads(case: dict[str, Any], tmp_path: Path) -> None:
    schema = schema_of(case["schema"], ["id"])
    bucket = open_bucket(tmp_path, make_table(schema, kv_format=case["kv_format"]))
    bucket.write([row_of(record["row"], schema) for record in case["records"]])
    assert build_value_batch(bucket.kv.limit_scan(1000)) == bytes.fromhex(case["bytes"])
    bucket.close()


def changelog_of(compression: str) -> list[dict[str, Any]]:
    return [case for case in CHANGELOGS if case["compression"] == compression]


COMPRESSIONS = sorted({case["compression"] for case in CHANGELOGS})


def key_schema(case: dict[str, Any]) -> Schema:
    return schema_of(case["schema"], ["id"])


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_our_changelog_is_the_official_one(compression: str, tmp_path: Path) -> None:
    """The upserts and deletes behind the official changelog give the same changelog here."""
    cases = changelog_of(compression)
    schema = key_schema(cases[0])
    bucket = open_bucket(tmp_path, make_table(schema, compression=compression.split("-")[0]))
    codec = row_codec(schema.types, KvFormat.COMPACTED)
    for case in cases:
        rows = [row_of(row, schema) for row in case["rows"]]
        records: list[tuple[bytes, bytes | None]] = []
        for kind, row in zip(case["change_types"], rows, strict=True):
            if kind != "-U":
                records.append((bucket.key_of_row(row), None if kind == "-D" else codec.encode(row)))
        writer = {"writer_id": case["writer_id"], "batch_sequence": case["batch_sequence"]}
        result = bucket.kv.put(build_kv_batch(1, records, **writer))
        assert (result.base_offset, result.last_offset) == (case["base_offset"], case["last_offset"])
        header, data = next(bucket.log.batches(result.base_offset, result.last_offset + 1))
        official = parse_header(bytes.fromhex(case["bytes"]))
        for name in ("magic", "schema_id", "append_only", "last_offset_delta", "writer_id", "batch_sequence"):
            assert getattr(header, name) == getattr(official, name), name
        types = data[header.header_size : header.payload_offset]
        assert [TYPE_NAMES[kind] for kind in types] == case["change_types"]
        changes = bucket.changes(result.base_offset)
        assert comparable([row for _, row in changes]) == comparable(rows)
    bucket.close()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_official_changelog_is_replayed(compression: str, tmp_path: Path) -> None:
    cases = changelog_of(compression)
    schema = key_schema(cases[0])
    log = LogTablet.open(tmp_path / "log", LogConfig(), system_runtime(clock=ManualClock()))
    for case in cases:
        log.append(bytes.fromhex(case["bytes"]))
    log.close()
    bucket = open_bucket(tmp_path, make_table(schema))
    expected: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for case in cases:
        for kind, row in zip(case["change_types"], (row_of(row, schema) for row in case["rows"]), strict=True):
            if kind == "-D":
                del expected[bucket.key_values(row)]
            else:
                expected[bucket.key_values(row)] = row
    found = bucket.rows()
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert comparable(found[key]) == comparable(row)
    assert bucket.kv.row_count == len(expected)
    bucket.close()
