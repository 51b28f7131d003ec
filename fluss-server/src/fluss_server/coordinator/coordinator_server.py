"""A coordinator: definitions, assignments and leaders, and everything that changes them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from fluss_server.api.keys import ApiKey
from fluss_server.cluster.messages import DiskSpace, ServerNode
from fluss_server.config import Configuration
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.auto_partition import AutoPartitionManager
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_controller import ClusterController
from fluss_server.coordinator.cluster_service import ClusterService, ReplicaCounts
from fluss_server.coordinator.ddl import DdlExecutor
from fluss_server.coordinator.fencing import FencedStore, fence
from fluss_server.coordinator.metadata_view import CoordinatorMetadata
from fluss_server.coordinator.partition_service import PartitionService
from fluss_server.coordinator.partitions import PartitionExecutor
from fluss_server.coordinator.service import CoordinatorService
from fluss_server.coordinator.validation import TableSettings
from fluss_server.metadata.store import MetadataStore
from fluss_server.model.acl import AclEntry, Resource
from fluss_server.model.table import TableInfo
from fluss_server.rpc.lazy_service import LazyService
from fluss_server.rpc.service import RequestContext
from fluss_server.runtime.runtime import Runtime

if TYPE_CHECKING:
    from datetime import tzinfo

    from fluss_server.cluster.gateways import CoordinatorGateway
    from fluss_server.cluster.lease import LeaseTimes
    from fluss_server.coordinator.events import SettingsChange
    from fluss_server.coordinator.inspection_service import InspectionService
    from fluss_server.coordinator.producer_service import ProducerService
    from fluss_server.coordinator.rebalance_service import RebalanceService
    from fluss_server.coordinator.rebalance_watch import MoveTimes
    from fluss_server.coordinator.settings_distribution import SettingsDistribution
    from fluss_server.coordinator.store_outage import StoreOutage
    from fluss_server.security.authorizer import Authorizer
    from fluss_server.security.rules import Permissions

# Services that are loaded when a client calls them: few servers are ever sent such requests.
REBALANCE_KEYS = (
    ApiKey.ADD_SERVER_TAG,
    ApiKey.REMOVE_SERVER_TAG,
    ApiKey.ADD_SERVER_TAG_BY_RACK,
    ApiKey.REMOVE_SERVER_TAG_BY_RACK,
    ApiKey.REBALANCE,
    ApiKey.LIST_REBALANCE_PROGRESS,
    ApiKey.CANCEL_REBALANCE,
)
INSPECTION_KEYS = (ApiKey.DESCRIBE_SERVERS, ApiKey.DESCRIBE_BUCKETS, ApiKey.PLAN_REBALANCE)
PRODUCER_KEYS = (
    ApiKey.REGISTER_PRODUCER_OFFSETS,
    ApiKey.GET_PRODUCER_OFFSETS,
    ApiKey.DELETE_PRODUCER_OFFSETS,
)


class CoordinatorServer:
    """Create it, :meth:`start` it, :meth:`close` it, all on one event loop.

    Args:
        store: where everything is stored; it stays open.
        node: this coordinator.
        configuration: options; :meth:`start` takes in what was changed at run time before.
        table_settings: limits and defaults for new tables, of the options after that.
        runtime: the machine.
        lease: of tablet servers; None = they are in this process and need none.
        replica_counts: how the buckets are; None = as the coordinator knows it.
        disks: of the tablet servers, by id; None = as their heartbeats said.
        metadata_complete: False when the store was cut or repaired when it was opened.
        distributes_settings: whether tablet servers have to be told the settings of the cluster.
        outage: for a store that other coordinators share; None = there are no others.
    """

    def __init__(
        self,
        store: MetadataStore,
        node: ServerNode,
        configuration: DynamicConfiguration,
        table_settings: Callable[[], TableSettings],
        runtime: Runtime,
        *,
        lease: LeaseTimes | None = None,
        replica_counts: Callable[[], ReplicaCounts] | None = None,
        disks: Callable[[], Awaitable[Mapping[int, DiskSpace]]] | None = None,
        metadata_complete: bool = True,
        distributes_settings: bool = False,
        outage: StoreOutage | None = None,
    ) -> None:
        self._unfenced_store = store
        self._node = node
        self._configuration = configuration
        self._table_settings = table_settings
        self._runtime = runtime
        self._lease = lease
        self._replica_counts = replica_counts or self._counts_of_state
        self._disks = disks or self._disks_of_heartbeats
        self._metadata_complete = metadata_complete
        self._outage = outage
        self._acl_entries: Mapping[Resource, frozenset[AclEntry]] = {}
        self._settings: SettingsDistribution | None = None
        if distributes_settings:
            from fluss_server.coordinator.settings_distribution import SettingsDistribution

            self._settings = SettingsDistribution(configuration, lambda: self._acl_entries, self._tell_settings)
        self._auto_partitions: AutoPartitionManager | None = None
        self._resources = contextlib.AsyncExitStack()
        self._changes = contextlib.AsyncExitStack()  # what tells tablet servers to do something

    async def start(self) -> None:
        """Become the active coordinator and read what there is; tablet servers may register after that.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when a node of the store cannot be read; ``STORAGE_EXCEPTION``.
        """
        closing = self._resources.push_async_callback
        if self._outage is None:
            self._store = store = await fence(self._unfenced_store)
        else:
            self._store = store = await self._outage.begin(self._unfenced_store)
        distribute = None if self._settings is None else self._settings.overrides_changed
        self._cluster_service = ClusterService(store, self._configuration, self._replica_counts, distribute)
        closing(self._cluster_service.close)
        await self._cluster_service.load()  # settings that were changed at run time count for everything below
        self._manager = manager = MetadataManager(store, self._runtime.clock)
        await manager.load()
        self._controller = ClusterController(
            store,
            manager,
            self._node,
            self._runtime.random.randrange,
            clock=self._runtime.clock,
            lease=self._lease,
            control_timeout_s=self._configuration.current.get_int("coordinator.control-request.timeout") / 1000,
            control_backoff_s=self._configuration.current.get_int("coordinator.control-request.retry-backoff") / 1000,
            metadata_complete=self._metadata_complete,
            moves_per_server=self._configuration.current.get_int("coordinator.rebalance.moves-per-server"),
            move_times=None if self._lease is None else _move_times(self._configuration.current),
            standby_replicas=self._configuration.current.get_int("kv.standby-replica.number"),
            workers=self._runtime.workers,
            outage=self._outage,
        )
        closing(self._controller.close)
        await self._controller.load()
        await self._controller.hold_office()
        options = self._configuration.current
        self._ddl = DdlExecutor(manager, self._controller.tables, self._table_settings(), self._table_changed)
        closing(self.finish_changes)
        self._changes.push_async_callback(self._ddl.close)
        self._partitions = PartitionExecutor(
            manager,
            self._ddl,
            self._controller.tables,
            self._runtime.clock,
            options.get_int("max.partition.num"),
            self._zone,
        )
        self._auto_partitions = AutoPartitionManager(
            manager,
            self._partitions,
            self._runtime.clock,
            interval_s=options.get_int("auto-partition.check.interval") / 1000,
            randrange=self._runtime.random.randrange,
        )
        self._changes.push_async_callback(self._auto_partitions.close)
        self._resources.callback(self.end_waits)

    def services(self, permissions: Callable[[RequestContext], Permissions] | None) -> tuple[object, ...]:
        """Everything that it serves.

        Args:
            permissions: of the caller of a request; None = everything is allowed.
        """
        return (
            CoordinatorService(self._manager, self._ddl),
            self._cluster_service,
            PartitionService(self._manager, self._partitions),
            LazyService(REBALANCE_KEYS, self._rebalance_service),
            LazyService(INSPECTION_KEYS, self._inspection_service),
            LazyService(PRODUCER_KEYS, partial(self._producer_service, permissions)),
        )

    def _zone(self) -> tzinfo:
        from fluss_server.coordinator.partition_time import system_zone  # for tables with partitions

        return system_zone(self._runtime.environment, self._runtime.disk)

    def _rebalance_service(self) -> RebalanceService:
        from fluss_server.coordinator.rebalance_service import RebalanceService

        return RebalanceService(self._controller, self._new_id)

    def _inspection_service(self) -> InspectionService:
        from fluss_server.coordinator.inspection_service import InspectionService

        return InspectionService(self._manager, self._controller, self._runtime.clock, self._disks)

    def _producer_service(self, permissions: Callable[[RequestContext], Permissions] | None) -> ProducerService:
        from fluss_server.coordinator.producer_service import ProducerService

        options = self._configuration.current
        producers = ProducerService(
            self._store,
            self._runtime.clock,
            default_ttl_ms=options.get_int("coordinator.producer-offsets.ttl"),
            sweep_interval_ms=options.get_int("coordinator.producer-offsets.cleanup-interval"),
            permissions=permissions,
        )
        self._resources.push_async_callback(producers.close)
        return producers

    def _new_id(self) -> str:
        import uuid  # loads more than a server needs that never rebalances

        return str(uuid.UUID(bytes=self._runtime.secrets.token(16)))

    def distribute_settings(self, authorizer: Authorizer | None) -> None:
        """Tell tablet servers, which register after this, the settings of the cluster and what clients may do.

        Args:
            authorizer: loaded; None when permissions are not checked.
        """
        assert self._settings is not None, "there are tablet servers in other processes"
        if authorizer is not None:
            self._acl_entries = authorizer.entries
        self._controller.distribute_settings(self._settings, checks_permissions=authorizer is not None)

    @property
    def settings(self) -> SettingsDistribution | None:
        """Numbers changes of settings; None when nobody has to be told."""
        return self._settings

    async def _tell_settings(self, change: SettingsChange) -> None:
        await self._controller.tell_settings(change)

    @property
    def gateway(self) -> CoordinatorGateway:
        """For tablet servers."""
        return self._controller

    @property
    def controller(self) -> ClusterController:
        """Servers, leaders and the events that change them."""
        return self._controller

    @property
    def manager(self) -> MetadataManager:
        """Databases, tables and partitions."""
        return self._manager

    @property
    def store(self) -> FencedStore:
        """The store, for writes that only the active coordinator may make."""
        return self._store

    async def settled(self) -> None:
        """Return when every bucket of the registered servers has a leader.

        Raises:
            FlussError: why one has none.
        """
        await self._controller.settled()
        if (failure := self._controller.first_failure()) is not None:
            raise failure.error()

    def _counts_of_state(self) -> ReplicaCounts:
        return self._controller.replica_counts()

    async def _disks_of_heartbeats(self) -> Mapping[int, DiskSpace]:
        return self._controller.disks

    @property
    def metadata(self) -> CoordinatorMetadata:
        """What clients may know of the cluster."""
        return CoordinatorMetadata(self._manager, self._controller.queue.state)

    @property
    def offline_buckets(self) -> int:
        """Buckets that no live server leads, or whose storage failed."""
        counts = self._replica_counts()
        return counts.leaders - counts.active_leaders

    def start_background_tasks(self) -> None:
        """Begin what changes tables and leaders without a request."""
        assert self._auto_partitions is not None, "the coordinator is started"
        self._auto_partitions.start()
        self._controller.watch_servers()

    def end_waits(self) -> None:
        """Before :meth:`close`, and before what changes settings is closed; see ``ClusterController.end_waits``."""
        self._controller.end_waits()

    async def finish_changes(self) -> None:
        """Wait for the changes of tables that have begun, while tablet servers still carry them out."""
        await self._changes.aclose()

    async def close(self) -> None:
        """Finish the changes that have begun. May be called twice."""
        await self._resources.aclose()

    async def _table_changed(self, table: TableInfo) -> None:
        assert self._auto_partitions is not None, "the coordinator is started"
        await self._auto_partitions.table_changed(table)


def _move_times(options: Configuration) -> MoveTimes:
    from fluss_server.coordinator.rebalance_watch import MoveTimes

    replace_after_ms = options.get_int("coordinator.replace-dead-servers.after")
    return MoveTimes(
        options.get_int("coordinator.rebalance.bucket-timeout") / 1000,
        replace_after_ms / 1000 if replace_after_ms else None,
    )
