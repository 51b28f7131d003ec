"""How coordinator and tablet servers reach each other: in memory within one process, or over the network.

Every method may raise :class:`FlussError`; ``NETWORK_EXCEPTION`` and ``REQUEST_TIME_OUT`` mean that the outcome is
unknown. Callers put a deadline on every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fluss_server.cluster.messages import (
        AdjustIsr,
        AdjustIsrResponse,
        ControlledShutdown,
        ControlledShutdownResponse,
        Heartbeat,
        NotifyLeaderAndIsr,
        NotifyLeaderAndIsrResponse,
        Registered,
        RegisterServer,
        ReservedIds,
        ReserveIds,
        ReserveWriterIds,
        ResignLeaderships,
        StopReplicas,
        StopReplicasResponse,
        UpdateMetadata,
    )
    from fluss_server.cluster.settings_update import UpdateSettings


class TabletServerGateway(Protocol):
    """A tablet server, as a coordinator sees it. Each method may be repeated.

    All of them raise ``INVALID_COORDINATOR_EXCEPTION`` for an older coordinator epoch than one that was seen.
    """

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        """Returns when every bucket is led or followed, or has failed."""

    async def update_metadata(self, request: UpdateMetadata) -> None:
        """Returns when requests that begin afterwards meet the new metadata."""

    async def update_settings(self, request: UpdateSettings) -> None:
        """Returns when requests that begin afterwards meet the new settings."""

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        """Returns when every replica is stopped and, if told so, its files are gone, or it has failed."""


class CoordinatorGateway(Protocol):
    """The coordinator, as a tablet server sees it."""

    async def register(self, request: RegisterServer, server: TabletServerGateway) -> Registered:
        """Become a member; control requests go to ``server`` from now on."""

    async def heartbeat(self, request: Heartbeat) -> Registered:
        """Stay a member; ``SERVER_NOT_EXIST_EXCEPTION`` when the server has to register again."""

    async def controlled_shutdown(self, request: ControlledShutdown) -> ControlledShutdownResponse:
        """Move leaderships away; ``SERVER_NOT_EXIST_EXCEPTION``."""

    async def adjust_isr(self, request: AdjustIsr) -> AdjustIsrResponse:
        """Change ISRs; failures are reported per bucket."""

    async def resign_leaderships(self, request: ResignLeaderships) -> None:
        """Let others lead what this server cannot lead any more; outdated leader epochs are ignored."""

    async def reserve_ids(self, request: ReserveIds) -> ReservedIds:
        """Ids of an auto-increment column.

        Raises:
            FlussError: ``TABLE_NOT_EXIST``; what the reservation of a used-up counter raises.
        """

    async def reserve_writer_ids(self, request: ReserveWriterIds) -> ReservedIds:
        """Ids for writers."""
