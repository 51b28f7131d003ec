"""The nodes of a rebalance and of server tags are those of Apache Fluss, byte for byte."""

from __future__ import annotations

import pytest

from error_support import code_of
from fluss_server.errors import ErrorCode
from fluss_server.metadata.rebalance_records import (
    BucketMove,
    RebalanceRecord,
    RebalanceStatus,
    ServerTag,
    decode_server_tags,
    encode_server_tags,
)
from fluss_server.model.identifiers import TableBucket

REBALANCE = (
    b'{"version":1,"rebalance_id":"reb-1","rebalance_status":1,"rebalance_plan":[{"table_id":7,"buckets":[{"bucket_id":2,'
    b'"original_leader":0,"new_leader":1,"origin_replicas":[0,1],"new_replicas":[1,2]}]},{"table_id":8,"partition_id":31,'
    b'"buckets":[{"bucket_id":0,"original_leader":2,"new_leader":2,"origin_replicas":[2],"new_replicas":[2,0]}]}]}'
)
RECORD = RebalanceRecord(
    "reb-1",
    RebalanceStatus.REBALANCING,
    (
        BucketMove(TableBucket(7, None, 2), 0, 1, (0, 1), (1, 2)),
        BucketMove(TableBucket(8, 31, 0), 2, 2, (2,), (2, 0)),
    ),
)


def test_a_rebalance() -> None:
    assert RECORD.encode() == REBALANCE
    assert RebalanceRecord.decode(REBALANCE) == RECORD
    reverse = RECORD._replace(moves=RECORD.moves[::-1])
    assert reverse.encode() == REBALANCE, "plain tables come first"


def test_server_tags() -> None:
    value = b'{"version":1,"server_tags":{"2":1}}'
    assert encode_server_tags({2: ServerTag.TEMPORARY_OFFLINE}) == value
    assert decode_server_tags(value) == {2: ServerTag.TEMPORARY_OFFLINE}


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"server_tags":{"2":7}}', REBALANCE[:-9]])
def test_what_cannot_be_read(value: bytes) -> None:
    assert code_of(lambda: RebalanceRecord.decode(value)) is ErrorCode.UNKNOWN_SERVER_ERROR
    assert code_of(lambda: decode_server_tags(value)) is ErrorCode.UNKNOWN_SERVER_ERROR
