"""Protobuf messages between servers of this project that Apache Fluss does not have.

They are described here and not in ``fluss.proto``, which is the protocol of Apache Fluss. APIs from
``FIRST_OWN_KEY`` on use them. The fields of an extension travel inside an official request:
``UpdateMetadataExtension`` in UPDATE_METADATA, ``ControlExtension`` in that one, in NOTIFY_LEADER_AND_ISR and in
STOP_REPLICA, ``FollowerFetchExtension`` in FETCH_LOG, ``AdjustIsrExtension`` in ADJUST_ISR. Their numbers are above all
official ones, so official servers skip them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

PACKAGE = "fluss.internal"
FILE_NAME = "fluss_internal.proto"

# Message → fields: number, label, type, name. A type that is not a scalar is a message of this table.
_MESSAGES: dict[str, list[tuple[int, str, str, str]]] = {
    "RegisterServerRequest": [
        (1, "required", "int32", "server_id"),
        (2, "required", "string", "incarnation"),
        (3, "optional", "string", "listeners"),
        (4, "optional", "string", "rack"),
        (5, "optional", "bool", "clean"),
        (6, "optional", "string", "fluss_version"),
        (7, "optional", "bool", "durable"),
        (8, "optional", "bool", "checks_permissions"),
        (9, "optional", "bool", "is_new"),
    ],
    "RegisterServerResponse": [
        (1, "required", "int32", "coordinator_epoch"),
        (2, "required", "int32", "lease_ms"),
        (3, "optional", "int64", "settings_version"),
    ],
    "ServerHeartbeatRequest": [
        (1, "required", "int32", "server_id"),
        (2, "required", "string", "incarnation"),
        (3, "optional", "DiskSpace", "disk"),
    ],
    "DiskSpace": [
        (1, "required", "int64", "total_bytes"),
        (2, "required", "int64", "free_bytes"),
        (3, "required", "int64", "data_bytes"),
    ],
    "ServerHeartbeatResponse": [
        (1, "required", "int32", "coordinator_epoch"),
        (2, "required", "int32", "lease_ms"),
        (3, "optional", "int64", "settings_version"),
    ],
    "ReserveIdsRequest": [
        (1, "required", "int64", "table_id"),
        (2, "required", "int64", "size"),
    ],
    "ReserveIdsResponse": [
        (1, "required", "int64", "first"),
        (2, "required", "int64", "size"),
    ],
    "ReserveWriterIdsRequest": [
        (1, "required", "int64", "size"),
        (2, "required", "int64", "above"),
    ],
    "ReserveWriterIdsResponse": [
        (1, "required", "int64", "first"),
        (2, "required", "int64", "size"),
    ],
    "LeaderEpochsRequest": [
        (1, "required", "int32", "follower_server_id"),
        (2, "repeated", "LeaderEpochsRequestBucket", "buckets"),
    ],
    "LeaderEpochsRequestBucket": [
        (1, "required", "int64", "table_id"),
        (2, "optional", "int64", "partition_id"),
        (3, "required", "int32", "bucket_id"),
        (4, "required", "int32", "leader_epoch"),
        (5, "optional", "bool", "storage_failed"),
    ],
    "LeaderEpochsResponse": [
        (1, "repeated", "LeaderEpochsResponseBucket", "buckets"),
    ],
    "LeaderEpochsResponseBucket": [
        (1, "required", "int64", "table_id"),
        (2, "optional", "int64", "partition_id"),
        (3, "required", "int32", "bucket_id"),
        (4, "optional", "int32", "error_code"),
        (5, "optional", "string", "error_message"),
        (6, "optional", "int64", "log_start_offset"),
        (7, "optional", "int64", "log_end_offset"),
        (8, "repeated", "LeaderEpochStart", "epochs"),
    ],
    "LeaderEpochStart": [
        (1, "required", "int32", "epoch"),
        (2, "required", "int64", "start_offset"),
    ],
    "FollowerFetchExtension": [
        (3, "repeated", "FollowerFetchTableExtension", "tables_req"),
        (20_100, "optional", "string", "incarnation"),
        (20_101, "optional", "bool", "disk_full"),
    ],
    "FollowerFetchTableExtension": [
        (4, "repeated", "FollowerFetchBucketExtension", "buckets_req"),
    ],
    "FollowerFetchBucketExtension": [
        (20_000, "optional", "int32", "leader_epoch"),
    ],
    "AdjustIsrExtension": [
        (2, "repeated", "AdjustIsrTableExtension", "tables_req"),
    ],
    "AdjustIsrTableExtension": [
        (2, "repeated", "AdjustIsrBucketExtension", "buckets_req"),
    ],
    "AdjustIsrBucketExtension": [
        (20_000, "repeated", "FollowerIncarnation", "incarnations"),
    ],
    "FollowerIncarnation": [
        (1, "required", "int32", "server_id"),
        (2, "required", "string", "incarnation"),
    ],
    "ForwardCallRequest": [
        (1, "required", "int32", "api_key"),
        (2, "required", "int32", "api_version"),
        (3, "required", "string", "principal_type"),
        (4, "required", "string", "principal_name"),
        (5, "required", "string", "peer"),
        (6, "required", "bytes", "request"),
        (7, "optional", "string", "listener"),
    ],
    "ForwardCallResponse": [
        (1, "required", "bytes", "response"),
    ],
    "ResignLeadershipsRequest": [
        (1, "required", "int32", "server_id"),
        (2, "repeated", "ResignedLeadership", "buckets"),
    ],
    "ResignedLeadership": [
        (1, "required", "int64", "table_id"),
        (2, "optional", "int64", "partition_id"),
        (3, "required", "int32", "bucket_id"),
        (4, "required", "int32", "leader_epoch"),
        (5, "required", "int32", "error_code"),
        (6, "optional", "string", "error_message"),
        (7, "required", "bool", "serves_reads"),
        (8, "repeated", "int32", "candidates"),
    ],
    "ResignLeadershipsResponse": [],
    "StandByRequest": [
        (1, "required", "string", "coordinator_id"),
        (2, "optional", "int32", "coordinator_epoch"),
        (3, "optional", "int64", "confirmed_us"),
    ],
    "StandByResponse": [
        (1, "required", "string", "coordinator_id"),
        (2, "required", "int32", "coordinator_epoch"),
        (3, "required", "int64", "issued_us"),
    ],
    "UpdateSettingsRequest": [
        (1, "required", "int32", "coordinator_epoch"),
        (2, "required", "int64", "version"),
        (3, "required", "bool", "snapshot"),
        (4, "required", "int32", "part"),
        (5, "required", "bool", "is_last"),
        (6, "required", "bool", "has_overrides"),
        (7, "repeated", "SettingOverride", "overrides"),
        (8, "repeated", "ResourceAcls", "acls"),
        (20_100, "optional", "string", "incarnation"),
        (20_101, "optional", "int64", "sequence"),
    ],
    "SettingOverride": [
        (1, "required", "string", "key"),
        (2, "optional", "string", "value"),
    ],
    "ResourceAcls": [
        (1, "required", "int32", "resource_type"),
        (2, "required", "string", "resource_name"),
        (3, "required", "bytes", "acls_json"),
    ],
    "UpdateSettingsResponse": [],
    "TableSchema": [
        (1, "required", "int64", "table_id"),
        (2, "required", "int32", "schema_id"),
        (3, "required", "bytes", "schema_json"),
    ],
    "UpdateMetadataExtension": [
        (20_000, "repeated", "TableSchema", "older_schemas"),
        (20_001, "optional", "int64", "next_table_id"),
        (20_002, "optional", "int64", "next_partition_id"),
        (20_003, "optional", "bool", "metadata_incomplete"),
        (20_004, "optional", "bool", "tablet_servers_unchanged"),
        (20_005, "optional", "int32", "part"),
    ],
    "ControlExtension": [
        (20_100, "optional", "string", "incarnation"),
        (20_101, "optional", "int64", "sequence"),
    ],
    "NotifyExtension": [
        (2, "repeated", "NotifyBucketExtension", "notify_buckets_leader_req"),
        (20_100, "optional", "string", "incarnation"),
        (20_101, "optional", "int64", "sequence"),
    ],
    "NotifyBucketExtension": [
        (20_000, "optional", "int32", "begun_epoch"),
    ],
    "DescribeServersRequest": [],
    "DescribeServersResponse": [
        (1, "required", "int32", "coordinator_epoch"),
        (2, "required", "string", "coordinator"),
        (3, "repeated", "DescribedServer", "servers"),
    ],
    "DescribedServer": [
        (1, "required", "int32", "server_id"),
        (2, "required", "string", "listeners"),
        (3, "optional", "string", "rack"),
        (4, "required", "string", "state"),
        (5, "optional", "string", "tag"),
        (6, "optional", "string", "fluss_version"),
        (7, "optional", "int64", "silent_ms"),
        (8, "required", "int32", "leaders"),
        (9, "required", "int32", "replicas"),
        (10, "required", "int32", "in_sync"),
        (11, "optional", "DiskSpace", "disk"),
    ],
    "DescribeBucketsRequest": [
        (1, "required", "string", "database_name"),
        (2, "required", "string", "table_name"),
    ],
    "DescribeBucketsResponse": [
        (1, "repeated", "DescribedBucket", "buckets"),
    ],
    "DescribedBucket": [
        (1, "optional", "string", "partition"),
        (2, "required", "int32", "bucket_id"),
        (3, "required", "int32", "leader"),
        (4, "optional", "int32", "leader_epoch"),
        (5, "optional", "int32", "bucket_epoch"),
        (6, "repeated", "int32", "replicas"),
        (7, "repeated", "int32", "isr"),
        (8, "repeated", "int32", "standby"),
        (9, "required", "bool", "active"),
    ],
    "PlanRebalanceRequest": [
        (1, "repeated", "int32", "goals"),
        (2, "optional", "bool", "current"),
    ],
    "PlanRebalanceResponse": [
        (1, "repeated", "PlannedMove", "moves"),
    ],
    "PlannedMove": [
        (1, "required", "string", "table"),
        (2, "optional", "string", "partition"),
        (3, "required", "int32", "bucket_id"),
        (4, "required", "int32", "original_leader"),
        (5, "required", "int32", "new_leader"),
        (6, "repeated", "int32", "original_replicas"),
        (7, "repeated", "int32", "new_replicas"),
        (8, "optional", "int32", "status"),
    ],
}
_LABELS = {"optional": 1, "required": 2, "repeated": 3}
_TYPES = {"int64": 3, "int32": 5, "bool": 8, "string": 9, "bytes": 12}
_MESSAGE_TYPE = 11


@cache
def message_class(name: str) -> Any:
    """The class of a message of this module; ``KeyError``."""
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    pool.AddSerializedFile(descriptor_file().SerializeToString())
    return pool


def descriptor_file() -> Any:
    """Descriptor of the messages of this module."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file = FileDescriptorProto(name=FILE_NAME, package=PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, label, kind, field in fields:
            described = message.field.add(name=field, number=number)
            described.label = _LABELS[label]  # type: ignore[assignment]
            if kind in _TYPES:
                described.type = _TYPES[kind]  # type: ignore[assignment]
            else:
                described.type = _MESSAGE_TYPE  # type: ignore[assignment]
                described.type_name = f".{PACKAGE}.{kind}"
    return file
