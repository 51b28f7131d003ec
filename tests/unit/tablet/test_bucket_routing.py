"""Whom a bucket is refused, after the number of buckets of a table was changed."""

from __future__ import annotations

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.model.identifiers import TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.tablet.bucket_routing import check_routing

SCHEMA = Schema.from_json({"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]})
TABLE = TableInfo(TablePath("d", "t"), 1, 1, TableDescriptor(SCHEMA, bucket_count=4), 0, 0, bucket_count_epoch=1)


def test_the_number_of_the_partition_is_right() -> None:
    check_routing(TABLE, 2, 2)


@pytest.mark.parametrize("sent", [None, 0, 1, 4])
def test_others_are_wrong(sent: int | None) -> None:
    assert code_of(lambda: check_routing(TABLE, 2, sent)) is ErrorCode.INVALID_BUCKET_ROUTING


def test_it_can_be_tried_again_while_the_partition_is_not_known() -> None:
    assert code_of(lambda: check_routing(TABLE, 0, 2)) is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION
