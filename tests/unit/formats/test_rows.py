"""Row formats against golden vectors, both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.aligned_row import AlignedRowCodec
from fluss_server.formats.compacted_row import CompactedRowCodec
from fluss_server.formats.indexed_row import IndexedRowCodec
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.slots import ImageCodec
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot

CASES = vectors.load("rows")["cases"]
CODECS: dict[str, Callable[[Sequence[DataType]], ImageCodec]] = {
    "compacted": CompactedRowCodec,
    "indexed": IndexedRowCodec,
    "aligned": AlignedRowCodec,
}


@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_vectors(case: dict[str, Any], form: str) -> None:
    schema = vectors.schema_of(case["schema"])
    codec = CODECS[form](schema.types)
    for entry in case["rows"]:
        values = vectors.row_of(entry["values"], schema)
        if entry[form] is None:
            with pytest.raises(FlussError) as caught:
                codec.encode(values)
            assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
            continue
        data = bytes.fromhex(entry[form])
        assert codec.encode(values).hex() == entry[form]
        expected = values
        if form == "indexed":  # CHAR loses trailing zeros, BINARY gains them
            expected = tuple(_as_indexed(value, kind) for value, kind in zip(values, schema.types, strict=True))
        assert vectors.comparable(codec.decode(data)) == vectors.comparable(expected)


@pytest.mark.parametrize("form", ["compacted", "indexed"])
@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_split_and_join(case: dict[str, Any], form: str) -> None:
    schema = vectors.schema_of(case["schema"])
    codec = row_codec(schema.types, KvFormat(form.upper()))
    rows = [bytes.fromhex(entry[form]) for entry in case["rows"] if entry[form] is not None]
    images = [codec.split(row) for row in rows]
    assert [codec.join(image) for image in images] == rows
    # Any mixture of fields is again a row: this is what a partial update does.
    for index in range(len(schema.types)):
        for one, other in pairwise(images):
            mixed = [*one[:index], other[index], *one[index + 1 :]]
            assert codec.split(codec.join(mixed)) == mixed


def _as_indexed(value: Any, data_type: DataType) -> Any:
    if value is not None and data_type.root is TypeRoot.CHAR:
        return value.rstrip("\0")
    if value is not None and data_type.root is TypeRoot.BINARY:
        return value.ljust(data_type.length, b"\0")
    return value


@pytest.mark.parametrize("kv_format", KvFormat)
def test_every_cut_is_refused(kv_format: KvFormat) -> None:
    types = (
        DataType(TypeRoot.BIGINT),
        DataType(TypeRoot.STRING),
        DataType(TypeRoot.TIMESTAMP, precision=9),
        DataType(TypeRoot.DECIMAL, precision=30),
        DataType(TypeRoot.ARRAY, element=DataType(TypeRoot.STRING)),
    )
    codec = row_codec(types, kv_format)
    row = codec.encode((-5, "text", (17, 4), 10**25, ["a", "long enough", None]))
    for size in range(len(row)):
        for read in (codec.decode, codec.split):
            with pytest.raises(FlussError) as caught:
                read(row[:size])
            assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
    with pytest.raises(FlussError):
        codec.decode(row + b"\0")


@pytest.mark.parametrize("kv_format", KvFormat)
def test_maps_and_rows_in_arrays_and_maps(kv_format: KvFormat) -> None:
    text, number = DataType(TypeRoot.STRING), DataType(TypeRoot.INTEGER)
    inner = DataType(TypeRoot.MAP, key=text, element=DataType(TypeRoot.ARRAY, element=number))
    types = (
        DataType(TypeRoot.ARRAY, element=inner),
        DataType(TypeRoot.MAP, key=number, element=inner),
    )
    codec = row_codec(types, kv_format)
    values = ([[("a long key", [1, None, 3]), ("", [])], None, []], [(7, [("k", None)]), (8, None)])
    assert codec.decode(codec.encode(values)) == values


def test_shared_array_items_are_refused() -> None:
    """Slots that share an item would let a small row decode to an endless one."""
    inner = DataType(TypeRoot.ARRAY, element=DataType(TypeRoot.STRING))
    codec = CompactedRowCodec([DataType(TypeRoot.ARRAY, element=inner)])
    row = codec.encode(([["x" * 100], ["y" * 100], ["z" * 100]],))
    image_at = row.index(b"\3\0\0\0")
    first = row[image_at + 8 : image_at + 16]
    forged = row[: image_at + 8] + first * 3 + row[image_at + 32 :]
    assert codec.decode(forged)[0] == [["x" * 100]] * 3  # three items still fit the image ...
    wide = codec.encode(([["x" * 1000], *[[] for _ in range(20)]],))
    image_at = wide.index(b"\x15\0\0\0")
    first = wide[image_at + 8 : image_at + 16]
    forged = wide[: image_at + 8] + first * 21 + wide[image_at + 8 + 21 * 8 :]
    with pytest.raises(FlussError, match="longer than itself"):
        codec.decode(forged)
