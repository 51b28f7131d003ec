"""``fluss coordinator``: a coordinator in a process of its own, active or standby.

Without ZooKeeper it keeps the metadata in its data directory, and is the only coordinator. With ZooKeeper several of
them elect the active one; the others wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from typing import Any

from fluss_server.cluster.lease import lease_times
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.coordinator.store_outage import StoreOutage
from fluss_server.errors import FlussError
from fluss_server.metadata.server_records import CoordinatorRecord, coordinator_id_path
from fluss_server.metadata.store import MetadataStore
from fluss_server.processes.active_coordinator import ActiveCoordinator
from fluss_server.processes.cluster_process import ClusterProcess
from fluss_server.processes.coordinator_term import CoordinatorTerm, TermSettings
from fluss_server.processes.shared_metadata import Latch, SharedMetadata, SharedStore
from fluss_server.processes.standby import standby_registry
from fluss_server.processes.standing_by import StandingBy
from fluss_server.processes.takeover import Takeover
from fluss_server.rpc.endpoints import format_endpoints
from fluss_server.rpc.service import ServiceRegistry

logger = logging.getLogger(__name__)

PAUSE_BETWEEN_TERMS_S = 0.2


class CoordinatorProcess(ClusterProcess):
    """See ``ClusterProcess``; the data directory is not used when coordinators share a store."""

    _term: CoordinatorTerm | None = None
    _active: CoordinatorServer | None = None
    _standby: ServiceRegistry | None = None
    _standing_by: StandingBy | None = None

    @property
    def epoch(self) -> int | None:
        """The coordinator epoch while this coordinator is active, else None."""
        return None if self._active is None else self._active.store.epoch

    @cached_property
    def _record(self) -> CoordinatorRecord:
        """Of this process, the same in all its terms; once the ports are bound."""
        from uuid import UUID  # loads more than a process needs that shares nothing

        coordinator_id = str(UUID(bytes=self._runtime.secrets.token(16), version=4))
        return CoordinatorRecord(coordinator_id, format_endpoints(self.listening.reachable_endpoints))

    async def settled(self) -> None:
        """Return when every bucket of the registered servers has a leader; while active.

        Raises:
            FlussError: why one has none.
        """
        if self._term is not None:
            await self._term.settled()

    async def _start(self) -> None:
        """Listen, and become the active coordinator: at once without a shared store, else when it is elected."""
        self._resources.push_async_callback(self.listening.close)
        await self.listening.bind()
        if self._shared is None:
            await self._start_alone()
        else:
            await self._start_among_others(self._shared)

    async def _start_alone(self) -> None:
        self._lock_data_directory()
        store = self._open_embedded_store()
        self._term = term = CoordinatorTerm(store, self._settings(), metadata_complete=store.recovery.proven)
        self._resources.push_async_callback(term.close)
        registry = await term.start()
        await self.listening.serve(registry)
        await self.listening.serve_grpc(registry)
        self._active = term.coordinator
        await self._start_reporter(lambda: None)
        term.watch_servers()

    async def _start_reporter(self, standby_problem: Callable[[], Mapping[str, str] | None]) -> None:
        if not self._has_reporter:
            return
        from fluss_server.processes.reporters import coordinator_health, coordinator_source, process_sources

        sources = [*process_sources(self.listening, "coordinator"), coordinator_source(lambda: self._active)]
        await self._report("coordinator", sources, lambda: coordinator_health(self._active, standby_problem()))

    async def _start_among_others(self, shared: SharedMetadata) -> None:
        connection_to_store = await shared.connect(self._runtime)
        store = connection_to_store.store
        self._resources.push_async_callback(store.close)
        record = self._record
        await self._announce(store, coordinator_id_path(record.coordinator_id), record.encode())
        active = await self._follow_active_coordinator(store)
        connection = self._connection("the active coordinator", active.endpoint)
        for_standby = connection.another()  # however much clients request, the active one hears of this one
        self._resources.push_async_callback(for_standby.close)
        active.on_change = [connection.address_changed, for_standby.address_changed]
        self._standing_by = standing_by = StandingBy(for_standby, record.coordinator_id, self._runtime.clock)
        self._resources.push_async_callback(standing_by.close)
        standing_by.start()
        self._standby = standby_registry(connection, active.look, self._internal)
        await self.listening.serve(self._standby)
        await self.listening.serve_grpc(self._standby)
        latch = connection_to_store.latch(record.coordinator_id)
        takeover = Takeover(store, latch, record, self._internal, self._new_connection, self._runtime.clock)
        self._resources.push_async_callback(takeover.close)
        await takeover.start()
        await self._start_reporter(lambda: _standby_problem(connection_to_store, active))
        candidacy = asyncio.ensure_future(self._stand(store, latch))
        self._resources.push_async_callback(_cancelled, candidacy)

    def _settings(self) -> TermSettings:
        return TermSettings(
            self._record,
            self.listening.reachable_endpoints,
            self._options,
            lease_times(self._configuration),
            self._internal,
            self._credentials,
            self.listening.security,
            self._runtime,
        )

    async def _stand(self, store: MetadataStore, latch: Latch) -> None:
        """Be a candidate, term after term, until cancelled."""
        try:
            while True:
                try:
                    await self._stand_once(store, latch)
                except Exception:
                    logger.exception("a candidacy ended in an unexpected way; the next one follows")
                await asyncio.sleep(PAUSE_BETWEEN_TERMS_S)
        finally:
            await latch.release()
            latch.close()

    async def _stand_once(self, store: MetadataStore, latch: Latch) -> None:
        try:
            await latch.acquire()
            await self._serve_a_term(store, latch)
        finally:
            await latch.release()  # a term that could not begin, too, must not keep others from theirs

    async def _serve_a_term(self, store: MetadataStore, latch: Latch) -> None:
        assert self._standing_by is not None, "there is no election without it"
        outage: StoreOutage | None = None
        try:
            enrollment = await self._standing_by.pause()
            outage = StoreOutage(self._record, enrollment, self._runtime.clock)
            await self._serve_with(CoordinatorTerm(store, self._settings(), outage=outage), latch)
        finally:
            self._standing_by.resume(None if outage is None else outage.attempted_epoch)

    async def _serve_with(self, term: CoordinatorTerm, latch: Latch) -> None:
        self._term = term
        try:
            self.listening.replace(await term.start())
            self._active = term.coordinator
            await term.announce()
            term.watch_servers()
            logger.info("active, coordinator epoch %s", term.epoch)
            await _first_of(latch.lost(), term.ended())
            logger.warning("coordinator epoch %s has ended here", term.epoch)
        except FlussError as error:
            logger.error("this coordinator could not become active: %s", error)
        finally:
            self._term = self._active = None
            assert self._standby is not None, "there is no election without it"
            self.listening.replace(self._standby)
            await term.close()


def _standby_problem(shared: SharedStore, active: ActiveCoordinator) -> Mapping[str, str] | None:
    """Why a coordinator could not do its work, for its health; None when it can."""
    if not shared.connected():
        return {
            "state": "no-store",
            "reason": "there is no connection to ZooKeeper",
            "remedy": "check zookeeper.address and that ZooKeeper runs; the coordinator tries on by itself",
        }
    if active.endpoint() is None:
        return {
            "state": "no-active-coordinator",
            "reason": "no coordinator has become active yet",
            "remedy": "wait for the election; if it takes longer than zookeeper.client.session-timeout, see the logs of"
            " the coordinators",
        }
    return None


async def _first_of(*waits: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
