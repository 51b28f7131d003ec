"""What a coordinator sends to tablet servers as protobuf messages, and back: leaderships, stops, metadata.

``encode_x`` and ``decode_x`` are inverse to each other for every value. A message of another server that lacks what a
value needs, or says what cannot be, is refused with ``CORRUPT_MESSAGE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.message_parts import (
    decode_bucket,
    decode_results,
    decode_server,
    encode_bucket,
    encode_results,
    encode_server,
)
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketMetadata,
    ControlStamp,
    IdBounds,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    PartitionMetadata,
    ReplicaStop,
    StopReplicas,
    StopReplicasResponse,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema, parse_json
from fluss_server.model.table import TableDescriptor, TableInfo

# How UPDATE_METADATA names what is gone when only its id is known.
DELETED_DATABASE = "__UNKNOWN__"
DELETED_NAME = "__delete__"
UNKNOWN_ID = -2


# Which process a control request is for, and its number


def _encode_stamp(stamp: ControlStamp | None, message: Any) -> None:
    if stamp is not None:
        extension = message_class("ControlExtension")(incarnation=stamp.incarnation, sequence=stamp.sequence)
        message.MergeFromString(extension.SerializeToString())


def _decode_stamp(encoded: bytes) -> ControlStamp | None:
    extension = message_class("ControlExtension").FromString(encoded)
    if not extension.HasField("sequence"):
        return None
    return ControlStamp(extension.incarnation, extension.sequence)


# NOTIFY_LEADER_AND_ISR


def encode_notify_leader_and_isr(value: NotifyLeaderAndIsr) -> pb.NotifyLeaderAndIsrRequest:
    message = pb.NotifyLeaderAndIsrRequest(coordinator_epoch=value.coordinator_epoch)
    for bucket in value.buckets:
        entry = message.notify_buckets_leader_req.add(
            physical_table_path=pb.PbPhysicalTablePath(
                database_name=bucket.path.database, table_name=bucket.path.table, partition_name=bucket.partition
            ),
            table_bucket=encode_bucket(bucket.bucket),
            leader=bucket.leader,
            leader_epoch=bucket.leader_epoch,
            replicas=bucket.replicas,
            isr=bucket.isr,
            bucket_epoch=bucket.bucket_epoch,
            standby_replicas=bucket.standby_replicas,
        )
        if bucket.begun_epoch is not None:
            extension = message_class("NotifyBucketExtension")(begun_epoch=bucket.begun_epoch)
            entry.MergeFromString(extension.SerializeToString())
    _encode_stamp(value.stamp, message)
    return message


def decode_notify_leader_and_isr(message: pb.NotifyLeaderAndIsrRequest) -> NotifyLeaderAndIsr:
    extension = message_class("NotifyExtension").FromString(message.SerializeToString())
    return NotifyLeaderAndIsr(
        message.coordinator_epoch,
        tuple(
            BucketLeadership(
                decode_bucket(entry.table_bucket),
                TablePath(entry.physical_table_path.database_name, entry.physical_table_path.table_name),
                entry.physical_table_path.partition_name
                if entry.physical_table_path.HasField("partition_name")
                else None,
                entry.leader,
                entry.leader_epoch,
                tuple(entry.replicas),
                tuple(entry.isr),
                entry.bucket_epoch,
                tuple(entry.standby_replicas),
                more.begun_epoch if more.HasField("begun_epoch") else None,
            )
            for entry, more in zip(message.notify_buckets_leader_req, extension.notify_buckets_leader_req, strict=True)
        ),
        ControlStamp(extension.incarnation, extension.sequence) if extension.HasField("sequence") else None,
    )


def encode_notify_leader_and_isr_response(value: NotifyLeaderAndIsrResponse) -> pb.NotifyLeaderAndIsrResponse:
    message = pb.NotifyLeaderAndIsrResponse()
    encode_results(value.buckets, message.notify_buckets_leader_resp)
    return message


def decode_notify_leader_and_isr_response(message: pb.NotifyLeaderAndIsrResponse) -> NotifyLeaderAndIsrResponse:
    return NotifyLeaderAndIsrResponse(decode_results(message.notify_buckets_leader_resp))


# STOP_REPLICA


def encode_stop_replicas(value: StopReplicas) -> pb.StopReplicaRequest:
    message = pb.StopReplicaRequest(coordinator_epoch=value.coordinator_epoch)
    for replica in value.replicas:
        message.stop_replicas_req.add(
            table_bucket=encode_bucket(replica.bucket),
            leader_epoch=replica.leader_epoch,
            delete=replica.delete,
            deleteRemote=replica.delete_remote,
        )
    _encode_stamp(value.stamp, message)
    return message


def decode_stop_replicas(message: pb.StopReplicaRequest) -> StopReplicas:
    return StopReplicas(
        message.coordinator_epoch,
        tuple(
            ReplicaStop(decode_bucket(entry.table_bucket), entry.leader_epoch, entry.delete, entry.deleteRemote)
            for entry in message.stop_replicas_req
        ),
        _decode_stamp(message.SerializeToString()),
    )


def encode_stop_replicas_response(value: StopReplicasResponse) -> pb.StopReplicaResponse:
    message = pb.StopReplicaResponse()
    encode_results(value.replicas, message.stop_replicas_resp)
    return message


def decode_stop_replicas_response(message: pb.StopReplicaResponse) -> StopReplicasResponse:
    return StopReplicasResponse(decode_results(message.stop_replicas_resp))


# UPDATE_METADATA


def encode_update_metadata(value: UpdateMetadata) -> pb.UpdateMetadataRequest:
    message = pb.UpdateMetadataRequest(coordinator_epoch=value.coordinator_epoch)
    extension = message_class("UpdateMetadataExtension")()
    if value.coordinator is not None:
        encode_server(value.coordinator, message.coordinator_server)
    if value.tablet_servers is None:
        extension.tablet_servers_unchanged = True
    for server in value.tablet_servers or ():
        encode_server(server, message.tablet_servers.add())
    for table in value.tables:
        _encode_table(table, message.table_metadata.add())
        for schema_id, schema in table.older_schemas:
            extension.older_schemas.add(
                table_id=table.table.table_id, schema_id=schema_id, schema_json=schema.to_json_bytes()
            )
    for table_id in value.dropped_tables:
        message.table_metadata.add(
            table_path=pb.PbTablePath(database_name=DELETED_DATABASE, table_name=DELETED_NAME),
            table_id=table_id,
            schema_id=0,
            table_json=b"",
            created_time=0,
            modified_time=0,
        )
    for entry in value.partitions:
        partition = message.partition_metadata.add(
            table_id=entry.partition.table_id,
            partition_id=entry.partition.partition_id,
            partition_name=entry.partition.name,
        )
        if entry.buckets:
            partition.bucket_count = len(entry.buckets)
        _encode_buckets(entry.buckets, partition.bucket_metadata)
    for partition_id in value.dropped_partitions:
        message.partition_metadata.add(table_id=UNKNOWN_ID, partition_id=partition_id, partition_name=DELETED_NAME)
    if value.snapshot is not None:
        extension.next_table_id, extension.next_partition_id, _ = value.snapshot
        if not value.snapshot.complete:
            extension.metadata_incomplete = True
    if value.part is not None:
        extension.part = value.part
    message.MergeFromString(extension.SerializeToString())
    _encode_stamp(value.stamp, message)
    return message


def decode_update_metadata(message: pb.UpdateMetadataRequest) -> UpdateMetadata:
    encoded = message.SerializeToString()
    extension = message_class("UpdateMetadataExtension").FromString(encoded)
    older: dict[int, list[tuple[int, Schema]]] = {}
    for entry in extension.older_schemas:
        schema = Schema.from_json(parse_json(entry.schema_json, "schema"))
        older.setdefault(entry.table_id, []).append((entry.schema_id, schema))
    tables = [entry for entry in message.table_metadata if entry.table_path.database_name != DELETED_DATABASE]
    dropped_tables = [entry.table_id for entry in message.table_metadata if _is_deleted(entry.table_path)]
    partitions = [entry for entry in message.partition_metadata if entry.partition_name != DELETED_NAME]
    snapshot = None
    if extension.HasField("next_table_id"):
        snapshot = IdBounds(extension.next_table_id, extension.next_partition_id, not extension.metadata_incomplete)
    return UpdateMetadata(
        message.coordinator_epoch,
        decode_server(message.coordinator_server) if message.HasField("coordinator_server") else None,
        None if extension.tablet_servers_unchanged else tuple(map(decode_server, message.tablet_servers)),
        tuple(_decode_table(entry, tuple(older.get(entry.table_id, ()))) for entry in tables),
        tuple(
            PartitionMetadata(
                PartitionInfo(entry.table_id, entry.partition_id, entry.partition_name),
                _decode_buckets(entry.bucket_metadata),
            )
            for entry in partitions
        ),
        tuple(dropped_tables),
        tuple(entry.partition_id for entry in message.partition_metadata if entry.partition_name == DELETED_NAME),
        snapshot,
        _decode_stamp(encoded),
        extension.part if extension.HasField("part") else None,
    )


def _is_deleted(path: pb.PbTablePath) -> bool:
    return path.database_name == DELETED_DATABASE and path.table_name == DELETED_NAME


def _encode_table(value: TableMetadata, message: pb.PbTableMetadata) -> None:
    table = value.table
    message.table_path.database_name, message.table_path.table_name = table.path
    message.table_id = table.table_id
    message.schema_id = table.schema_id
    message.table_json = table.descriptor_json
    message.created_time = table.created_time
    message.modified_time = table.modified_time
    if table.bucket_count_epoch:
        message.bucket_count_epoch = table.bucket_count_epoch
    _encode_buckets(value.buckets, message.bucket_metadata)


def _decode_table(message: pb.PbTableMetadata, older: tuple[tuple[int, Schema], ...]) -> TableMetadata:
    table = TableInfo(
        TablePath(message.table_path.database_name, message.table_path.table_name),
        message.table_id,
        message.schema_id,
        TableDescriptor.from_json_bytes(message.table_json),
        message.created_time,
        message.modified_time,
        message.bucket_count_epoch,
    )
    return TableMetadata(table, _decode_buckets(message.bucket_metadata), older)


def _encode_buckets(buckets: Iterable[BucketMetadata], message: Any) -> None:
    for bucket in buckets:
        message.add(
            bucket_id=bucket.bucket,
            leader_id=bucket.leader,
            replica_id=bucket.replicas,
            leader_epoch=bucket.leader_epoch,
            bucket_epoch=bucket.bucket_epoch,
            isr=bucket.isr,
        )


def _decode_buckets(entries: Iterable[pb.PbBucketMetadata]) -> tuple[BucketMetadata, ...]:
    return tuple(
        BucketMetadata(
            entry.bucket_id,
            entry.leader_id if entry.HasField("leader_id") else None,
            tuple(entry.replica_id),
            entry.leader_epoch if entry.HasField("leader_epoch") else None,
            entry.bucket_epoch if entry.HasField("bucket_epoch") else None,
            tuple(entry.isr),
        )
        for entry in entries
    )
