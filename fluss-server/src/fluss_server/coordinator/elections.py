"""Who leads a bucket, and which ISR a leader may set. Pure.

Epochs: a change of the leader, also to none, raises leader epoch and bucket epoch; a change of the ISR alone raises the
bucket epoch. Only members of the ISR are elected: a bucket whose ISR is down has no leader until one of them is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fluss_server.cluster.messages import NO_LEADER, Failure, IsrChange
from fluss_server.coordinator.cluster_state import BucketState
from fluss_server.errors import ErrorCode
from fluss_server.metadata.records import LeaderAndIsrRecord


def first_leader(available: Sequence[int], coordinator_epoch: int) -> LeaderAndIsrRecord | None:
    """The first record of a new bucket: its first available replica leads, all available ones are in sync.

    Args:
        available: replicas that can lead, in the order of the assignment.

    Returns:
        None when there is none.
    """
    if not available:
        return None
    return LeaderAndIsrRecord(available[0], 0, tuple(available), coordinator_epoch, 0)


def elect(record: LeaderAndIsrRecord, available: Sequence[int]) -> LeaderAndIsrRecord | None:
    """A record with another leader: a standby that is available and in sync, else the first such replica.

    Args:
        record: the present one.
        available: replicas that can lead, in the order of the assignment.

    Returns:
        None when none of them is in sync.
    """
    candidates = [server for server in available if server in record.isr]
    preferred = [server for server in record.standby_replicas if server in candidates]
    if not candidates:
        return None
    return with_leader(record, (preferred or candidates)[0])


def with_leader(record: LeaderAndIsrRecord, leader: int) -> LeaderAndIsrRecord:
    """The record after a change of the leader; ``NO_LEADER`` for none."""
    return replace(
        record,
        leader=leader,
        leader_epoch=record.leader_epoch + 1,
        bucket_epoch=record.bucket_epoch + 1,
        standby_replicas=tuple(server for server in record.standby_replicas if server != leader),
    )


def without_replica(record: LeaderAndIsrRecord, server: int) -> LeaderAndIsrRecord:
    """The record after a replica has gone offline; the last member of an ISR stays in it.

    Returns:
        the same record when nothing changes.
    """
    isr = tuple(member for member in record.isr if member != server) or record.isr
    standby = tuple(member for member in record.standby_replicas if member != server)
    shrunk = replace(record, isr=isr, standby_replicas=standby)
    if record.leader == server:
        return with_leader(shrunk, NO_LEADER)
    return shrunk if shrunk == record else replace(shrunk, bucket_epoch=record.bucket_epoch + 1)


def isr_change_failure(
    change: IsrChange,
    leader: int,
    state: BucketState | None,
    coordinator_epoch: int,
    live_servers: Mapping[int, str],
) -> Failure | None:
    """Why a leader may not set an ISR, or None if it may.

    Args:
        change: what it wants.
        leader: the server that sent the request.
        state: the bucket, None when there is none.
        coordinator_epoch: of this coordinator.
        live_servers: incarnations of the servers that may be in an ISR, by id.
    """
    record = None if state is None else state.record
    if state is None or record is None:
        return Failure(ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION, f"there is no bucket {change.bucket} with a leader")
    known = f"bucket {change.bucket} has leader {record.leader} in epoch {record.leader_epoch}"
    if (
        change.leader_epoch > record.leader_epoch
        or change.bucket_epoch > record.bucket_epoch
        or change.coordinator_epoch > coordinator_epoch
    ):
        return Failure(
            ErrorCode.INVALID_COORDINATOR_EXCEPTION, f"{known}, which is older: this coordinator was replaced"
        )
    if change.leader_epoch < record.leader_epoch or leader != record.leader:
        return Failure(ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION, f"{known}, not {leader} in {change.leader_epoch}")
    if change.bucket_epoch < record.bucket_epoch:
        return Failure(
            ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
            f"bucket {change.bucket} has the bucket epoch {record.bucket_epoch}, not {change.bucket_epoch}",
        )
    if leader not in change.isr:
        return Failure(ErrorCode.INELIGIBLE_REPLICA_EXCEPTION, f"the ISR {change.isr} lacks the leader {leader}")
    if dead := [server for server in change.isr if server not in live_servers]:
        return Failure(ErrorCode.INELIGIBLE_REPLICA_EXCEPTION, f"the servers {dead} of the ISR are not live")
    if restarted := [server for server, known in change.incarnations if live_servers.get(server, known) != known]:
        return Failure(
            ErrorCode.INELIGIBLE_REPLICA_EXCEPTION,
            f"the servers {restarted} were started again since they fetched, and may have lost what they had",
        )
    if strangers := [server for server in change.isr if server not in state.replicas]:
        return Failure(ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION, f"{strangers} have no replica of {change.bucket}")
    return None
