"""The values of ``messages.py`` as protobuf messages, and back.

``encode_x`` and ``decode_x`` are inverse to each other for every value. A message of another server that lacks what a
value needs, or says what cannot be, is refused with ``CORRUPT_MESSAGE``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.messages import (
    NO_LEADER,
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
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema, parse_json
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.rpc.endpoints import Endpoint, format_endpoints, parse_endpoints

# How UPDATE_METADATA names what is gone when only its id is known.
DELETED_DATABASE = "__UNKNOWN__"
DELETED_NAME = "__delete__"
UNKNOWN_ID = -2

# Buckets


def _encode_bucket(bucket: TableBucket) -> pb.PbTableBucket:
    return pb.PbTableBucket(table_id=bucket.table_id, partition_id=bucket.partition_id, bucket_id=bucket.bucket)


def _decode_bucket(message: pb.PbTableBucket) -> TableBucket:
    return TableBucket(message.table_id, _partition_id(message), message.bucket_id)


def _partition_id(message: Any) -> int | None:
    return message.partition_id if message.HasField("partition_id") else None


def _encode_failure(failure: Failure | None) -> dict[str, Any]:
    return {} if failure is None else {"error_code": int(failure.code), "error_message": str(failure.error())}


def _decode_failure(message: Any) -> Failure | None:
    if not message.HasField("error_code") or message.error_code == ErrorCode.NONE:
        return None
    try:
        code = ErrorCode(message.error_code)
    except ValueError:  # a later version of the protocol has more
        code = ErrorCode.UNKNOWN_SERVER_ERROR
    return Failure(code, message.error_message)


def _encode_results(results: Iterable[BucketResult], message: Any) -> None:
    for result in results:
        message.add(table_bucket=_encode_bucket(result.bucket), **_encode_failure(result.failure))


def _decode_results(entries: Iterable[Any]) -> tuple[BucketResult, ...]:
    return tuple(BucketResult(_decode_bucket(entry.table_bucket), _decode_failure(entry)) for entry in entries)


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
        message.notify_buckets_leader_req.add(
            physical_table_path=pb.PbPhysicalTablePath(
                database_name=bucket.path.database, table_name=bucket.path.table, partition_name=bucket.partition
            ),
            table_bucket=_encode_bucket(bucket.bucket),
            leader=bucket.leader,
            leader_epoch=bucket.leader_epoch,
            replicas=bucket.replicas,
            isr=bucket.isr,
            bucket_epoch=bucket.bucket_epoch,
            standby_replicas=bucket.standby_replicas,
        )
    _encode_stamp(value.stamp, message)
    return message


def decode_notify_leader_and_isr(message: pb.NotifyLeaderAndIsrRequest) -> NotifyLeaderAndIsr:
    return NotifyLeaderAndIsr(
        message.coordinator_epoch,
        tuple(
            BucketLeadership(
                _decode_bucket(entry.table_bucket),
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
            )
            for entry in message.notify_buckets_leader_req
        ),
        _decode_stamp(message.SerializeToString()),
    )


def encode_notify_leader_and_isr_response(value: NotifyLeaderAndIsrResponse) -> pb.NotifyLeaderAndIsrResponse:
    message = pb.NotifyLeaderAndIsrResponse()
    _encode_results(value.buckets, message.notify_buckets_leader_resp)
    return message


def decode_notify_leader_and_isr_response(message: pb.NotifyLeaderAndIsrResponse) -> NotifyLeaderAndIsrResponse:
    return NotifyLeaderAndIsrResponse(_decode_results(message.notify_buckets_leader_resp))


# STOP_REPLICA


def encode_stop_replicas(value: StopReplicas) -> pb.StopReplicaRequest:
    message = pb.StopReplicaRequest(coordinator_epoch=value.coordinator_epoch)
    for replica in value.replicas:
        message.stop_replicas_req.add(
            table_bucket=_encode_bucket(replica.bucket),
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
            ReplicaStop(_decode_bucket(entry.table_bucket), entry.leader_epoch, entry.delete, entry.deleteRemote)
            for entry in message.stop_replicas_req
        ),
        _decode_stamp(message.SerializeToString()),
    )


def encode_stop_replicas_response(value: StopReplicasResponse) -> pb.StopReplicaResponse:
    message = pb.StopReplicaResponse()
    _encode_results(value.replicas, message.stop_replicas_resp)
    return message


def decode_stop_replicas_response(message: pb.StopReplicaResponse) -> StopReplicasResponse:
    return StopReplicasResponse(_decode_results(message.stop_replicas_resp))


# UPDATE_METADATA


def encode_update_metadata(value: UpdateMetadata) -> pb.UpdateMetadataRequest:
    message = pb.UpdateMetadataRequest(coordinator_epoch=value.coordinator_epoch)
    extension = message_class("UpdateMetadataExtension")()
    if value.coordinator is not None:
        _encode_server(value.coordinator, message.coordinator_server)
    if value.tablet_servers is None:
        extension.tablet_servers_unchanged = True
    for server in value.tablet_servers or ():
        _encode_server(server, message.tablet_servers.add())
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
        _decode_server(message.coordinator_server) if message.HasField("coordinator_server") else None,
        None if extension.tablet_servers_unchanged else tuple(map(_decode_server, message.tablet_servers)),
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


# Servers


def _encode_server(server: ServerNode, message: pb.PbServerNode) -> None:
    message.node_id = server.server_id
    # For peers that know no listeners.
    message.host = server.endpoints[0].host if server.endpoints else ""
    message.port = server.endpoints[0].port if server.endpoints else 0
    if server.endpoints:
        message.listeners = format_endpoints(server.endpoints)
    if server.rack is not None:
        message.rack = server.rack


def _decode_server(message: pb.PbServerNode) -> ServerNode:
    endpoints = _decode_endpoints(message.listeners) if message.HasField("listeners") else ()
    return ServerNode(message.node_id, endpoints, message.rack if message.HasField("rack") else None)


def _decode_endpoints(text: str) -> tuple[Endpoint, ...]:
    try:
        return tuple(parse_endpoints("listeners", text))
    except FlussError as error:
        raise FlussError(ErrorCode.CORRUPT_MESSAGE, error.message) from None


def encode_register_server(value: RegisterServer) -> Any:
    message = message_class("RegisterServerRequest")(
        server_id=value.server.server_id, incarnation=value.incarnation, rack=value.server.rack
    )
    if value.clean:
        message.clean = True
    if value.durable:
        message.durable = True
    if value.checks_permissions:
        message.checks_permissions = True
    if value.fluss_version:
        message.fluss_version = value.fluss_version
    if value.server.endpoints:
        message.listeners = format_endpoints(value.server.endpoints)
    return message


def decode_register_server(message: Any) -> RegisterServer:
    endpoints = _decode_endpoints(message.listeners) if message.HasField("listeners") else ()
    rack = message.rack if message.HasField("rack") else None
    return RegisterServer(
        ServerNode(message.server_id, endpoints, rack),
        message.incarnation,
        message.clean,
        message.fluss_version,
        message.durable,
        message.checks_permissions,
    )


def encode_registered(value: Registered) -> Any:
    return _encode_granted(value, message_class("RegisterServerResponse"))


def decode_registered(message: Any) -> Registered:
    version = message.settings_version if message.HasField("settings_version") else None
    return Registered(message.coordinator_epoch, message.lease_ms, version)


def _encode_granted(value: Registered, response: Any) -> Any:
    return response(
        coordinator_epoch=value.coordinator_epoch, lease_ms=value.lease_ms, settings_version=value.settings_version
    )


def encode_heartbeat(value: Heartbeat) -> Any:
    message = message_class("ServerHeartbeatRequest")(server_id=value.server_id, incarnation=value.incarnation)
    if value.disk is not None:
        message.disk.SetInParent()
        encode_disk_space(value.disk, message.disk)
    return message


def decode_heartbeat(message: Any) -> Heartbeat:
    disk = decode_disk_space(message.disk) if message.HasField("disk") else None
    return Heartbeat(message.server_id, message.incarnation, disk)


def encode_disk_space(value: DiskSpace, message: Any) -> None:
    """Write it into ``message``."""
    message.total_bytes, message.free_bytes, message.data_bytes = value


def decode_disk_space(message: Any) -> DiskSpace:
    return DiskSpace(message.total_bytes, message.free_bytes, message.data_bytes)


def encode_heartbeat_response(value: Registered) -> Any:
    return _encode_granted(value, message_class("ServerHeartbeatResponse"))


def decode_heartbeat_response(message: Any) -> Registered:
    return decode_registered(message)


# CONTROLLED_SHUTDOWN


def encode_controlled_shutdown(value: ControlledShutdown) -> pb.ControlledShutdownRequest:
    message = pb.ControlledShutdownRequest(tablet_server_id=value.server_id, tablet_server_epoch=value.server_epoch)
    if value.incarnation is not None:
        message.MergeFromString(message_class("ControlExtension")(incarnation=value.incarnation).SerializeToString())
    return message


def decode_controlled_shutdown(message: pb.ControlledShutdownRequest) -> ControlledShutdown:
    extension = message_class("ControlExtension").FromString(message.SerializeToString())
    incarnation = extension.incarnation if extension.HasField("incarnation") else None
    return ControlledShutdown(message.tablet_server_id, message.tablet_server_epoch, incarnation)


def encode_controlled_shutdown_response(value: ControlledShutdownResponse) -> pb.ControlledShutdownResponse:
    return pb.ControlledShutdownResponse(remaining_leader_buckets=map(_encode_bucket, value.remaining))


def decode_controlled_shutdown_response(message: pb.ControlledShutdownResponse) -> ControlledShutdownResponse:
    return ControlledShutdownResponse(tuple(map(_decode_bucket, message.remaining_leader_buckets)))


# ADJUST_ISR


def encode_adjust_isr(value: AdjustIsr) -> pb.AdjustIsrRequest:
    message = pb.AdjustIsrRequest(serverId=value.server_id)
    for table_id, changes in groupby(value.buckets, lambda change: change.bucket.table_id):
        table = message.tables_req.add(table_id=table_id)
        for change in changes:
            entry = table.buckets_req.add(
                partition_id=change.bucket.partition_id,
                bucket_id=change.bucket.bucket,
                leader_epoch=change.leader_epoch,
                new_isr=change.isr,
                coordinator_epoch=change.coordinator_epoch,
                bucket_epoch=change.bucket_epoch,
                standby_replicas=change.standby_replicas,
            )
            if change.incarnations:
                extension = message_class("AdjustIsrBucketExtension")()
                for server_id, incarnation in change.incarnations:
                    extension.incarnations.add(server_id=server_id, incarnation=incarnation)
                entry.MergeFromString(extension.SerializeToString())
    return message


def decode_adjust_isr(message: pb.AdjustIsrRequest) -> AdjustIsr:
    extension = message_class("AdjustIsrExtension").FromString(message.SerializeToString())
    return AdjustIsr(
        message.serverId,
        tuple(
            IsrChange(
                TableBucket(table.table_id, _partition_id(entry), entry.bucket_id),
                entry.leader_epoch,
                tuple(entry.new_isr),
                entry.coordinator_epoch,
                entry.bucket_epoch,
                tuple(entry.standby_replicas),
                tuple((found.server_id, found.incarnation) for found in own.incarnations),
            )
            for table, own_table in zip(message.tables_req, extension.tables_req, strict=True)
            for entry, own in zip(table.buckets_req, own_table.buckets_req, strict=True)
        ),
    )


def encode_adjust_isr_response(value: AdjustIsrResponse) -> pb.AdjustIsrResponse:
    message = pb.AdjustIsrResponse()
    for table_id, buckets in groupby(value.buckets, lambda entry: entry.bucket.table_id):
        table = message.tables_resp.add(table_id=table_id)
        for entry in buckets:
            bucket: dict[str, Any] = {"partition_id": entry.bucket.partition_id, "bucket_id": entry.bucket.bucket}
            if entry.failure is None:
                bucket |= {
                    "leader_id": entry.leader,
                    "leader_epoch": entry.leader_epoch,
                    "isr": entry.isr,
                    "bucket_epoch": entry.bucket_epoch,
                    "coordinator_epoch": entry.coordinator_epoch,
                    "standby_replicas": entry.standby_replicas,
                }
            table.buckets_resp.add(**bucket, **_encode_failure(entry.failure))
    return message


def decode_adjust_isr_response(message: pb.AdjustIsrResponse) -> AdjustIsrResponse:
    return AdjustIsrResponse(
        tuple(_decode_adjusted(table.table_id, entry) for table in message.tables_resp for entry in table.buckets_resp)
    )


def _decode_adjusted(table_id: int, message: pb.PbAdjustIsrRespForBucket) -> AdjustedBucket:
    bucket = TableBucket(table_id, _partition_id(message), message.bucket_id)
    failed = AdjustedBucket(bucket, _decode_failure(message))
    if failed.failure is not None:
        return failed
    return failed._replace(
        leader=message.leader_id if message.HasField("leader_id") else NO_LEADER,
        leader_epoch=message.leader_epoch,
        isr=tuple(message.isr),
        bucket_epoch=message.bucket_epoch,
        coordinator_epoch=message.coordinator_epoch,
        standby_replicas=tuple(message.standby_replicas),
    )


# RESIGN_LEADERSHIPS


def encode_resign_leaderships(value: ResignLeaderships) -> Any:
    message = message_class("ResignLeadershipsRequest")(server_id=value.server_id)
    for entry in value.buckets:
        message.buckets.add(
            table_id=entry.bucket.table_id,
            partition_id=entry.bucket.partition_id,
            bucket_id=entry.bucket.bucket,
            leader_epoch=entry.leader_epoch,
            error_code=int(entry.failure.code),
            error_message=entry.failure.message,
            serves_reads=entry.serves_reads,
        )
    return message


def decode_resign_leaderships(message: Any) -> ResignLeaderships:
    return ResignLeaderships(
        message.server_id,
        tuple(
            ResignedLeadership(
                TableBucket(entry.table_id, _partition_id(entry), entry.bucket_id),
                entry.leader_epoch,
                _decode_failure(entry) or Failure(ErrorCode.UNKNOWN_SERVER_ERROR, entry.error_message),
                entry.serves_reads,
            )
            for entry in message.buckets
        ),
    )


# Ids


def encode_reserve_ids(value: ReserveIds) -> Any:
    return message_class("ReserveIdsRequest")(table_id=value.table_id, size=value.size)


def decode_reserve_ids(message: Any) -> ReserveIds:
    return ReserveIds(message.table_id, message.size)


def encode_reserved_ids(value: ReservedIds) -> Any:
    return message_class("ReserveIdsResponse")(first=value.first, size=value.size)


def decode_reserved_ids(message: Any) -> ReservedIds:
    return ReservedIds(message.first, message.size)


def encode_reserve_writer_ids(value: ReserveWriterIds) -> Any:
    return message_class("ReserveWriterIdsRequest")(size=value.size, above=value.above)


def decode_reserve_writer_ids(message: Any) -> ReserveWriterIds:
    return ReserveWriterIds(message.size, message.above)


def encode_reserved_writer_ids(value: ReservedIds) -> Any:
    return message_class("ReserveWriterIdsResponse")(first=value.first, size=value.size)


def decode_reserved_writer_ids(message: Any) -> ReservedIds:
    return ReservedIds(message.first, message.size)
