"""What tablet servers send to a coordinator as protobuf messages, and back; the other way: ``control_codecs.py``."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.message_parts import (
    decode_bucket,
    decode_endpoints,
    decode_failure,
    encode_bucket,
    encode_failure,
    partition_id_of,
)
from fluss_server.cluster.messages import (
    NO_LEADER,
    AdjustedBucket,
    AdjustIsr,
    AdjustIsrResponse,
    ControlledShutdown,
    ControlledShutdownResponse,
    DiskSpace,
    Failure,
    Heartbeat,
    IsrChange,
    Registered,
    RegisterServer,
    ReservedIds,
    ReserveIds,
    ReserveWriterIds,
    ResignedLeadership,
    ResignLeaderships,
    ServerNode,
)
from fluss_server.errors import ErrorCode
from fluss_server.model.identifiers import TableBucket
from fluss_server.rpc.endpoints import format_endpoints


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
    if value.is_new:
        message.is_new = True
    if value.fluss_version:
        message.fluss_version = value.fluss_version
    if value.server.endpoints:
        message.listeners = format_endpoints(value.server.endpoints)
    return message


def decode_register_server(message: Any) -> RegisterServer:
    endpoints = decode_endpoints(message.listeners) if message.HasField("listeners") else ()
    rack = message.rack if message.HasField("rack") else None
    return RegisterServer(
        ServerNode(message.server_id, endpoints, rack),
        message.incarnation,
        message.clean,
        message.fluss_version,
        message.durable,
        message.checks_permissions,
        message.is_new,
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
    return pb.ControlledShutdownResponse(remaining_leader_buckets=map(encode_bucket, value.remaining))


def decode_controlled_shutdown_response(message: pb.ControlledShutdownResponse) -> ControlledShutdownResponse:
    return ControlledShutdownResponse(tuple(map(decode_bucket, message.remaining_leader_buckets)))


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
                TableBucket(table.table_id, partition_id_of(entry), entry.bucket_id),
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
            table.buckets_resp.add(**bucket, **encode_failure(entry.failure))
    return message


def decode_adjust_isr_response(message: pb.AdjustIsrResponse) -> AdjustIsrResponse:
    return AdjustIsrResponse(
        tuple(_decode_adjusted(table.table_id, entry) for table in message.tables_resp for entry in table.buckets_resp)
    )


def _decode_adjusted(table_id: int, message: pb.PbAdjustIsrRespForBucket) -> AdjustedBucket:
    bucket = TableBucket(table_id, partition_id_of(message), message.bucket_id)
    failed = AdjustedBucket(bucket, decode_failure(message))
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
            candidates=entry.candidates,
        )
    return message


def decode_resign_leaderships(message: Any) -> ResignLeaderships:
    return ResignLeaderships(
        message.server_id,
        tuple(
            ResignedLeadership(
                TableBucket(entry.table_id, partition_id_of(entry), entry.bucket_id),
                entry.leader_epoch,
                decode_failure(entry) or Failure(ErrorCode.UNKNOWN_SERVER_ERROR, entry.error_message),
                entry.serves_reads,
                tuple(entry.candidates),
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
