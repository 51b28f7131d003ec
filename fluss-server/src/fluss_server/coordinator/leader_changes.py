"""What leaders and their servers report, and who leads then: responses, resignations, changes of ISRs. Pure.

A part of the state machine, see ``state_machine.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fluss_server.cluster.messages import (
    AWAITS_LEASES,
    NO_LEADER,
    AdjustedBucket,
    AdjustIsrResponse,
    Failure,
    ResignLeaderships,
)
from fluss_server.coordinator.cluster_state import BucketStatus, PhysicalTable, physical_table_of
from fluss_server.coordinator.elections import (
    elect,
    first_leader,
    isr_change_failure,
    with_leader,
    without_replica,
)
from fluss_server.coordinator.events import (
    IsrAdjustmentRequested,
    LeadershipConfirmed,
    LeadershipsConfirmed,
    ReplicasStopped,
)
from fluss_server.coordinator.plan_builder import PlanBuilder
from fluss_server.errors import ErrorCode
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.identifiers import TableBucket

_OUTDATED = frozenset({ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION, ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION})


class LeaderChanges(PlanBuilder):
    """The events about leaders, and elections."""

    def leaderships_confirmed(self, event: LeadershipsConfirmed) -> None:
        server = self.draft.server(event.server_id)
        if server is None:
            return
        touched: dict[PhysicalTable, None] = {}
        for outcome in event.outcomes:
            if self._confirm(event.server_id, outcome):
                touched[physical_table_of(outcome.leadership.bucket)] = None
        for physical in touched:
            self.show_if_ready(physical)

    def _confirm(self, server_id: int, outcome: LeadershipConfirmed) -> bool:
        """Take in one response; returns whether it was about the present leader.

        The bucket epoch does not matter: a leader may have changed its ISR before it responds.
        """
        bucket, failure = outcome.leadership.bucket, outcome.failure
        state = self.draft.bucket(bucket)
        if state is None or state.record is None or state.record.leader_epoch != outcome.leadership.leader_epoch:
            return False  # the bucket is gone, or a later notification is on its way
        if failure is not None and failure.code in _OUTDATED:
            return False  # the server has taken in a later notification already
        if failure is not None and failure.code is AWAITS_LEASES and outcome.leadership.begun_epoch is not None:
            self.note(bucket, "awaits-leases", f"server {server_id}, until leases of the coordinator before are over")
            return False
        self.served_no_more(bucket, server_id)
        state = self.draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        if failure is None:
            if state.leader == server_id and not state.active:
                self.draft.put_bucket(bucket, state._replace(active=True, inherited=None))
                self.note(bucket, "leader-active", f"server {server_id}, leader epoch {state.record.leader_epoch}")
            return True
        self.note(bucket, "leadership-failed", f"server {server_id}: {failure.message}")
        if failure.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION and state.leader == server_id:
            # It has begun this epoch before a restart, and can lead in the next one.
            self.draft.put_bucket(bucket, state._replace(inherited=None))
            self.write(bucket, with_leader(state.record, NO_LEADER), "epoch-begun-before")
            self._elect_where_needed({bucket: state})
            return True
        if state.leader == server_id:
            self._leader_failed(bucket, server_id, failure)
        else:
            self.draft.put_failure(server_id, bucket, failure)
            self.retry = True
        return True

    def replicas_stopped(self, event: ReplicasStopped) -> None:
        for bucket in event.buckets:
            state = self.draft.bucket(bucket)
            if state is not None and event.server_id not in state.replicas:
                self.served_no_more(bucket, event.server_id)

    def leaderships_resigned(self, request: ResignLeaderships) -> None:
        for resigned in request.buckets:
            bucket, server_id = resigned.bucket, request.server_id
            state = self.draft.bucket(bucket)
            if state is None or state.record is None or state.leader != server_id:
                continue
            if state.record.leader_epoch != resigned.leader_epoch:
                continue
            candidates = resigned.candidates or state.replicas
            others = [
                server for server in self.available(bucket, state) if server in candidates and server != server_id
            ]
            elected = elect(state.record, others)
            can_move = elected is not None
            self.note(bucket, "resigned" if can_move else "not-replaceable", f"server {server_id}: {resigned.failure}")
            if can_move and resigned.serves_reads:  # until it has heard of the other leader
                self.draft.put_bucket(bucket, state._replace(former=(*state.former, server_id)))
            if resigned.candidates:  # nothing else is wrong with it: it follows, and comes back into the ISR
                if elected is not None:
                    self.write(bucket, without_replica(elected, server_id), "move-leader")
            elif can_move or not resigned.serves_reads:
                self._leader_failed(bucket, server_id, resigned.failure)

    def failed_buckets_retried(self) -> None:
        failed = dict.fromkeys(bucket for _, bucket in self.draft.failures())
        for server_id, bucket in list(self.draft.failures()):
            self.draft.put_failure(server_id, bucket, None)
        buckets = {bucket: state for bucket in failed if (state := self.draft.bucket(bucket)) is not None}
        for bucket, state in buckets.items():
            if state.status is BucketStatus.ONLINE:
                self.announced[bucket] = None
        self._elect_where_needed(buckets)

    def isr_adjustment_requested(self, event: IsrAdjustmentRequested) -> AdjustIsrResponse:
        leader = event.request.server_id
        servers = self.draft.servers()
        live = {server.node.server_id: server.incarnation for server in servers if not server.shutting_down}
        adjusted = []
        for change in event.request.buckets:
            state = self.draft.bucket(change.bucket)
            failure = isr_change_failure(change, leader, state, self.draft.coordinator_epoch, live)
            if failure is not None or state is None or state.record is None:
                adjusted.append(AdjustedBucket(change.bucket, failure))
                if failure is not None and failure.code is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION:
                    self.tell_leadership(change.bucket, leader)  # the response to an earlier request was lost
                continue
            record = replace(
                state.record,
                isr=change.isr,
                bucket_epoch=state.record.bucket_epoch + 1,
                coordinator_epoch=self.draft.coordinator_epoch,
            )
            record = self.put_record(change.bucket, state, record)
            for server_id in set(record.standby_replicas) ^ set(state.record.standby_replicas):
                if server_id in state.replicas:
                    self.tell_leadership(change.bucket, server_id)
            self.note(change.bucket, "adjust-isr", f"ISR {list(record.isr)}")
            adjusted.append(
                AdjustedBucket(
                    change.bucket,
                    None,
                    record.leader,
                    record.leader_epoch,
                    record.isr,
                    record.bucket_epoch,
                    record.coordinator_epoch,
                    record.standby_replicas,
                )
            )
        return AdjustIsrResponse(tuple(adjusted))

    def _leader_failed(self, bucket: TableBucket, server_id: int, failure: Failure) -> None:
        """Let another replica lead. It does not wait for this one, which leaves the ISR, follows and may come back."""
        state = self.draft.bucket(bucket)
        assert state is not None, f"{bucket} exists"
        assert state.record is not None, f"{bucket} has a leader"
        self.draft.put_failure(server_id, bucket, failure)
        self.retry = True
        self.write(bucket, without_replica(state.record, server_id), "leader-failed")
        self._elect_where_needed([bucket])
        if len(state.replicas) > 1:
            self.tell_leadership(bucket, server_id)

    def _elect_where_needed(self, buckets: Iterable[TableBucket]) -> None:
        """Give a leader to those of some buckets that have none and can have one."""
        for bucket in list(buckets):
            state = self.draft.bucket(bucket)
            if state is None or state.status is BucketStatus.ONLINE:
                continue
            available = self.available(bucket, state)
            if state.record is None:
                record = first_leader(available, self.draft.coordinator_epoch)
            else:
                elected = elect(state.record, available)
                record = None if elected is None else self._without_absent(elected)
            if record is not None:
                self.write(bucket, record, "elect")
            else:
                self.note(bucket, "no-candidate", f"of {state.replicas}")

    def _without_absent(self, record: LeaderAndIsrRecord) -> LeaderAndIsrRecord:
        for server_id in sorted({record.leader, *record.isr} - {NO_LEADER}):
            if not self._is_live(server_id):
                record = without_replica(record, server_id)
        return record

    def _is_live(self, server_id: int) -> bool:
        return self.draft.server(server_id) is not None

    def _forget_failures(self, server_id: int) -> None:
        for server, bucket in list(self.draft.failures()):
            if server == server_id:
                self.draft.put_failure(server, bucket, None)
