"""The leader's side of replication: FETCH_LOG of followers, and LEADER_EPOCHS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.follower_replica import LeaderLog
from fluss_server.replica.replica import Replica
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.loop_share import LoopShare, TimeSlice
from fluss_server.tablet.fetch import BucketFetch, BucketResult, FetchLimits, fetch_log
from fluss_server.tablet.isr_maintenance import IsrMaintenance
from fluss_server.tablet.parked_fetches import ParkedFetches
from fluss_server.tablet.replica_manager import ReplicaManager
from fluss_server.tablet.replication_protocol import FollowerFetch, bucket_of, leader_epochs_response

MAX_PARKED_FETCHES = 4_000
"""Places of followers' fetches that wait, see :class:`ParkedFetches`: enough for 64,000 replicas on other servers."""

USUAL_WAIT_MS = 1_000
"""A fetch that may wait for longer says that nothing happens to its buckets: all of the followers must be in sync."""

MAX_FETCH_BYTES = 64 << 20


class ReplicationService:
    """What this server does for the followers of the buckets that it leads.

    Args:
        replicas: of this server.
        isr: is told of every fetch.
        clock: for the event loop's share.
    """

    def __init__(self, replicas: ReplicaManager, isr: IsrMaintenance, clock: Clock) -> None:
        self._replicas = replicas
        self._isr = isr
        self._clock = clock
        self._share = LoopShare()
        self.parked = ParkedFetches(MAX_PARKED_FETCHES)

    @rpc(ApiKey.LEADER_EPOCHS)
    def leader_epochs(self, request: Any, context: RequestContext) -> ResponseBody:
        """Which part of the log of each bucket was written in which leader epoch, for followers to compare."""
        results: list[tuple[TableBucket, LeaderLog | FlussError]] = []
        for entry in request.buckets:
            bucket = bucket_of(entry)
            try:
                replica = self._leader(bucket, request.follower_server_id, entry.leader_epoch)
                if entry.storage_failed:
                    self._leave_out(replica, request.follower_server_id)
                log = replica.log
                results.append((bucket, LeaderLog(log.epochs, log.start_offset, log.end_offset)))
            except FlussError as error:
                results.append((bucket, error))
        response: ResponseBody = leader_epochs_response(results)
        return response

    def _leave_out(self, replica: Replica, server: int) -> None:
        """A follower has lost nothing yet, perhaps, but its next process may lack what it has reported."""
        assert replica.followers is not None, "it has followers"
        replica.followers.storage_failed(server)
        self._isr.fetched(replica, server)

    async def fetch(self, request: pb.FetchLogRequest, context: RequestContext) -> list[BucketResult]:
        """A FETCH_LOG of a follower: its offsets tell what it has, and it gets everything that is in the log."""
        server = request.follower_server_id
        self._isr.heard(server)
        epochs: dict[TableBucket, int] = {}
        fetches: list[BucketFetch] = []
        failed: list[BucketResult] = []
        said = FollowerFetch.read(request)
        numbers = iter(said.leader_epochs)
        wait_ms = request.max_wait_ms if request.HasField("max_wait_ms") else None
        waits_s = 0.0
        if wait_ms is not None and wait_ms > USUAL_WAIT_MS:
            waits_s = min(wait_ms / 1000, self._isr.longest_wait_s)
            wait_ms = int(waits_s * 1000)
        for table in request.tables_req:
            for entry in table.buckets_req:
                partition_id = entry.partition_id if entry.HasField("partition_id") else None
                bucket = TableBucket(table.table_id, partition_id, entry.bucket_id)
                fetch = BucketFetch(bucket, entry.fetch_offset, max(entry.max_fetch_bytes, 0), is_follower=True)
                epochs[bucket] = epoch = next(numbers)
                try:
                    leader = self._leader(bucket, server, epoch)
                    self._take_in_progress(leader, server, fetch.offset, said, waits_s)
                    fetches.append(fetch)
                    if waits_s and leader.followers is not None and server not in leader.followers.isr.members:
                        wait_ms = min(wait_ms or 0, USUAL_WAIT_MS)
                except FlussError as error:
                    failed.append(BucketResult(fetch, error))
        # While it waits, another epoch may begin: what is appended then is not for this request.
        results = await fetch_log(
            fetches,
            lambda bucket: self._leader(bucket, server, epochs[bucket]),
            FetchLimits(
                max_bytes=min(max(request.max_bytes, 0), MAX_FETCH_BYTES),
                min_bytes=request.min_bytes if request.HasField("min_bytes") and not failed else None,
                max_wait_ms=wait_ms,
            ),
            response_slot=context.response_slot,
            response_capacity=context.response_capacity,
            parked=self.parked,
            time_slice=TimeSlice(self._share, self._clock),
            read_pool=self._replicas.read_pool,
        )
        if waits_s:
            self._note_responses(results, server)
        return [*results, *failed]

    def _note_responses(self, results: Sequence[BucketResult], server: int) -> None:
        for result in results:
            if result.size_bytes and (replica := self._replicas.find(result.fetch.bucket)) is not None:
                self._isr.responding(replica, server)

    def _leader(self, bucket: TableBucket, server: int, leader_epoch: int) -> Replica:
        """The replica that leads a bucket in an epoch, for a follower of it."""
        replica = self._replicas.leader(bucket)
        if replica.followers is None:
            raise FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"bucket {bucket} has no followers")
        replica.followers.check(server, leader_epoch)
        return replica

    def _take_in_progress(
        self, replica: Replica, server: int, offset: int, said: FollowerFetch, waits_s: float
    ) -> None:
        log = replica.log
        if not log.start_offset <= offset <= log.end_offset:
            raise FlussError(
                ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
                f"offset {offset} is outside of [{log.start_offset}, {log.end_offset}] of bucket {replica.bucket}",
            )
        replica.follower_fetched(server, offset, said.incarnation, said.disk_full, waits_s)
        self._isr.fetched(replica, server)
