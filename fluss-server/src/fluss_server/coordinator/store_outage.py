"""Leases while there is no contact to the store: who may grant them, and how long its successor waits.

A restart of ZooKeeper takes seconds, in which nobody can become active. The active coordinator cannot tell that from a
broken network between ZooKeeper and itself alone. It grants leases on all the same, for :data:`OUTAGE_S` after its last
contact, if it is the *grantor* that the store names, and if all standbys that it knows say that they are standbys.

A new coordinator that finds another grantor waits, before anybody else leads, until that one can have granted nothing
any more. It does not wait when the grantor needs its requests as a standby, or has surely ended. While it waits it is
no grantor itself, so that a third coordinator finds the same.
"""

from __future__ import annotations

import logging

from fluss_server.coordinator.fencing import FencedStore, fence
from fluss_server.coordinator.standby_coordinators import CLOCK_MARGIN, OUTAGE_S, Enrollment, StandbyCoordinators
from fluss_server.errors import FlussError
from fluss_server.metadata.server_records import LEASE_GRANTOR, CoordinatorRecord, LeaseGrantorRecord
from fluss_server.metadata.store import Create, Delete, MetadataStore, Set, StoreOperation
from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)


class StoreOutage:
    """Of one term. :meth:`begin` it, :meth:`claim`, :meth:`give_back`.

    Args:
        record: of this coordinator.
        enrollment: of this coordinator at the one before it; None = it was no standby of that one.
        clock: measures.

    Attributes:
        standbys: of this coordinator, once begun.
        must_wait: whether another coordinator may grant leases for some time.
        is_grantor: whether the store names this coordinator.
        attempted_epoch: what :meth:`begin` has written, or tried to write; None before that.
    """

    standbys: StandbyCoordinators

    def __init__(self, record: CoordinatorRecord, enrollment: Enrollment | None, clock: Clock) -> None:
        self._record = record
        self._enrollment = enrollment
        self._clock = clock
        self._version: int | None = None
        self.must_wait = False
        self.is_grantor = False
        self.attempted_epoch: int | None = None

    async def begin(self, unfenced: MetadataStore) -> FencedStore:
        """Begin an epoch, and find out who was the grantor; raises what :func:`fence` does, ``STORAGE_EXCEPTION``."""
        store = await fence(unfenced, self._attempts)
        begun_at = self._clock.monotonic()
        await self._look(store, begun_at)
        return store

    def _attempts(self, epoch: int) -> None:
        self.attempted_epoch = epoch

    async def _look(self, store: FencedStore, begun_at: float) -> None:
        self.standbys = StandbyCoordinators(self._record.coordinator_id, store.epoch, self._clock)
        node = await store.get(LEASE_GRANTOR)
        if node is None:
            return
        self._version = node.version
        try:
            self.must_wait = not self._has_ended(LeaseGrantorRecord.decode(LEASE_GRANTOR, node.value), begun_at)
        except FlussError as error:
            logger.error("it is not known who has granted leases: %s", error)
            self.must_wait = True

    def _has_ended(self, grantor: LeaseGrantorRecord, begun_at: float) -> bool:
        """Whether a grantor certainly grants nothing any more since this coordinator has begun its epoch."""
        own, enrolled = self._record, self._enrollment
        if grantor.coordinator_id == own.coordinator_id or grantor.listeners == own.listeners:
            return True  # this process, or one whose address is that of this process now
        return (
            enrolled is not None
            and (enrolled.coordinator_id, enrolled.epoch) == (grantor.coordinator_id, grantor.epoch)
            and begun_at < enrolled.until
        )

    def grace_s(self, lease_s: float) -> float:
        """How long after the begin of the epoch leases of another coordinator may last; 0 = as always."""
        return CLOCK_MARGIN * (OUTAGE_S + lease_s) if self.must_wait else 0.0

    def waited(self) -> None:
        """The time of :meth:`grace_s` is over."""
        self.must_wait = False

    @property
    def is_due(self) -> bool:
        """Whether :meth:`claim` may be called."""
        return not self.is_grantor and not self.must_wait

    async def claim(self, store: FencedStore) -> None:
        """Become the grantor; what ``FencedStore.commit`` raises."""
        value = LeaseGrantorRecord(self._record.coordinator_id, self._record.listeners, store.epoch).encode()
        write: StoreOperation = Create(LEASE_GRANTOR, value)
        if self._version is not None:
            write = Set(LEASE_GRANTOR, value, self._version)
        [self._version] = await store.commit([write])
        self.is_grantor = True

    async def give_back(self, store: FencedStore) -> None:
        """Be the grantor no more, after the last lease was granted; what ``FencedStore.commit`` raises."""
        if self.is_grantor:
            self.is_grantor = False
            await store.commit([Delete(LEASE_GRANTOR)])

    @property
    def allows_leases(self) -> bool:
        """Whether leases may be granted :data:`OUTAGE_S` long after the last contact to the store."""
        return self.is_grantor and self.standbys.all_stand_by()
