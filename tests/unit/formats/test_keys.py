"""Key encoders and bucket functions against golden vectors."""

from __future__ import annotations

from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_values import to_arrow
from fluss_server.formats.buckets import bucket_of, fluss_hash, word_hash
from fluss_server.formats.keys import encoder_choice, key_encoder
from fluss_server.model.types import DataType, TypeRoot

CASES = [
    (case, lake)
    for name, lakes in (("keys", (None, "paimon", "iceberg")), ("keys_hudi_1_0", ("hudi",)))
    for case in vectors.load(name)["cases"]
    for lake in lakes
]
CHOICES = vectors.load("keys")["encoder_choice"]
HASHES = vectors.load("keys")["raw_hashes"]


@pytest.mark.parametrize(("case", "lake"), CASES, ids=[f"{lake}/{case['name']}" for case, lake in CASES])
def test_keys_and_buckets(case: dict[str, Any], lake: str | None) -> None:
    schema = vectors.schema_of(case["schema"])
    indexes = schema.indexes_of(case["keys"])
    types = [schema.types[index] for index in indexes]
    responses = [entry[lake or "fluss"] for entry in case["rows"]]
    if any("error" in response for response in responses):
        with pytest.raises(FlussError) as caught:
            key_encoder(types, lake)
        assert caught.value.code is ErrorCode.INVALID_TABLE_EXCEPTION
        return
    encoder = key_encoder(types, lake)
    rows = [vectors.row_of(entry["values"], schema) for entry in case["rows"]]
    keys = [[row[index] for index in indexes] for row in rows]
    for key, response in zip(keys, responses, strict=True):
        encoded = encoder.encode(key)
        assert encoded.hex() == response["key"]
        if "bucket_error" in response:
            with pytest.raises(FlussError, match="empty"):
                bucket_of(encoded, 3, lake)
        else:
            assert [bucket_of(encoded, count, lake) for count in range(1, 17)] == response["buckets"]
    representable = [
        (key, response["key"])
        for key, response in zip(keys, responses, strict=True)
        if all(_in_arrow_unit(value, kind) for value, kind in zip(key, types, strict=True))
    ]
    columns = [to_arrow([key[place] for key, _ in representable], kind) for place, kind in enumerate(types)]
    assert [key.hex() for key in encoder.encode_columns(columns)] == [expected for _, expected in representable]


def _in_arrow_unit(value: Any, data_type: DataType) -> bool:
    """Whether an Arrow column of the type holds the value exactly."""
    if data_type.root is TypeRoot.TIMESTAMP and data_type.precision == 0:
        return bool(value[0] % 1000 == 0)
    return True


@pytest.mark.parametrize("entry", HASHES, ids=[entry["bytes"] for entry in HASHES])
def test_hashes(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["bytes"])
    assert word_hash(data) == entry["murmur_seed42"] & 0xFFFFFFFF
    assert fluss_hash(data) == entry["fluss_mixed"]
    for lake in ("fluss", "paimon", "iceberg"):
        name = None if lake == "fluss" else lake
        assert [bucket_of(data, count, name) for count in range(1, 17)] == entry[f"{lake}_buckets"]


@pytest.mark.parametrize("entry", CHOICES, ids=str)
def test_encoder_choice(entry: dict[str, Any]) -> None:
    version = None if entry["kv_format_version"] is None else int(entry["kv_format_version"])
    lake = encoder_choice(version, entry["datalake_format"], default_bucket_key=entry["bucket_key_equals_physical_pk"])
    names = {None: "Compacted", "paimon": "Paimon", "iceberg": "Iceberg"}
    assert f"{names[lake]}KeyEncoder" == entry["primary_key_encoder"]
    types = [DataType(TypeRoot.INTEGER, False), DataType(TypeRoot.STRING, False)][: len(entry["pk"])]
    assert key_encoder(types, lake).encode(entry["values"][: len(types)]).hex() == entry["key"]


def test_hudi_identifies_no_row() -> None:
    assert encoder_choice(2, "hudi", default_bucket_key=True) is None


@pytest.mark.parametrize("lake", [None, "paimon", "iceberg", "hudi"])
def test_null_is_refused(lake: str | None) -> None:
    encoder = key_encoder([DataType(TypeRoot.STRING)], lake)
    with pytest.raises(FlussError, match="null") as caught:
        encoder.encode([None])
    assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
    with pytest.raises(FlussError, match="null"):
        encoder.encode_columns([to_arrow(["a", None], DataType(TypeRoot.STRING))])


def test_a_bucket_key_is_a_prefix_of_its_primary_key() -> None:
    types = [DataType(TypeRoot.STRING), DataType(TypeRoot.BIGINT), DataType(TypeRoot.DOUBLE)]
    values = ["city", -3, 0.5]
    whole = key_encoder(types).encode(values)
    for count in range(1, 3):
        assert whole.startswith(key_encoder(types[:count]).encode(values[:count]))


def test_no_keys() -> None:
    for lake in (None, "paimon"):
        assert (
            key_encoder([DataType(TypeRoot.STRING)], lake).encode_columns([to_arrow([], DataType(TypeRoot.STRING))])
            == []
        )


def test_unknown_lake() -> None:
    with pytest.raises(FlussError, match="lance"):
        key_encoder([DataType(TypeRoot.INTEGER)], "delta")
    with pytest.raises(FlussError, match="delta"):
        bucket_of(b"k", 2, "delta")
