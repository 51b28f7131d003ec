"""Every message between servers survives its way through protobuf, and through the bytes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_support import examples
from fluss_server.cluster import control_codecs, server_codecs
from fluss_server.cluster.messages import (
    AdjustedBucket,
    AdjustIsr,
    AdjustIsrResponse,
    BucketLeadership,
    BucketMetadata,
    BucketResult,
    ControlledShutdown,
    ControlledShutdownResponse,
    ControlStamp,
    DiskSpace,
    Failure,
    Heartbeat,
    IdBounds,
    IsrChange,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    PartitionMetadata,
    Registered,
    RegisterServer,
    ReplicaStop,
    ReservedIds,
    ReserveIds,
    ReserveWriterIds,
    ResignedLeadership,
    ResignLeaderships,
    ServerNode,
    StopReplicas,
    StopReplicasResponse,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.errors import ErrorCode
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.rpc.endpoints import Endpoint

int32 = st.integers(0, 2**31 - 1)
int64 = st.integers(0, 2**63 - 1)
names = st.text("abcdefghijklmnopqrstuvwxyz_0123456789-", min_size=1, max_size=12)
servers = st.lists(int32, max_size=4).map(tuple)
buckets = st.builds(TableBucket, int64, st.none() | int64, int32)
paths = st.builds(TablePath, names, names)
failures = st.builds(
    Failure,
    st.sampled_from([code for code in ErrorCode if code is not ErrorCode.NONE]),
    st.text(max_size=50),
    st.none(),
)
results = st.lists(st.builds(BucketResult, buckets, st.none() | failures), max_size=4).map(tuple)
hosts = st.sampled_from(["localhost", "fluss-0.example", "10.0.0.1", "::1", "fe80::1%1"])
endpoints = st.lists(
    st.builds(Endpoint, st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True), hosts, st.integers(0, 65535)),
    max_size=3,
    unique_by=lambda endpoint: endpoint.listener,
).map(tuple)
nodes = st.builds(ServerNode, int32, endpoints, st.none() | st.text())


def descriptor(columns: list[str], key: bool, properties: dict[str, str], comment: str | None) -> TableDescriptor:
    document: dict[str, Any] = {
        "schema": {"columns": [{"name": name, "data_type": {"type": "BIGINT", "nullable": False}} for name in columns]},
        "bucket_count": 3,
        "properties": properties,
        "custom_properties": {},
        "comment": comment,
    }
    if key:
        document["schema"]["primary_key"] = columns[:1]
    return TableDescriptor.from_json(document)


descriptors = st.builds(
    descriptor,
    st.lists(names, min_size=1, max_size=4, unique=True),
    st.booleans(),
    st.dictionaries(names, st.text(max_size=5), max_size=2),
    st.none() | st.text(max_size=5),
)
tables = st.builds(TableInfo, paths, int64, st.integers(1, 2**15 - 1), descriptors, int64, int64, st.integers(0, 3))
bucket_metadata = st.lists(
    st.builds(BucketMetadata, int32, st.none() | int32, servers, st.none() | int32, st.none() | int32, servers),
    max_size=3,
).map(tuple)
older_schemas = st.lists(st.tuples(st.integers(1, 9), descriptors.map(lambda found: found.schema)), max_size=2).map(
    tuple
)
table_metadata = st.lists(
    st.builds(TableMetadata, tables, bucket_metadata, older_schemas),
    max_size=3,
    unique_by=lambda entry: entry.table.table_id,
).map(tuple)
partitions = st.lists(
    st.builds(PartitionMetadata, st.builds(PartitionInfo, int64, int64, names), bucket_metadata), max_size=3
).map(tuple)
incarnations = st.lists(st.tuples(int32, names), max_size=3).map(tuple)
changes = st.builds(IsrChange, buckets, int32, servers, int32, int32, servers, incarnations)
adjusted = st.builds(AdjustedBucket, buckets, st.none(), st.integers(-1, 9), int32, servers, int32, int32, servers)
refused = st.tuples(buckets, failures).map(lambda pair: AdjustedBucket(*pair))
leaderships = st.builds(
    BucketLeadership,
    buckets,
    paths,
    st.none() | names,
    st.integers(-1, 9),
    int32,
    servers,
    servers,
    int32,
    servers,
    st.none() | int32,
)


stamps = st.none() | st.builds(ControlStamp, names, int64)


def many(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(entries, max_size=4).map(tuple)


messages = st.one_of(
    st.builds(NotifyLeaderAndIsr, int32, many(leaderships), stamps),
    st.builds(NotifyLeaderAndIsrResponse, results),
    st.builds(StopReplicas, int32, many(st.builds(ReplicaStop, buckets, int32, st.booleans(), st.booleans())), stamps),
    st.builds(StopReplicasResponse, results),
    st.builds(
        UpdateMetadata,
        int32,
        st.none() | nodes,
        st.none() | many(nodes),
        table_metadata,
        partitions,
        many(int64),
        many(int64),
        st.none() | st.builds(IdBounds, int64, int64, st.booleans()),
        stamps,
        st.none() | int32,
    ),
    st.builds(
        RegisterServer, nodes, names, st.booleans(), st.just("") | names, st.booleans(), st.booleans(), st.booleans()
    ),
    st.builds(Registered, int32, int32, st.none() | int64),
    st.builds(Heartbeat, int32, names, st.none() | st.builds(DiskSpace, int64, int64, int64)),
    st.builds(ControlledShutdown, int32, st.integers(-1, 9)),
    st.builds(ControlledShutdownResponse, many(buckets)),
    st.builds(AdjustIsr, int32, many(changes)),
    st.builds(AdjustIsrResponse, many(adjusted | refused)),
    st.builds(
        ResignLeaderships,
        int32,
        many(st.builds(ResignedLeadership, buckets, int32, failures, st.booleans(), servers)),
    ),
    st.builds(ReserveIds, int64, int64),
    st.builds(ReserveWriterIds, int64, st.integers(-1, 2**63 - 1)),
    st.builds(ReservedIds, int64, int64),
)

CODECS: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    NotifyLeaderAndIsr: (control_codecs.encode_notify_leader_and_isr, control_codecs.decode_notify_leader_and_isr),
    NotifyLeaderAndIsrResponse: (
        control_codecs.encode_notify_leader_and_isr_response,
        control_codecs.decode_notify_leader_and_isr_response,
    ),
    StopReplicas: (control_codecs.encode_stop_replicas, control_codecs.decode_stop_replicas),
    StopReplicasResponse: (control_codecs.encode_stop_replicas_response, control_codecs.decode_stop_replicas_response),
    UpdateMetadata: (control_codecs.encode_update_metadata, control_codecs.decode_update_metadata),
    RegisterServer: (server_codecs.encode_register_server, server_codecs.decode_register_server),
    Registered: (server_codecs.encode_registered, server_codecs.decode_registered),
    Heartbeat: (server_codecs.encode_heartbeat, server_codecs.decode_heartbeat),
    ControlledShutdown: (server_codecs.encode_controlled_shutdown, server_codecs.decode_controlled_shutdown),
    ControlledShutdownResponse: (
        server_codecs.encode_controlled_shutdown_response,
        server_codecs.decode_controlled_shutdown_response,
    ),
    AdjustIsr: (server_codecs.encode_adjust_isr, server_codecs.decode_adjust_isr),
    AdjustIsrResponse: (server_codecs.encode_adjust_isr_response, server_codecs.decode_adjust_isr_response),
    ResignLeaderships: (server_codecs.encode_resign_leaderships, server_codecs.decode_resign_leaderships),
    ReserveIds: (server_codecs.encode_reserve_ids, server_codecs.decode_reserve_ids),
    ReserveWriterIds: (server_codecs.encode_reserve_writer_ids, server_codecs.decode_reserve_writer_ids),
    ReservedIds: (server_codecs.encode_reserved_ids, server_codecs.decode_reserved_ids),
}


OTHER_RESPONSES: list[tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = [
    (Registered(3, 4), server_codecs.encode_heartbeat_response, server_codecs.decode_heartbeat_response),
    (ReservedIds(5, 6), server_codecs.encode_reserved_writer_ids, server_codecs.decode_reserved_writer_ids),
]


@pytest.mark.parametrize(("value", "encode", "decode"), OTHER_RESPONSES)
def test_one_value_can_be_the_response_of_two_apis(
    value: Any, encode: Callable[[Any], Any], decode: Callable[[Any], Any]
) -> None:
    message = encode(value)
    assert decode(type(message).FromString(message.SerializeToString())) == value


def test_a_server_that_does_not_say_that_it_stopped_cleanly_did_not() -> None:
    message = server_codecs.encode_register_server(RegisterServer(ServerNode(1), "first"))
    assert not message.HasField("clean")
    assert server_codecs.decode_register_server(message).clean is False


@settings(max_examples=examples(300))
@given(messages)
def test_decoding_undoes_encoding(value: Any) -> None:
    encode, decode = CODECS[type(value)]
    message = encode(value)
    assert decode(message) == value
    assert decode(type(message).FromString(message.SerializeToString())) == value


def test_a_hint_is_part_of_the_message_that_travels() -> None:
    failure = Failure(ErrorCode.STORAGE_EXCEPTION, "no space", "free some")
    bucket = TableBucket(1, None, 2)
    message = control_codecs.encode_stop_replicas_response(StopReplicasResponse((BucketResult(bucket, failure),)))
    [result] = control_codecs.decode_stop_replicas_response(message).replicas
    assert result.failure == Failure(ErrorCode.STORAGE_EXCEPTION, "no space (free some)")
