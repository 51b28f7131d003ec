"""The followers of a bucket in one leader epoch, and what follows from their progress. Pure.

* The high watermark is the smallest offset that all members of the maximal ISR have reached. It never falls, and stays
  where it is while the ISR has fewer members than the configured minimum.
* A new leader may know less of the high watermark than readers do. What was acknowledged before is in its log, because
  only members of the ISR are elected: so the bucket is served from when the high watermark has reached the *epoch
  start*, the end of the leader's log at the beginning of its epoch.
* A follower comes into the ISR when it has everything that may be acknowledged: up to the high watermark, and up to the
  epoch start. Fetches count only in the leader's epoch, so its log was compared with the leader's.
* Its fetches count for its process. The coordinator refuses a new member whose server was started again since: it may
  have lost what it had.
* It leaves the ISR when it lags for too long, sooner when it does not fetch at all, and at once when it has lost what
  was acknowledged, or says that its disk is full and there are enough others.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.replica.follower_progress import NO_OFFSET, FollowerProgress
from fluss_server.replica.in_sync_replicas import InSyncReplicas

_NOBODY: Mapping[int, float] = {}


class Followers:
    """What a leader knows of the other replicas of a bucket.

    Args:
        leader: id of this server.
        leader_epoch: of this leadership.
        replicas: the assignment.
        isr: see :class:`InSyncReplicas`.
        epoch_start: end of the leader's log when its epoch began.
        min_isr: members without which nothing is acknowledged; may be changed at any time.
        now_s: of a monotonic clock.

    Attributes:
        isr: the replicas in sync.
    """

    def __init__(
        self,
        leader: int,
        leader_epoch: int,
        replicas: Sequence[int],
        isr: InSyncReplicas,
        *,
        epoch_start: int,
        min_isr: int,
        now_s: float,
    ) -> None:
        self._leader = leader
        self.leader_epoch = leader_epoch
        self.epoch_start = epoch_start
        self.min_isr = min_isr
        self.isr = isr
        self.replicas: tuple[int, ...] = ()
        self._progress: dict[int, FollowerProgress] = {}
        self.assign(replicas, now_s)

    def assign(self, replicas: Sequence[int], now_s: float) -> None:
        """Take in another assignment."""
        self.replicas = tuple(replicas)
        self._progress = {
            server: self._progress.get(server) or FollowerProgress(now_s)
            for server in replicas
            if server != self._leader
        }

    def check(self, server: int, leader_epoch: int) -> None:
        """Refuse a follower that does not know its leader, or that this leader does not know.

        Raises:
            FlussError: ``FENCED_LEADER_EPOCH_EXCEPTION`` when its epoch is older; ``NOT_LEADER_OR_FOLLOWER`` when it is
                newer, or the server is not in the assignment.
        """
        if leader_epoch < self.leader_epoch:
            raise FlussError(
                ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
                f"leader epoch {leader_epoch} of server {server} is older than {self.leader_epoch}",
            )
        if leader_epoch > self.leader_epoch:
            raise FlussError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER,
                f"leader epoch {leader_epoch} of server {server} is newer than {self.leader_epoch}",
            )
        if server not in self._progress:
            raise FlussError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"server {server} has no replica of the bucket")

    def fetched(
        self,
        server: int,
        offset: int,
        log_end: int,
        now_s: float,
        incarnation: str | None = None,
        disk_full: bool | None = None,
        waits_s: float = 0.0,
    ) -> None:
        """A follower that was checked fetches from ``offset``, inside of the log.

        Args:
            server: which one.
            offset: everything before it is there.
            log_end: of the leader.
            now_s: of the monotonic clock.
            incarnation: of the follower's server: another process of it may have lost what this one has.
            disk_full: what it says of its disk, see :class:`FollowerProgress`.
            waits_s: how long the fetch may wait, see :meth:`FollowerProgress.fetched`.
        """
        self._progress[server].fetched(offset, log_end, now_s, incarnation, disk_full, waits_s)

    def responded(self, server: int, heard_s: float) -> None:
        """See :meth:`FollowerProgress.responded`."""
        progress = self._progress.get(server)
        if progress is not None:
            progress.responded(heard_s)

    def storage_failed(self, server: int) -> None:
        """A follower that was checked cannot go on before it is started again, and may have lost something then."""
        self._progress[server].has_failed = True

    def has_failed(self, server: int) -> bool:
        """Whether the storage of a follower has failed."""
        progress = self._progress.get(server)
        return progress is not None and progress.has_failed

    def is_full(self, server: int) -> bool:
        """Whether a follower has said that its disk is full."""
        progress = self._progress.get(server)
        return progress is not None and progress.disk_full is True

    @property
    def with_space(self) -> tuple[int, ...]:
        """Followers in the ISR that have said that there is space on their disks, if the ISR may lose the leader."""
        if len(self.isr.members) <= self.min_isr:
            return ()
        known = ((server, self._progress.get(server)) for server in self.isr.members)
        return tuple(server for server, progress in known if progress is not None and progress.disk_full is False)

    def incarnations_of(self, servers: Iterable[int]) -> tuple[tuple[int, str], ...]:
        """Which incarnation of each of some followers has what is known of it; not of those that did not say so."""
        known = ((server, self._progress.get(server)) for server in servers)
        return tuple(
            (server, progress.incarnation)
            for server, progress in known
            if progress is not None and progress.incarnation is not None
        )

    def forget(self, servers: Iterable[int], now_s: float) -> None:
        """What is known of some followers may be of processes that have ended: only their next fetches count."""
        for server in servers:
            if server in self._progress:
                self._progress[server] = FollowerProgress(now_s)

    def offset_of(self, server: int) -> int:
        """Up to where a follower has the log; :data:`NO_OFFSET` when that is not known."""
        progress = self._progress.get(server)
        return NO_OFFSET if progress is None else progress.offset

    def committable(self, durable_end: int, high_watermark: int) -> int:
        """Where the high watermark may be now, at least where it is.

        Args:
            durable_end: up to where the leader's own log is durable.
            high_watermark: where it is.
        """
        if not self.has_enough_replicas:
            return high_watermark
        end = durable_end
        for server in self.isr.maximal:
            if server != self._leader:
                end = min(end, self.offset_of(server))
        return max(end, high_watermark)

    @property
    def has_enough_replicas(self) -> bool:
        """Whether the ISR has as many members as it has to."""
        return len(self.isr.members) >= self.min_isr

    def check_enough_replicas(self) -> None:
        """Raise ``NOT_ENOUGH_REPLICAS_EXCEPTION`` unless writes can be acknowledged."""
        if not self.has_enough_replicas:
            raise FlussError(
                ErrorCode.NOT_ENOUGH_REPLICAS_EXCEPTION,
                f"{len(self.isr.members)} replicas are in sync, {self.min_isr} are needed",
                hint="wait until more servers are back, or lower log.replica.min-in-sync-replicas-number",
            )

    def may_join(self, server: int, high_watermark: int) -> bool:
        """Whether a replica outside of the ISR has what a member must have, and can go on."""
        if server in self.isr.members or self.is_full(server) or self.has_failed(server):
            return False
        return self.offset_of(server) >= max(high_watermark, self.epoch_start)

    def wanted_isr(
        self,
        *,
        high_watermark: int,
        log_end: int,
        now_s: float,
        max_lag_s: float,
        live: Container[int],
        max_silence_s: float = math.inf,
        heard_s: Mapping[int, float] = _NOBODY,
    ) -> tuple[int, ...] | None:
        """The ISR to request from the coordinator, in the order of the assignment; None if there is nothing to change.

        After requests of unknown outcome it may be the confirmed one: storing it again ends the doubt.

        Args:
            high_watermark: of the bucket.
            log_end: of the leader.
            now_s: of the monotonic clock.
            max_lag_s: see :meth:`FollowerProgress.is_lagging`.
            live: servers that may come into an ISR; the coordinator removes those that are gone.
            max_silence_s: see :meth:`FollowerProgress.is_lagging`.
            heard_s: when each server has sent a fetch last.
        """
        if self.isr.is_requested:
            return None
        wanted = []
        for server in self.replicas:
            if server == self._leader:
                wanted.append(server)
            elif server in self.isr.members:
                progress = self._progress[server]
                has_lost = progress.has_failed or NO_OFFSET < progress.offset < high_watermark
                heard = heard_s.get(server, -math.inf)
                if not has_lost and not progress.is_lagging(log_end, now_s, max_lag_s, max_silence_s, heard):
                    wanted.append(server)
            elif server in live and self.may_join(server, high_watermark):
                wanted.append(server)
        for server in [server for server in wanted if self.is_full(server)]:
            if len(wanted) > max(self.min_isr, 1):
                wanted.remove(server)
        if set(wanted) == set(self.isr.members) and not self.isr.is_uncertain:
            return None
        return tuple(wanted)
