from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cli.create_table_sql import parse_create_table
from fluss_server.cli.session import WHOLE_TABLE, Partition
from fluss_server.cli.table_writer import TableWriter, WriteFailure
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.model.identifiers import TablePath
from fluss_server.model.table import TableDescriptor, TableInfo


class ServerThatFails:
    """A session whose responses carry an error for some buckets, or whose calls fail."""

    def __init__(self, bad_buckets: dict[int, ErrorCode], failure: FlussError | None = None) -> None:
        self._bad_buckets = bad_buckets
        self._failure = failure
        self.rows_by_bucket: dict[int, int] = {}

    def partitions(self, table: TableInfo) -> list[Partition]:
        return [WHOLE_TABLE]

    def call(self, key: ApiKey, request: Any, **options: Any) -> Any:
        if self._failure is not None:
            raise self._failure
        response = pb.ProduceLogResponse()
        for bucket in request.buckets_req:
            entry = response.buckets_resp.add(bucket_id=bucket.bucket_id)
            if (code := self._bad_buckets.get(bucket.bucket_id)) is not None:
                entry.error_code, entry.error_message = int(code), "no"
        return response


def written(server: ServerThatFails) -> WriteFailure:
    statement = parse_create_table("CREATE TABLE t (n INT, s STRING) DISTRIBUTED BY (n) INTO 3 BUCKETS")
    table = TableInfo(TablePath("fluss", "t"), 1, 1, TableDescriptor.from_json(statement.descriptor), 0, 0)
    rows = pa.RecordBatch.from_pylist(
        [{"n": number, "s": "x"} for number in range(100)], schema=arrow_schema(table.schema)
    )
    with pytest.raises(WriteFailure) as raised:
        TableWriter(server, table).write(rows)  # type: ignore[arg-type]
    return raised.value


def test_rows_of_a_refused_bucket_are_missing_and_the_others_are_not() -> None:
    failure = written(ServerThatFails({1: ErrorCode.DISK_WRITE_LOCKED}))
    assert failure.error.code is ErrorCode.DISK_WRITE_LOCKED
    assert 0 < len(failure.missing) < 100
    assert failure.unknown == []
    other = written(ServerThatFails({0: ErrorCode.DISK_WRITE_LOCKED, 2: ErrorCode.DISK_WRITE_LOCKED}))
    assert sorted([*failure.missing, *other.missing]) == list(range(100))


def test_a_failed_storage_and_a_lost_connection_leave_it_open() -> None:
    failure = written(ServerThatFails({1: ErrorCode.STORAGE_EXCEPTION}))
    assert (failure.missing, len(failure.unknown) > 0) == ([], True)
    lost = written(ServerThatFails({}, FlussError(ErrorCode.NETWORK_EXCEPTION, "gone")))
    assert (lost.missing, lost.unknown) == ([], list(range(100)))
    refused = written(ServerThatFails({}, FlussError(ErrorCode.AUTHORIZATION_EXCEPTION, "no")))
    assert (refused.missing, refused.unknown) == (list(range(100)), [])
