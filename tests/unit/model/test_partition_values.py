"""Values of partition columns, read from their text, against the text that the official client makes of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.model.partition import PARTITION_KEY_TYPES
from fluss_server.model.partition_values import partition_value
from fluss_server.model.types import DataType, TypeRoot
from vectors_loader import comparable, load, value_of


def data_type(name: str) -> DataType:
    """The type of a name such as ``INT`` or ``TIMESTAMP(6)``; the length does not matter here."""
    root = re.sub(r"\(.*", "", name)
    return DataType(TypeRoot.INTEGER if root == "INT" else TypeRoot[root])


@pytest.mark.parametrize("entry", load("partitions_and_names")["typed_values"])
def test_the_text_of_the_official_client_gives_the_value_back(entry: dict[str, Any]) -> None:
    kind = data_type(entry["type"])
    assert comparable(partition_value(entry["partition_value"], kind)) == comparable(value_of(entry["value"], kind))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BOOLEAN", "yes"),
        ("BINARY", "abc"),
        ("BINARY", "ag"),
        ("TINYINT", "128"),
        ("SMALLINT", "-32769"),
        ("INT", "1_0"),
        ("INT", ""),
        ("BIGINT", "9223372036854775808"),
        ("FLOAT", "1e39"),
        ("FLOAT", "_"),
        ("DOUBLE", "nan"),
        ("DATE", "2024-02-30"),
        ("DATE", "20240230"),
        ("TIME", "24-00-00_000"),
        ("TIME", "10-00-00"),
        ("TIMESTAMP", "2024-01-01-10"),
        ("TIMESTAMP_LTZ", "2024-01-01-10-61-00_"),
    ],
)
def test_text_that_is_no_value_is_refused(name: str, text: str) -> None:
    refused = code_of(lambda: partition_value(text, data_type(name)))
    assert refused is ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION


def test_every_type_of_a_partition_column_was_tried() -> None:
    assert {data_type(entry["type"]).root for entry in load("partitions_and_names")["typed_values"]} == (
        PARTITION_KEY_TYPES
    )


def test_a_timestamp_may_be_a_day() -> None:
    assert partition_value("1970-01-02", DataType(TypeRoot.TIMESTAMP)) == (86_400_000, 0)
    assert partition_value("TRUE", DataType(TypeRoot.BOOLEAN)) is True
