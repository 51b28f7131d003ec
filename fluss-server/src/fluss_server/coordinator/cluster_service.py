"""DESCRIBE_CLUSTER_CONFIGS, ALTER_CLUSTER_CONFIGS and GET_CLUSTER_HEALTH."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NamedTuple

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.config.dynamic import Alteration, AlterOperation, DynamicConfiguration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.config_records import SERVER_CONFIG, decode_server_config, encode_server_config
from fluss_server.metadata.store import Create, MetadataStore, Set, missing_parents
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc

MAX_ALTERATIONS = 10_000


class HealthStatus(IntEnum):
    """Of the cluster; the numbers are the protocol's."""

    GREEN = 0
    YELLOW = 1
    RED = 2
    UNKNOWN = 3


class ReplicaCounts(NamedTuple):
    """How the buckets of the cluster are.

    Attributes:
        replicas: those that the assignments want.
        in_sync: of these, members of an ISR.
        leaders: buckets there are.
        active_leaders: of these, those that a live server leads.
    """

    replicas: int
    in_sync: int
    leaders: int
    active_leaders: int

    @property
    def status(self) -> HealthStatus:
        """RED when a bucket has no leader, YELLOW when a replica is not in sync."""
        if self.active_leaders < self.leaders:
            return HealthStatus.RED
        return HealthStatus.GREEN if self.in_sync >= self.replicas else HealthStatus.YELLOW


class ClusterService:
    """Settings and health of the cluster. Call :meth:`load` first, before anybody subscribes to ``configuration``.

    Args:
        store: keeps what is changed while the server runs.
        configuration: of the server.
        replica_counts: called for each question about the health.
        distribute: called after a change and awaited before the change returns: other servers have it then, or it
            raises.
    """

    def __init__(
        self,
        store: MetadataStore,
        configuration: DynamicConfiguration,
        replica_counts: Callable[[], ReplicaCounts],
        distribute: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._unusable: dict[str, str | None] = {}
        self._replica_counts = replica_counts
        self._distribute = distribute
        self._lock = asyncio.Lock()
        self._tasks = UninterruptedTasks()

    async def load(self) -> None:
        """Make what was changed before this start effective.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when it cannot be read.
        """
        node = await self._store.get(SERVER_CONFIG)
        if node is not None:
            # What this version cannot use is kept for one that can.
            self._unusable = self._configuration.load(decode_server_config(node.value))

    async def close(self) -> None:
        """Wait for changes that have begun."""
        await self._tasks.wait()

    @rpc(ApiKey.DESCRIBE_CLUSTER_CONFIGS)
    def describe_cluster_configs(
        self, request: pb.DescribeClusterConfigsRequest, context: RequestContext
    ) -> ResponseBody:
        """The effective value of every option that has one, without secrets.

        Official clients know two sources only, so defaults count as set at the start.
        """
        response = pb.DescribeClusterConfigsResponse()
        for option in self._configuration.describe():
            source = "DYNAMIC_SERVER_CONFIG" if option.dynamic else "INITIAL_SERVER_CONFIG"
            response.configs.add(config_key=option.key, config_value=option.value, config_source=source)
        return response

    @rpc(ApiKey.ALTER_CLUSTER_CONFIGS)
    async def alter_cluster_configs(
        self, request: pb.AlterClusterConfigsRequest, context: RequestContext
    ) -> ResponseBody:
        """All changes or none; effective and durable when the response is sent."""
        if len(request.alter_configs) > MAX_ALTERATIONS:
            raise FlussError(
                ErrorCode.CONFIG_EXCEPTION,
                f"a request may have {MAX_ALTERATIONS} changes, not {len(request.alter_configs)}",
            )
        alterations = [_alteration(change) for change in request.alter_configs]
        if alterations:
            await self._tasks.run(self._alter(alterations))
        return pb.AlterClusterConfigsResponse()

    async def _alter(self, alterations: list[Alteration]) -> None:
        async with self._lock:
            before = self._configuration.overrides
            planned = self._configuration.plan(alterations)
            self._configuration.apply(planned)
            try:
                await self._persist(planned)
            except BaseException:
                self._configuration.apply(before)
                raise
        if self._distribute is not None:
            await self._distribute()

    async def _persist(self, overrides: dict[str, str | None]) -> None:
        # A key that was altered here can be used, whatever was stored for it before.
        value = encode_server_config({**self._unusable, **overrides})
        if await self._store.get(SERVER_CONFIG) is None:
            await self._store.commit([*await missing_parents(self._store, SERVER_CONFIG), Create(SERVER_CONFIG, value)])
        else:
            await self._store.commit([Set(SERVER_CONFIG, value)])

    @rpc(ApiKey.GET_CLUSTER_HEALTH)
    def get_cluster_health(self, request: pb.GetClusterHealthRequest, context: RequestContext) -> ResponseBody:
        """How the buckets are; see :class:`ReplicaCounts`."""
        counts = self._replica_counts()
        return pb.GetClusterHealthResponse(
            num_replicas=counts.replicas,
            in_sync_replicas=counts.in_sync,
            num_leader_replicas=counts.leaders,
            active_leader_replicas=counts.active_leaders,
            status=counts.status,
        )


def _alteration(change: pb.PbAlterConfig) -> Alteration:
    value = change.config_value if change.HasField("config_value") else None
    try:
        return Alteration(change.config_key, value, AlterOperation(change.op_type))
    except ValueError:
        known = ", ".join(f"{operation.value} {operation.name}" for operation in AlterOperation)
        raise FlussError(
            ErrorCode.CONFIG_EXCEPTION, f"{change.op_type} is no change of an option", hint=f"there are {known}"
        ) from None
