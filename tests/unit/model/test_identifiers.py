"""Names against the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import (
    TableBucket,
    TablePath,
    check_database_name,
    check_table_path,
    name_problem,
)

VECTORS = Path(__file__).parents[2] / "vectors"
CASES = json.loads((VECTORS / "partitions_and_names.json").read_text())["identifiers"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"][:20] for case in CASES])
def test_name(case: dict[str, Any]) -> None:
    bad = case["invalid_reason"] is not None or case["reserved_prefix_reason"] is not None
    assert (name_problem(case["name"]) is not None) == bad


@pytest.mark.parametrize("name", ["a\n", "a/b", "é", "a\x00"])
def test_names_that_would_leave_their_directory_or_line(name: str) -> None:
    assert name_problem(name) is not None


def test_codes() -> None:
    check_table_path(TablePath("d", "t"))
    with pytest.raises(FlussError) as caught:
        check_database_name("a.b")
    assert caught.value.code is ErrorCode.INVALID_DATABASE_EXCEPTION
    with pytest.raises(FlussError) as caught:
        check_table_path(TablePath("a b", "t"))
    assert caught.value.code is ErrorCode.INVALID_DATABASE_EXCEPTION
    with pytest.raises(FlussError) as caught:
        check_table_path(TablePath("d", "__t"))
    assert caught.value.code is ErrorCode.INVALID_TABLE_EXCEPTION


def test_text() -> None:
    assert str(TablePath("d", "t")) == "d.t"
    assert str(TableBucket(7, None, 2)) == "7/2"
    assert str(TableBucket(7, 31, 2)) == "7/p31/2"
